"""What is tried again, and until when; what an answer means. No byte moves here."""

import json
from typing import Any

import pytest

from sse_trio.apps import Conflict, HubAway, HubRefused, LimitReached, calls
from sse_trio.apps.address import parse
from sse_trio.apps.calls import Attempt, Call, Lost, New, Pause
from sse_trio.apps.exchange import Answer
from sse_trio.core import notify
from sse_trio.errors import LoginEnded

from .support import ACTIVE, NOTIFIED, RELEASED, UNKNOWN

A, B, C = parse("http://a:1"), parse("http://b:2"), parse("http://c:3")
CHECK = calls.check(2.0, token="a token")


class Play:
    """Plays a call: each attempt is answered by the next outcome, and takes no time itself."""

    def __init__(self, call: Call[Any], *outcomes: Answer | Lost, addresses: Any = (A,)) -> None:
        self.now = 100.0
        self.steps: list[Any] = []
        self.result: Any = None
        self.order = list(addresses)
        made = calls.attempts(call, "the key", self.order, lambda: self.now)
        left = iter(outcomes)
        try:
            step = next(made)
            while True:
                self.steps.append(step)
                if isinstance(step, Pause):
                    self.now += step.seconds
                    step = next(made)
                else:
                    step = made.send(next(left))
        except StopIteration as done:
            self.result = done.value
        except (HubAway, HubRefused, Conflict, LimitReached) as error:
            self.result = error
        assert list(left) == []

    @property
    def attempts(self) -> list[Attempt]:
        return [step for step in self.steps if isinstance(step, Attempt)]

    @property
    def pauses(self) -> list[float]:
        return [step.seconds for step in self.steps if isinstance(step, Pause)]


def ok(members: Any) -> Answer:
    return Answer(200, json.dumps(members).encode())


def problem(status: int, kind: str, **more: Any) -> Answer:
    return Answer(status, json.dumps({"type": f"urn:sse-trio:problem:{kind}", **more}).encode())


AWAY = Answer(503, b"")


def test_an_answer_at_once() -> None:
    play = Play(CHECK, ok(ACTIVE))
    assert play.result.active
    (attempt,) = play.attempts
    assert (attempt.path, attempt.address, attempt.deadline) == ("/check", A, 102.0)
    assert json.loads(attempt.body) == {"key": "the key", "token": "a token"}
    assert "token" not in repr(play.steps)


def test_every_attempt_sends_the_same() -> None:
    call = calls.notify("ada", New.SESSION, 6.0, 0)
    play = Play(call, AWAY, Lost("reset"), Answer(502, b""), ok(NOTIFIED))
    assert play.result.token == "a.token"
    assert len({attempt.body for attempt in play.attempts}) == 1
    sent = json.loads(play.attempts[0].body)
    assert len(sent["id"]) == len(sent["sender"]) == 32
    assert play.result.session == sent["sender"]
    assert sent["id"] != sent["sender"]
    assert calls.notify("ada", "s1", 6.0, 0, id="mine").members["id"] == "mine"
    assert "id" in calls.notify("ada", None, 6.0, 0).members


def test_the_limit_of_a_notify() -> None:
    assert "max_sessions" not in calls.notify("ada", "s1", 6.0, 0).members
    for limit in (2, None):
        sent = calls.notify("ada", "s1", 6.0, 0, max_sessions=limit).members
        assert sent["max_sessions"] == limit


def test_pauses_grow_and_the_deadline_is_one_for_all() -> None:
    play = Play(CHECK, *[Lost("reset")] * 6)
    assert isinstance(play.result, HubAway)
    assert play.pauses == [0.05, 0.1, 0.2, 0.4, 0.8]
    assert {attempt.deadline for attempt in play.attempts} == {102.0}
    # The next pause would be over after the deadline, so there is none.
    assert play.now == pytest.approx(101.55)


def test_retry_after_is_heeded() -> None:
    wait = Answer(503, b"", 1.0)
    play = Play(CHECK, wait, ok(UNKNOWN))
    assert play.pauses == [1.0]
    assert not play.result.known
    # An answer that cannot be waited for is handed on at once.
    play = Play(CHECK, Answer(503, b"", 5.0))
    assert (play.pauses, play.result.retry_after) == ([], 5.0)
    assert Play(calls.check(0.01), AWAY).result.retry_after == 1
    assert Play(calls.check(0.01), Lost("reset")).result.retry_after == 1


def test_a_kept_connection_that_was_dead_is_no_pause() -> None:
    play = Play(CHECK, Lost("reset", was_kept=True), ok(ACTIVE))
    assert [attempt.is_fresh for attempt in play.attempts] == [False, True]
    assert play.pauses == []


def test_several_addresses_share_the_time() -> None:
    play = Play(CHECK, Lost("late"), ok(ACTIVE), addresses=(A, B))
    assert [(each.address, each.deadline) for each in play.attempts] == [(A, 101.0), (B, 102.0)]
    assert play.pauses == []
    play = Play(CHECK, AWAY, AWAY, ok(ACTIVE), addresses=(A, B))
    assert [each.address for each in play.attempts] == [A, B, A]


