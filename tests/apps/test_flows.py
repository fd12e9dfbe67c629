"""Several calls, one after the other, and what is done in the background. No byte moves here."""

import asyncio
import itertools
import threading

import pytest

from sse_trio.apps import Conflict, HubAway, HubRefused, New, answers, calls, flows
from sse_trio.apps.background import Background
from sse_trio.apps.calls import Call
from sse_trio.apps.flows import Flow, Later, Settled
from sse_trio.apps.streams import State

from .support import ACTIVE, LOOSELY, NOTIFIED, UNKNOWN, at_once


def test_the_pauses_in_the_background_grow_to_a_minute() -> None:
    assert list(itertools.islice(flows.pauses(), 8)) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_login_that_the_hub_could_not_name_is_ended_if_it_stands() -> None:
    flow = flows.ending("a.token", 2.0)
    question = next(flow)
    assert isinstance(question, Call)
    assert question.members == {"token": "a.token"}
    release = flow.send(answers.checked(ACTIVE))
    assert isinstance(release, Call)
    assert release.members == {"room": "ada", "session": "s1", "epoch": 1}
    flow = flows.ending("a.token", 2.0)
    next(flow)
    with pytest.raises(StopIteration):
        flow.send(answers.checked(UNKNOWN))


def test_what_is_done_later_is_not_shown() -> None:
    flow = flows.releasing(calls.release("ada", "s1", 2.0))
    next(flow)
    later = flow.throw(HubAway("away"))
    assert isinstance(later, flows.Later)
    assert repr(later) == "Later()"


def test_a_new_session_is_released_if_its_notify_fails() -> None:
    call = calls.notify("ada", New.SESSION, 6.0, 0)
    flow = flows.announcing(call, 2.0)
    assert next(flow) is call
    later = flow.throw(HubAway("away"))
    assert isinstance(later, Later)
    (release,) = later.flow()
    assert isinstance(release, Call)
    assert release.members == {"room": "ada", "session": call.members["sender"]}
    assert later.about == ("ada", call.members["sender"])
    with pytest.raises(HubAway):
        next(flow)


def test_a_refusal_after_an_attempt_that_was_not_answered_releases_too() -> None:
    refused = HubRefused("/notify", 401, "unauthorized")
    flow = flows.announcing(calls.notify("ada", New.SESSION, 6.0, 0), 2.0)
    next(flow)
    with pytest.raises(HubRefused):  # nothing has been done
        flow.throw(refused)
    refused.__cause__ = HubAway("late")
    flow = flows.announcing(calls.notify("ada", New.SESSION, 6.0, 0), 2.0)
    next(flow)
    assert isinstance(flow.throw(refused), Later)


def test_what_is_tried_again_in_the_background() -> None:
    assert not flows.is_final(HubAway("late"))
    statuses = (400, 401, 403, 404, 409, 413, 429)
    final = [status for status in statuses if flows.is_final(HubRefused("/x", status, ""))]
    assert final == [400, 409, 413]
    assert flows.is_final(Conflict("x"))


@pytest.mark.parametrize("sender", ["s1", None])
def test_a_session_that_the_caller_names_is_not_released(sender: str | None) -> None:
    """It may have logged in before, or logs in when the caller repeats."""
    flow = flows.announcing(calls.notify("ada", sender, 6.0, 0), 2.0)
    next(flow)
    with pytest.raises(HubAway):
        flow.throw(HubAway("away"))


def test_a_session_that_logs_in_again_is_not_released_any_more() -> None:
    flow = flows.announcing(calls.notify("ada", "s1", 6.0, 0), 2.0)
    next(flow)
    assert flow.send(answers.notified(NOTIFIED, "s1")) == Settled(("ada", "s1"))
    with pytest.raises(StopIteration):
        flow.send(None)
    for sender in (None, New.SESSION):  # nothing waits for these
        flow = flows.announcing(calls.notify("ada", sender, 6.0, 0), 2.0)
        next(flow)
        with pytest.raises(StopIteration):
            flow.send(answers.notified(NOTIFIED, None if sender is None else "s2"))


def test_what_waits_is_given_up_when_it_is_settled() -> None:
    """In threads: the first is under way when the second one is settled."""
    first, go_on, last = (threading.Event() for _ in range(3))
    done: list[str] = []

    def run(flow: Flow[None]) -> None:
        (call,) = flow
        assert isinstance(call, Call)
        done.append(call.members["session"])
        if call.members["session"] == "s1":
            first.set()
            assert go_on.wait(LOOSELY)
        if call.members["session"] == "s3":
            last.set()

    background = Background(at_once)
    for session in ("s1", "s2", "s3"):
        background.add(waiting(session), run)
        assert first.wait(LOOSELY)
    background.settle(Settled(("ada", "s2")))
    go_on.set()
    assert last.wait(LOOSELY)
    assert done == ["s1", "s3"]


def test_a_defect_ends_nothing_else_that_waits(caplog: pytest.LogCaptureFixture) -> None:
    done = threading.Event()

    def run(flow: Flow[None]) -> None:
        (call,) = flow
        assert isinstance(call, Call)
        if call.members["session"] == "s1":
            raise RuntimeError("of the session s1")
        done.set()

    background = Background(at_once)
    background.add(waiting("s1"), run)
    background.add(waiting("s2"), run)
    assert done.wait(LOOSELY)
    assert caplog.messages == ["a logout was dropped: RuntimeError"]


def waiting(session: str) -> Later:
    flow = flows.releasing(calls.release("ada", session, 2.0))
    next(flow)
    later = flow.throw(HubAway("away"))
    assert isinstance(later, Later)
    return later


def test_what_waits_is_given_up_when_it_is_settled_by_asyncio() -> None:
    async def main() -> None:
        state = State(1)
        for session in ("s1", "s2"):
            state.begin(asyncio.sleep(LOOSELY), ("ada", session))
        one, other = state.later
        state.settle(("ada", "s1"))
        await asyncio.wait([one])
        assert one.cancelled()
        assert list(state.later) == [other]
        other.cancel()

    asyncio.run(main())
