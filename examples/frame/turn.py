"""One operation's turn in a workload."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from frame.client import Client


@dataclass(frozen=True)
class Turn:
    """Every operation has a random generator and a number of its own, so that a run is the same with and without the cache."""

    random: Random
    number: int
    """Counts the operations of a run from 0. A workload may make times and new keys of it."""


Operation = Callable[[Client, Turn], None]

Mix = dict[Operation, int]
"""The operations of a workload with their weights."""
