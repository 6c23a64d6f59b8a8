"""Runs the example systems: their nodes, their tests in three modes, and their workloads with and without the cache.

A system imports only `frame.client`, `frame.check`, `frame.draw` and `frame.turn` from here.
"""
