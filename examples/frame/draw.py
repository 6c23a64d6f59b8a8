"""Random choices as users make them: a few things are asked for most of the time."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from random import Random


class Zipf:
    """Draws numbers below `count`. The number n is drawn in proportion to 1 / (n + 1) ** exponent."""

    def __init__(self, count: int, exponent: float = 1.0) -> None:
        self._sums = list(accumulate(1 / (n + 1) ** exponent for n in range(count)))

    def draw(self, random: Random) -> int:
        return min(bisect(self._sums, random.random() * self._sums[-1]), len(self._sums) - 1)
