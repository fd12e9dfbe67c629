"""A slower build is told from noise."""

import itertools
import math
import random
from io import StringIO
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.compare import chance, compare, verdict
from bench.results import Answer, Results, Series

SAME = [1.0, 1.1, 0.9, 1.05, 0.95]
SLOW = [2.0, 2.1, 1.9, 2.05, 1.95]

MACHINE = {"commit": "abc", "processor": "a Z80", "interpreter": "a slow one", "size": "small"}


def test_a_slower_build_is_slower() -> None:
    assert verdict(SAME, SLOW, lower_is_better=True) == "slower"
    assert verdict(SLOW, SAME, lower_is_better=True) == "faster"
    assert verdict(SAME, SLOW, lower_is_better=False) == "faster"
    assert verdict(SLOW, SAME, lower_is_better=False) == "slower"


def test_noise_is_the_same() -> None:
    assert verdict(SAME, SAME[::-1], lower_is_better=True) == "same"
    # One slow moment of the machine.
    assert verdict(SAME, [1.02, 0.93, 1.07, 0.99, 9.0], lower_is_better=True) == "same"


def test_a_small_difference_is_the_same_however_sure_it_is() -> None:
    assert verdict([1.0] * 9, [1.04] * 9, lower_is_better=True) == "same"
    assert verdict([1.0] * 9, [1.06] * 9, lower_is_better=True) == "slower"


def test_few_values_must_differ_much() -> None:
    assert verdict([1.0, 1.01], [1.15, 1.16], lower_is_better=True) == "same"
    assert verdict([1.0, 1.01], [1.3, 1.31], lower_is_better=True) == "slower"
    assert verdict([1.0, 1.31], [1.3, 1.9], lower_is_better=True) == "same"


def test_nothing_can_be_worse_than_nothing() -> None:
    assert verdict([5.0], [0.0], lower_is_better=False) == "slower"
    assert verdict([0.0], [0.0], lower_is_better=False) == "same"


def test_the_chance_is_that_of_the_tables() -> None:
    # Of 252 arrangements of five and five, two are as extreme.
    assert chance(SAME, SLOW) == pytest.approx(2 / 252)
    assert chance([1, 2], [1, 2]) == 1
    assert chance([1.0] * 20, [1.0] * 20) == 1


@given(st.integers(0, 2**21))
def test_the_approximation_is_close_to_the_exact(seed: int) -> None:
    old = [(seed >> i) % 97 + i / 100 for i in range(11)]
    new = [(seed >> i) % 89 + i / 99 for i in range(10)]
    pooled = sorted([*old, *new])
    ranks = [fmean(i + 1 for i, v in enumerate(pooled) if v == value) for value in old]
    middle = len(old) * (len(pooled) + 1) / 2
    assert 0 <= chance(old, new) <= 1
    if math.isclose(sum(ranks), middle):
        assert chance(old, new) == 1


def results(values: list[float], control: list[float] = SAME) -> Results:
    both = {"sse_trio": values, "C loop": control}
    series = Series("last, N=1", "ms", lower_is_better=True, values=both)
    return Results(dict(MACHINE), {"fanout": Answer("about", {series.name: series})})


def test_compare_says_which_is_slower() -> None:
    for new, slower in ((SLOW, True), (SAME, False)):
        out = StringIO()
        assert compare(Console(file=out, width=120), results(SAME), results(new)) is slower
        assert ("slower" in out.getvalue()) is slower
        assert "fanout: last, N=1" in out.getvalue()


def test_a_slower_machine_is_not_a_slower_build() -> None:
    out = StringIO()
    assert not compare(Console(file=out, width=120), results(SAME), results(SLOW, SLOW))
    assert "it may be the machine" in out.getvalue()


@pytest.mark.parametrize("what", ["processor", "interpreter", "size"])
def test_another_machine_or_size_says_nothing_of_the_build(what: str) -> None:
    old, new = results(SAME), results(SLOW)
    new.machine[what] = "another"
    with pytest.raises(ValueError, match="nothing can be said"):
        compare(Console(file=StringIO()), old, new)


