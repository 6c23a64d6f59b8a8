"""Runs a system's tests in a mode, and gives them words for hits and misses."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from random import Random
from types import ModuleType
from typing import Any, Literal, TypeVar

from frame.client import Call, Client, recording

T = TypeVar("T")

Mode = Literal["cached", "uncached", "fleet"]
"""One node with its cache on; one with it off; two nodes with caches, of which the test writes at one and reads at the other."""


@dataclass
class World:
    """What a test gets: two clients, and where they lead to."""

    mode: Mode
    here: Client
    there: Client
    """Another client of the same node; in a fleet, of the other node."""
    random: Random = field(default_factory=Random)

    def hits(self, read: Callable[[], T]) -> T:
        """Asserts that the cache answers every request of the read, or none where there is no cache."""
        result, calls = _read(read)
        if self.mode == "uncached":
            assert not any(call.hits_and_misses()[0] for call in calls), f"a hit without a cache: {_sources(calls)}"
        else:
            assert all(call.is_hit for call in calls), f"expected only hits: {_sources(calls)}"
        return result

    def misses(self, read: Callable[[], T]) -> T:
        """Asserts that the upstream answers a request of the read, at least in part."""
        result, calls = _read(read)
        assert not all(call.is_hit for call in calls), f"expected a miss: {_sources(calls)}"
        return result

    def warm(self, read: Callable[[], T]) -> T:
        """Reads twice, and asserts that the second time is a hit and shows the same."""
        first = read()
        second = self.hits(read)
        assert first == second, f"{first} is not {second}"
        return second

    def bypasses(self, read: Callable[[], T]) -> T:
        """Asserts that every request of the read went to the upstream past the cache."""
        result, calls = _read(read)
        assert all(call.source == "bypass" for call in calls), f"expected only reads past the cache: {_sources(calls)}"
        return result

    def sources(self, read: Callable[[], Any]) -> list[str]:
        """Where the answer to each request of the read came from."""
        return _sources(_read(read)[1])

    def at_once(self, *works: Callable[[], T]) -> list[T]:
        """Runs them beside each other, each in a thread, and returns their results in order."""
        with ThreadPoolExecutor(len(works)) as threads:
            return [work.result() for work in [threads.submit(work) for work in works]]


def _read(read: Callable[[], T]) -> tuple[T, list[Call]]:
    with recording() as calls:
        result = read()
    assert calls, "the read made no request"
    assert not any(call.is_write for call in calls), f"the read wrote: {calls}"
    return result, calls


def _sources(calls: list[Call]) -> list[str]:
    return [call.source for call in calls]


def tests_of(module: ModuleType) -> list[Callable[[World], Any]]:
    """The public functions of a module, which all take a World, as they stand in the file."""
    functions = [
        function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]
    return sorted(functions, key=lambda function: function.__code__.co_firstlineno)


def run_tests(name: str, create: Callable[[Client], None], module: ModuleType, world: World, seed: int) -> list[str]:
    """Creates the system's tables and runs its tests. Returns a text for each failure."""
    failures = []
    create(world.here)
    for test in tests_of(module):
        world.random = Random(f"{seed}/{name}/{test.__name__}")
        try:
            test(world)
        except Exception:
            sentence = test.__name__.replace("_", " ")
            failures.append(f"FAILED {name}, {world.mode}: {sentence}\n{traceback.format_exc()}")
    return failures
