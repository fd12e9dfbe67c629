import pytest

from bench import figures


def test_a_percentile_is_one_of_the_values() -> None:
    values = list(range(100, 0, -1))
    assert figures.percentile(values, 99) == 99
    assert figures.percentile(values, 50) == 50
    assert figures.percentile(values, 100) == 100
    assert figures.percentile([7], 1) == 7


def test_a_histogram_keeps_three_digits() -> None:
    made = figures.histogram([123_456_789, 1, 0, -5])
    assert made.get_total_count() == 4
    assert made.get_value_at_percentile(100) == pytest.approx(123_456_789, rel=1e-3)


def test_the_spread_of_few_values_is_all_of_it() -> None:
    assert figures.quartiles([3, 1, 2]) == (1, 3)
    assert figures.quartiles([1, 2, 3, 4, 5]) == (2, 4)


def test_a_ratio_compares_what_ran_together() -> None:
    # The second round was slow for both.
    assert figures.ratio([2, 20, 2], [1, 10, 1]) == 2
    assert figures.ratio([1, 1], [0, 0]) is None
    assert figures.ratio([], [1]) is None