def test_arrangements_are_counted_with_ties() -> None:
    old, new = [1, 1, 2], [1, 3, 3]
    pooled = sorted([*old, *new])
    rank = {1: 2.0, 2: 4.0, 3: 5.5}
    off = abs(sum(rank[v] for v in old) - 10.5)
    sums = [sum(c) for c in itertools.combinations([rank[v] for v in pooled], 3)]
    assert chance(old, new) == sum(abs(s - 10.5) >= off for s in sums) / len(sums)


# -- noise, as a shared machine makes it ------------------------------------------------

PAIRS = 500


def noisy(chances: random.Random, factor: float = 1, spread: float = 0.03) -> list[float]:
    """Five repetitions."""
    return [100 * factor * chances.lognormvariate(0, spread) for _ in range(5)]


def with_slow_moments(values: list[float], chances: random.Random) -> list[float]:
    return [value * (1.5 if chances.random() < 0.05 else 1) for value in values]


def share(verdicts: list[str], wanted: str) -> float:
    return verdicts.count(wanted) / len(verdicts)


@pytest.mark.parametrize("spread", [0.01, 0.03, 0.1, 0.3])
@pytest.mark.parametrize("lower_is_better", [True, False])
def test_noise_is_seldom_taken_for_a_slower_build(spread: float, *, lower_is_better: bool) -> None:
    chances = random.Random(1)

    def repetitions() -> list[float]:
        return with_slow_moments(noisy(chances, spread=spread), chances)

    verdicts = [
        verdict(repetitions(), repetitions(), lower_is_better=lower_is_better) for _ in range(PAIRS)
    ]
    assert share(verdicts, "slower") < 0.015
    assert share(verdicts, "faster") < 0.015


@pytest.mark.parametrize(
    ("factor", "lower_is_better", "wanted"),
    [(1.1, True, "slower"), (1 / 1.1, False, "slower"), (1 / 1.1, True, "faster")],
)
def test_ten_percent_are_found(factor: float, wanted: str, *, lower_is_better: bool) -> None:
    chances = random.Random(2)
    verdicts = [
        verdict(noisy(chances), noisy(chances, factor), lower_is_better=lower_is_better)
        for _ in range(PAIRS)
    ]
    assert share(verdicts, wanted) > 0.8
    assert set(verdicts) == {wanted, "same"}


def test_more_repetitions_find_more() -> None:
    chances = random.Random(3)
    verdicts = [
        verdict(
            noisy(chances) + noisy(chances),
            noisy(chances, 1.1) + noisy(chances, 1.1),
            lower_is_better=True,
        )
        for _ in range(PAIRS)
    ]
    assert share(verdicts, "slower") > 0.95


@pytest.mark.parametrize(
    ("hub", "control", "fewest", "most"),
    [
        (1.1, 1.0, 70, 100),  # a slower build
        (1.3, 1.3, 0, 3),  # a slower machine
        (1.0, 1.3, 0, 3),  # a machine that is slower for others only
        (1.0, 1.0, 0, 1),
        (1.6, 1.2, 95, 100),  # both
    ],
)
def test_the_control_tells_the_machine_from_the_build(
    hub: float, control: float, fewest: int, most: int
) -> None:
    chances = random.Random(4)
    blamed = [
        compare(
            Console(file=StringIO()),
            results(noisy(chances), noisy(chances)),
            results(noisy(chances, hub), noisy(chances, control)),
        )
        for _ in range(100)
    ]
    assert fewest <= sum(blamed) <= most


def test_how_late_the_generator_was_is_not_the_builds_doing() -> None:
    old, new = results(SAME), results(SLOW)
    for each in (old, new):
        series = each.answers["fanout"].series
        series["of this, the generator late, p99"] = series.pop("last, N=1")
    assert not compare(Console(file=StringIO()), old, new)
