"""The three boards are read equally often. One operation in ten reports a score, and few of those are a player's new best."""

from __future__ import annotations

from frame.client import Client
from frame.turn import Mix, Turn
from leaderboards import system
from leaderboards.load import game, player, score


def read_whole(db: Client, turn: Turn) -> None:
    system.top_by_whole(db, game(turn.random))


def read_buckets(db: Client, turn: Turn) -> None:
    system.top_by_buckets(db, game(turn.random))


def read_tiers(db: Client, turn: Turn) -> None:
    system.top_by_tiers(db, game(turn.random))


def read_own_score(db: Client, turn: Turn) -> None:
    system.best_of(db, game(turn.random), player(turn.random))


def read_rank(db: Client, turn: Turn) -> None:
    system.rank(db, game(turn.random), player(turn.random))


def report(db: Client, turn: Turn) -> None:
    system.report(db, game(turn.random), player(turn.random), score(turn.random))


MIX: Mix = {read_whole: 25, read_buckets: 25, read_tiers: 25, read_own_score: 12, read_rank: 3, report: 10}
