"""Lines that clients can cause at will."""

import logging

import pytest

from sse_trio.hub.limited_log import OFTEN, WINDOW, LimitedLog


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_some_are_written_and_the_others_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    limited_log = LimitedLog(clock)
    for number in range(OFTEN + 5):
        limited_log.warn("number %d", number)
    assert caplog.messages == [f"number {number}" for number in range(OFTEN)]
    caplog.clear()
    clock.now = WINDOW - 1
    limited_log.report_left_out()
    assert not caplog.messages
    clock.now = WINDOW
    limited_log.report_left_out()
    limited_log.report_left_out()
    assert caplog.messages == ["left out 5 more like this one: number %d"]
    caplog.clear()
    limited_log.warn("number %d", 1)
    assert caplog.messages == ["number 1"]


def test_what_is_over_is_told_by_the_next_of_its_kind(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    limited_log = LimitedLog(clock)
    for _ in range(OFTEN + 1):
        limited_log.error("this")
    limited_log.warn("that")
    clock.now = WINDOW
    limited_log.error("this")
    assert (
        caplog.messages[OFTEN:]
        == ["this", "that", "left out 1 more like this one: this", "this"][1:]
    )
    assert {record.levelno for record in caplog.records} == {logging.ERROR, logging.WARNING}


def test_at_the_end_everything_is_told(caplog: pytest.LogCaptureFixture) -> None:
    limited_log = LimitedLog(Clock())
    for _ in range(OFTEN + 2):
        limited_log.error("this")
    limited_log.warn("that")
    limited_log.close()
    assert caplog.messages[OFTEN:] == ["that", "left out 2 more like this one: this"]


def test_one_failure_does_not_hide_another(caplog: pytest.LogCaptureFixture) -> None:
    """And what it says of the client's input is not written."""
    limited_log = LimitedLog(Clock())
    for error in [KeyError("secret")] * 2 * OFTEN + [ValueError("secret")]:
        try:
            raise error
        except (KeyError, ValueError):
            limited_log.failed("a request failed", error)
    assert "a request failed: ValueError" in caplog.messages[-1]
    assert len(caplog.messages) == OFTEN + 1
    assert "secret" not in caplog.text
