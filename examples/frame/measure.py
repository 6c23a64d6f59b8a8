"""Runs a system's workload through a cache and without one, and counts the reads, their time and their units."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from frame.client import Call, Client, recording
from frame.nodes import Node
from frame.turn import Mix, Turn

WORKERS = 2

WARM_UP = 1.0
"""As many operations come first, in proportion to the others, and are not counted, so that the cache is no longer empty."""


@dataclass(frozen=True)
class Run:
    """The calls of a workload by operation, and the units that its upstream charged."""

    calls: dict[str, list[Call]]
    read_units: float
    write_units: float

    @property
    def hit_ratio(self) -> float:
        return hit_ratio(self._calls()) or 0.0

    def milliseconds(self, *, hits: bool) -> list[float]:
        """How long its reads took that were hits, or those that were not, in order."""
        return sorted(1000 * call.seconds for call in self._calls() if not call.is_write and call.is_hit == hits)

    def _calls(self) -> list[Call]:
        return [call for calls in self.calls.values() for call in calls]


@dataclass(frozen=True)
class Figures:
    """A workload with and without the cache: the same operations on the same data."""

    system: str
    operations: int
    cached: Run
    uncached: Run


def hit_ratio(calls: list[Call]) -> float | None:
    """The part of the reads among the calls that the cache answered, if there are any."""
    pairs = [call.hits_and_misses() for call in calls if not call.is_write]
    hits, misses = sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)
    return hits / (hits + misses) if pairs else None


def percentile(ordered: list[float], part: float) -> float | None:
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else None


def run_workload(name: str, mix: Mix, warm_up_db: Client, db: Client, upstream: Node, operations: int, seed: int) -> Run:
    """Runs the warm-up and then the operations that are counted, each with its client."""
    warm_up = int(operations * WARM_UP)
    _run(name, mix, warm_up_db, range(warm_up), seed)
    reads_before, writes_before = _units(upstream)
    calls = _run(name, mix, db, range(warm_up, warm_up + operations), seed)
    reads, writes = _units(upstream)
    return Run(calls, reads - reads_before, writes - writes_before)


def _units(upstream: Node) -> tuple[float, float]:
    return upstream.metric("nearside_read_units_spent_total"), upstream.metric("nearside_write_units_spent_total")


def _run(name: str, mix: Mix, db: Client, numbers: range, seed: int) -> dict[str, list[Call]]:
    """Returns the calls by the name of their operation."""
    shares = [numbers[worker::WORKERS] for worker in range(WORKERS)]
    calls: dict[str, list[Call]] = {operation.__name__: [] for operation in mix}
    with ThreadPoolExecutor(WORKERS) as threads:
        for work in [threads.submit(_work, mix, db, _turns(name, share, seed)) for share in shares]:
            for operation, made in work.result():
                calls[operation] += made
    return calls


def _turns(name: str, numbers: range, seed: int) -> Iterator[Turn]:
    return (Turn(Random(f"{seed}/{name}/{number}"), number) for number in numbers)


def _work(mix: Mix, db: Client, turns: Iterator[Turn]) -> list[tuple[str, list[Call]]]:
    operations, weights = list(mix.keys()), list(mix.values())
    done = []
    for turn in turns:
        operation = turn.random.choices(operations, weights)[0]
        with recording() as calls:
            operation(db, turn)
        done.append((operation.__name__, calls))
    return done
