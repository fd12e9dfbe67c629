"""The wheel against a dict of due times: never early, at most one slot late."""

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_trio.core.heartbeats import Wheel, first_delay

# What `Config` allows, from its shortest delay in 32 slots to its longest, and some that
# no float writes exactly.
WIDTHS = [0.05 / 32, 0.001, 0.1, 1 / 3, 5 / 32, 0.7, 1.0, 3600 / 32]

widths = st.sampled_from(WIDTHS) | st.floats(0.001, 200)
# trio's clock begins somewhere up to 10**6 s; a year later it shall still do.
starts = st.floats(0, 4e7)


def wheel_at(now: float, *, width: float) -> Wheel[int]:
    return Wheel(width=width, now=now)


def is_early(due: float, now: float) -> bool:
    return due - now > 4 * math.ulp(now)


def is_late(due: float, now: float, width: float) -> bool:
    return now - due > width + 4 * math.ulp(now)


steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add all", "drop", "turn", "jump"]),
        st.integers(0, 9),
        st.floats(-2, 40),
    ),
    max_size=60,
)


@given(widths, starts, steps)
def test_behaves_as_a_dict_of_due_times(
    width: float, now: float, steps: list[tuple[str, int, float]]
) -> None:
    wheel = wheel_at(now, width=width)
    model: dict[int, float] = {}
    for step, item, slots in steps:
        if step == "add":
            due = now + slots * width
            wheel.add(item, due)
            # Who is overdue already is due in the next slot.
            model[item] = max(due, now)
        elif step == "add all":
            due = now + slots * width
            wheel.add_all(range(item), due)
            model.update(dict.fromkeys(range(item), max(due, now)))
        elif step == "drop":
            wheel.drop(item)
            model.pop(item, None)
        else:
            now += abs(slots) * width * (100 if step == "jump" else 0.2)
            returned = wheel.turn(now)
            assert len(returned) == len(set(returned))
            for item in returned:
                assert not is_early(model.pop(item), now)
            assert not any(is_late(due, now, width) for due in model.values())
        assert len(wheel) == len(model)
        assert all((item in wheel) == (item in model) for item in range(10))
        assert math.isinf(wheel.next_due()) == (not model)


@given(widths, starts, st.lists(st.floats(0, 10_000), min_size=1, max_size=30))
@example(0.1, 0.0, [0.3])
@example(0.05 / 32, 3e7, [1.1, 2.2])
def test_the_next_due_time_turns_something_out(
    width: float, now: float, delays: list[float]
) -> None:
    """Or the task that sleeps until then would spin."""
    wheel = wheel_at(now, width=width)
    for item, delay in enumerate(delays):
        wheel.add(item, now + delay)
    left = len(delays)
    while left:
        due = wheel.next_due()
        returned = wheel.turn(due)
        assert returned
        assert not any(is_late(now + delays[item], due, width) for item in returned)
        left -= len(returned)
    assert wheel.next_due() == math.inf


@pytest.mark.parametrize("width", WIDTHS)
def test_every_slot_is_turned_by_its_own_time(width: float) -> None:
    for tick in [*range(1, 3000), *range(10**9, 10**9 + 1000)]:
        wheel = wheel_at((tick - 1) * width, width=width)
        wheel.add(1, tick * width)
        assert wheel.turn(wheel.next_due()) == [1], tick


@given(widths, starts, st.lists(st.floats(0, 50), max_size=30), st.integers(0, 10**6))
def test_however_late_the_turn_all_comes_once_and_in_order(
    width: float, now: float, slots: list[float], late: int
) -> None:
    wheel = wheel_at(now, width=width)
    dues = [now + delay * width for delay in slots]
    for item, due in enumerate(dues):
        wheel.add(item, due)
    returned = wheel.turn(now + (60 + late) * width)
    assert sorted(returned) == list(range(len(dues)))
    for earlier, later in itertools.pairwise(returned):
        assert not is_late(dues[later], dues[earlier], width)
    assert wheel.turn(now + (60 + late) * width) == []


@pytest.mark.parametrize("quiet", [0, 1, 26, 3600, 10**7])
def test_nobody_need_turn_it_for_it_to_take_an_item(quiet: float) -> None:
    wheel = wheel_at(0, width=5 / 32)
    wheel.add(1, quiet + 20)
    wheel.add(2, quiet + 25)
    assert wheel.turn(quiet + 20.2) == [1]
    assert wheel.turn(quiet + 25.2) == [2]


def test_to_add_again_is_to_move() -> None:
    wheel = wheel_at(0, width=1)
    wheel.add(1, 5)
    wheel.add(1, 2)
    wheel.add(1, 8)
    assert len(wheel) == 1
    assert wheel.turn(7) == []
    assert wheel.next_due() == 8
    assert wheel.turn(8) == [1]
    assert 1 not in wheel


def test_to_drop_what_is_not_in_changes_nothing() -> None:
    wheel = wheel_at(0, width=1)
    wheel.add(1, 2)
    wheel.drop(2)
    wheel.drop(1)
    wheel.drop(1)
    assert len(wheel) == 0
    assert wheel.next_due() == math.inf
    assert wheel.turn(10) == []


def test_to_add_nobody_changes_nothing() -> None:
    wheel = wheel_at(0.0, width=1)
    wheel.add_all([], 5.0)
    assert wheel.next_due() == math.inf
    assert wheel.turn(10) == []


def test_items_of_one_slot_come_in_the_order_of_their_coming() -> None:
    wheel = wheel_at(0, width=1)
    for item in (3, 1, 2):
        wheel.add(item, 0.5)
    assert wheel.turn(1) == [3, 1, 2]


def test_what_is_overdue_waits_for_the_next_slot() -> None:
    """Time passes between two turns that return the same item."""
    wheel = wheel_at(10, width=1)
    wheel.add(1, 3)
    assert wheel.turn(10.9) == []
    assert wheel.turn(11) == [1]
    wheel.add(1, 11)
    assert wheel.turn(11) == []
    assert wheel.next_due() == 12


def test_a_clock_that_goes_back_turns_nothing() -> None:
    wheel = wheel_at(10, width=1)
    wheel.turn(20)
    wheel.add(1, 15)
    assert wheel.turn(15) == []
    wheel.add(2, 16)
    assert wheel.turn(20) == []
    assert wheel.turn(21) == [1, 2]


@given(st.floats(0.05, 3600), st.floats(0, 1))
def test_the_first_delay_is_half_to_the_whole_interval(interval: float, random: float) -> None:
    assert interval / 2 <= first_delay(interval, lambda: random) <= interval


def test_the_first_delays_reach_both_ends() -> None:
    randoms = iter([0.0, 0.5, 1.0])
    delays = [first_delay(30, lambda: next(randoms)) for _ in range(3)]
    assert delays == [15, 22.5, 30]
