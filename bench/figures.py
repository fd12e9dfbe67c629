"""What was measured, and what may be said of it.

Every repetition of a question gives one value for each of its readings. What is reported of
them is the median and the spread, and how many times another's value the hub's is: the median
of the ratios of the repetitions, because what ran right after one another is comparable even
where the machine had a slow minute.
"""

import math
import statistics
from collections.abc import Iterable, Sequence

import attrs
from hdrh.histogram import HdrHistogram

# Nanoseconds, up to ten minutes, to three digits.
LONGEST = 600 * 10**9
DIGITS = 3


@attrs.frozen
class Reading:
    """One value of one repetition."""

    name: str
    value: float
    unit: str
    lower_is_better: bool = True


@attrs.define
class Sample:
    """What one repetition gave: readings, whole distributions, and points of a curve."""

    readings: list[Reading] = attrs.Factory(list)
    spectra: dict[str, HdrHistogram] = attrs.Factory(dict)
    """Nanoseconds."""
    points: list[tuple[float, float]] = attrs.Factory(list)
    """Of throughput a second, and the milliseconds of its 99th percentile."""


def histogram(values: Iterable[float] = ()) -> HdrHistogram:
    """Return a histogram of nanoseconds; what is not positive counts as one."""
    made = HdrHistogram(1, LONGEST, DIGITS)
    for value in values:
        made.record_value(min(LONGEST, max(1, round(value))))
    return made


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that so many percent of all are not above."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def milliseconds(nanoseconds: float) -> float:
    """Convert."""
    return nanoseconds / 1e6


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """Return the lower and the upper quartile; of few values, the lowest and the highest."""
    if len(values) < 4:
        return min(values), max(values)
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return lower, upper


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return how many times `theirs` `ours` is; None where there is nothing to compare.

    Where a repetition was void, nobody knows which ran together: then it is that of the medians.
    """
    if ours and theirs and len(ours) != len(theirs):
        ours, theirs = [statistics.median(ours)], [statistics.median(theirs)]
    pairs = [(a, b) for a, b in zip(ours, theirs, strict=False) if b]
    return statistics.median(a / b for a, b in pairs) if pairs else None
