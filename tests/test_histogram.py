"""Durations, counted by upper bounds."""

from sse_trio.histogram import Histogram


def test_each_duration_is_counted_below_the_first_bound_that_it_does_not_exceed() -> None:
    counted = Histogram((0.1, 1))
    for seconds in (0, 0.1, 0.2, 1, 1.5, 3):
        counted.count(seconds)
    assert (counted.counts, counted.seconds) == ([2, 2, 2], 5.8)


def test_a_copy_stays_as_it_was() -> None:
    counted = Histogram((0.1, 1))
    counted.count(0.5)
    before = counted.copy()
    counted.count(0.5)
    assert (before.counts, before.seconds) == ([0, 1, 0], 0.5)
    assert (counted.counts, counted.seconds) == ([0, 2, 0], 1.0)