def test_the_address_that_has_answered_last_is_asked_first() -> None:
    addresses = (A, B, C)
    assert Play(CHECK, Lost("late"), AWAY, ok(ACTIVE), addresses=addresses).order == [C, A, B]
    assert Play(CHECK, Lost("late"), problem(401, "x"), addresses=addresses).order == [B, A, C]
    # Who answers that it cannot answer, or says nothing, changes nothing.
    assert Play(CHECK, ok(ACTIVE), addresses=addresses).order == [A, B, C]
    away = Answer(503, b"", 60.0)
    assert Play(CHECK, Lost("late"), away, away, addresses=addresses).order == [A, B, C]


@pytest.mark.parametrize("status", [400, 401, 404, 413, 415, 429, 301])
def test_a_refusal_is_not_repeated(status: int) -> None:
    play = Play(CHECK, problem(status, "some-kind"))
    assert isinstance(play.result, HubRefused)
    assert (play.result.status, play.result.kind) == (status, "some-kind")
    assert str(play.result) == f"the hub refuses /check: {status} some-kind"


@pytest.mark.parametrize("first", [Lost("late"), Answer(503, b"")])
def test_a_refusal_after_an_attempt_that_may_have_been_done(first: Answer | Lost) -> None:
    for refusal in (problem(401, "unauthorized"), problem(409, "limit-reached", sessions=[])):
        assert isinstance(Play(CHECK, first, refusal).result.__cause__, HubAway)
        assert Play(CHECK, refusal).result.__cause__ is None


def test_what_comes_from_others_is_not_quoted() -> None:
    for body in (b"<html>", b"[]", b'{"type": 7}', b'{"type": "urn:sse-trio:problem:\\u0007"}'):
        assert Play(CHECK, Answer(401, body)).result.kind == ""


def test_a_conflict() -> None:
    session = {"session": "s1", "epoch": 1, "since": 1.5, "seen": 2, "connected": True}
    full = Play(CHECK, problem(409, "limit-reached", sessions=[session])).result
    assert isinstance(full, LimitReached)
    assert full.sessions[0].about is None
    assert isinstance(Play(CHECK, problem(409, "login-ended")).result, LoginEnded)
    assert isinstance(Play(CHECK, problem(409, "id-used")).result, Conflict)
    for other in (problem(409, "other"), problem(409, "limit-reached", sessions=7)):
        assert isinstance(Play(CHECK, other).result, HubRefused)


MISSHAPEN: list[Any] = [
    None,
    [],
    {},
    ACTIVE | {"active": 1},
    ACTIVE | {"epoch": True},
    {**ACTIVE, "room": None},
    {"active": True, "known": False},
]


@pytest.mark.parametrize("members", MISSHAPEN)
def test_an_answer_that_is_none_of_a_hub(members: Any) -> None:
    play = Play(CHECK, ok(members))
    assert isinstance(play.result, HubAway)
    assert len(play.attempts) == 1  # it would be the same again


def test_what_an_answer_must_have() -> None:
    notify, release = calls.notify("ada", "s1", 6.0, 0), calls.release("ada", "s1", 2.0)
    assert Play(release, ok(RELEASED)).result.token is None
    assert isinstance(Play(notify, ok(RELEASED)).result, HubAway)  # without a token
    for wrong in ("", "a token", "a;token", "a\r\ntoken", "tökén", 7):
        for name in ("token", "ticket"):
            assert isinstance(Play(notify, ok(NOTIFIED | {name: wrong})).result, HubAway)
            assert isinstance(Play(CHECK, ok(ACTIVE | {name: wrong})).result, HubAway)
    assert Play(calls.notify("ada", None, 6.0, 0), ok(RELEASED)).result.session is None
    for name in RELEASED:
        members = {key: value for key, value in RELEASED.items() if key != name}
        assert isinstance(Play(release, ok(members)).result, HubAway)
    assert isinstance(Play(release, ok(RELEASED | {"ended": [7]})).result, HubAway)


def test_many_checks_have_as_many_answers() -> None:
    many = calls.check_many(2.0, [{"token": "a"}, {"token": "b"}])
    both = Play(many, ok({"checks": [ACTIVE, UNKNOWN]})).result
    assert [found.active for found in both] == [True, False]
    others: list[Any] = [{"checks": [ACTIVE]}, {"checks": 7}, {}, []]
    for wrong in others:
        assert isinstance(Play(many, ok(wrong)).result, HubAway)


NO_NAMES = ["", "\ud800", "a\nb", "x" * 257]


@pytest.mark.parametrize("wrong", NO_NAMES)
def test_what_is_no_name_is_not_asked_about(wrong: str) -> None:
    assert not calls.is_name(wrong)
    with pytest.raises(ValueError, match=r"^session "):
        calls.release("ada", wrong, 2.0)
    with pytest.raises(ValueError, match=r"^room "):
        calls.release(wrong, "s1", 2.0)
    with pytest.raises(ValueError, match=r"^room "):
        calls.notify(wrong, "s1", 6.0, 0)
    with pytest.raises(ValueError, match=r"^sender "):
        calls.notify("ada", wrong, 6.0, 0)
    with pytest.raises(ValueError, match=r"^end "):
        calls.notify("ada", "s1", 6.0, 0, end=["s2", wrong])


def test_a_name_may_be_a_number() -> None:
    assert calls.is_name(7)
    assert calls.release(7, 8, 2.0).members == {"room": 7, "session": 8}
    assert calls.MAX_END == notify.MAX_END
