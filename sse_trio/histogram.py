"""Durations: counts by upper bounds in seconds, in Prometheus's form."""

from bisect import bisect_left
from collections.abc import Sequence

import attrs


@attrs.define
class Histogram:
    """Durations in seconds, counted by `bounds`, which rise; and one count for what took longer."""

    bounds: Sequence[float]
    counts: list[int] = attrs.Factory(lambda self: [0] * (len(self.bounds) + 1), takes_self=True)
    seconds: float = 0.0
    """All of them together."""

    def count(self, seconds: float) -> None:
        """Count one of them. A duration equal to a bound counts below it."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.seconds += seconds

    def copy(self) -> "Histogram":
        """Return it as it is now."""
        return Histogram(self.bounds, list(self.counts), self.seconds)
