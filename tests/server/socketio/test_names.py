"""Names that clients send, in the log."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.hub.limited_log import OFTEN, WINDOW, LimitedLog
from sse_trio.server.socketio.names import MAX_NAMES, MAX_SHOWN, Names


class World:
    """Names, and the lines that tell of them."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, logger="sse_trio")
        self.now = 0.0
        self._caplog = caplog
        self.names = Names(LimitedLog(lambda: self.now), "here is %s")

    def told(self) -> list[str]:
        """Return the lines since the last call."""
        told = list(self._caplog.messages)
        self._caplog.clear()
        return told


@pytest.fixture
def world(caplog: pytest.LogCaptureFixture) -> World:
    return World(caplog)


def test_each_is_told_once(world: World) -> None:
    for name in ("a", "b", "a"):
        world.names.note(name)
    world.now = 10 * WINDOW
    world.names.note("a")
    assert world.told() == ["here is a", "here is b"]


def test_what_can_be_shown(world: World) -> None:
    for name in ("a\nb\x1b[1m", "x" * MAX_SHOWN, "x" * (MAX_SHOWN + 1)):
        world.names.note(name)
    assert world.told() == ["here is ab[1m", f"here is {'x' * MAX_SHOWN}"]


def test_a_flood_of_names_does_not_hide_the_true_one(world: World) -> None:
    """Its lines are limited; a name that was left out is told as soon as there is room."""
    for number in range(1000):
        world.names.note(f"flood {number}")
    world.names.note("true")
    assert world.told() == [f"here is flood {number}" for number in range(OFTEN)]
    world.now += WINDOW
    for name in ("true", "flood 0"):
        world.names.note(name)
    assert world.told() == [f"left out {1001 - OFTEN} more like this one: here is %s",
                            "here is true"]  # fmt: skip


def test_so_many_are_remembered_and_the_one_that_was_not_seen_for_longest_is_forgotten(
    world: World,
) -> None:
    for number in range(MAX_NAMES):
        world.now += WINDOW
        world.names.note(str(number))
    world.names.note("0")
    assert len(world.told()) == MAX_NAMES
    world.now += WINDOW
    world.names.note("one more")
    for name in ("0", "2", "1"):
        world.names.note(name)
    assert world.told() == ["here is one more", "here is 1"]


@given(st.text())
def test_any_name_may_come(name: str) -> None:
    Names(LimitedLog(lambda: 0.0), "here is %s").note(name)
