"""A notify's limits and a release's, each at its edge; the same for HTTP and for embedders."""

import json
from typing import Any

import pytest
from hypothesis import given

from sse_trio.config import Config
from sse_trio.core.messages import Terminate, encode, parse_from_server
from sse_trio.core.notify import CONFIGURED, LAST_JOINED, Answer, Notify, Release

from .. import strategies


def detail_of(size: int) -> dict[str, str]:
    """A detail of `size` bytes of compact JSON, most of them in characters of two bytes."""
    room = size - len('{"a":""}')
    return {"a": "é" * (room // 2) + "x" * (room % 2)}


def subject(value: object) -> str:
    """Name a case after the member that it is about."""
    return next(iter(value)) if isinstance(value, dict) else "why"


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth - 1):
        inner = {"a": inner}
    return inner


def test_only_the_room_is_needed() -> None:
    notify = Notify(room="u1")
    assert notify == Notify(
        room="u1",
        sender=LAST_JOINED,
        reason="login",
        detail=None,
        id=None,
        wait=0.0,
        end=(),
        max_sessions=CONFIGURED,
        at_limit=None,
        about=None,
    )


def test_nobody_is_another_sender_than_whoever_joined_last() -> None:
    assert Notify(room="u1", sender=None).sender is None
    assert Notify(room="u1", sender=LAST_JOINED).sender is LAST_JOINED


def test_integers_are_names() -> None:
    notify = Notify(room=7, sender=-8)
    assert (notify.room, notify.sender) == ("7", "-8")


@given(strategies.notify_bodies)
def test_takes_all_that_is_within_the_limits(members: dict[str, Any]) -> None:
    notify = Notify(**members)
    assert notify.room == str(members["room"])
    for key in {"reason", "detail", "id", "wait"} & members.keys():
        assert getattr(notify, key) == members[key]


@pytest.mark.parametrize(
    "members",
    [
        {"room": "x" * 256},
        {"sender": "x" * 256},
        {"reason": ""},
        {"reason": "é" * 64},
        {"id": "x"},
        {"id": "x" * 128},
        {"wait": 0},
        {"wait": 10},
        {"wait": 9.99},
        {"detail": {}},
        {"detail": detail_of(1023)},
        {"detail": detail_of(1024)},
        {"detail": nested(31)},
        {"about": {}},
        {"about": detail_of(512)},
        {"about": nested(31)},
        {"about": None},
        {"max_sessions": 1},
        {"max_sessions": 10**30},
        {"max_sessions": None},
        {"max_sessions": CONFIGURED},
        {"at_limit": "end-oldest"},
        {"at_limit": "refuse-new"},
        {"at_limit": None},
    ],
    ids=subject,
)
def test_takes_the_edge(members: dict[str, Any]) -> None:
    notify = Notify(**{"room": "u1"} | members)
    assert {key: getattr(notify, key) for key in members} == members


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"room": ""}, "^room must have 1 to 256"),
        ({"room": "x" * 257}, "^room must have 1 to 256"),
        ({"room": True}, "^room must be a string"),
        ({"room": 1.0}, "^room must be a string"),
        ({"room": None}, "^room must be a string"),
        ({"room": "\ud800"}, "^room must not hold lone surrogates"),
        ({"sender": ""}, "^sender must have 1 to 256"),
        ({"sender": "x" * 257}, "^sender must have 1 to 256"),
        ({"sender": False}, "^sender must be a string"),
        ({"sender": "\x00"}, "^sender must not hold control"),
        ({"reason": "x" * 65}, "^reason must be"),
        ({"reason": None}, "^reason must be"),
        ({"reason": 1}, "^reason must be"),
        ({"reason": "a\nb"}, "^reason must be"),
        ({"reason": "\ud800"}, "^reason must be"),
        ({"id": ""}, "^id must be"),
        ({"id": "x" * 129}, "^id must be"),
        ({"id": 7}, "^id must be"),
        ({"id": "\x7f"}, "^id must be"),
        ({"wait": -0.1}, "^wait must be from 0 to 10"),
        ({"wait": 10.1}, "^wait must be from 0 to 10"),
        ({"wait": 10**400}, "^wait must be from 0 to 10"),
        ({"wait": float("nan")}, "^wait must be from 0 to 10"),
        ({"wait": True}, "^wait must be a number"),
        ({"wait": "1"}, "^wait must be a number"),
        ({"wait": None}, "^wait must be a number"),
        ({"detail": detail_of(1025)}, "^detail must not be longer"),
        ({"detail": {"a": [1] * 600}}, "^detail must not be longer"),
        ({"detail": []}, "^detail must be a JSON object"),
        ({"detail": "x"}, "^detail must be a JSON object"),
        ({"detail": False}, "^detail must be a JSON object"),
        ({"detail": {"a": float("inf")}}, "^detail must be a JSON object"),
        ({"detail": {"a": b"bytes"}}, "^detail must be a JSON object"),
        ({"detail": {"a": "\ud800"}}, "^detail must be a JSON object"),
        ({"detail": {("a",): 1}}, "^detail must be a JSON object"),
        ({"detail": {1: 1, "1": 2}}, "^detail must be a JSON object"),
        ({"detail": nested(32)}, "^detail must be a JSON object"),
        ({"detail": nested(99_999)}, "^detail must be a JSON object"),
        ({"about": detail_of(513)}, "^about must not be longer than 512 bytes"),
        ({"about": []}, "^about must be a JSON object"),
        ({"about": {"a": "\ud800"}}, "^about must be a JSON object"),
        ({"about": nested(32)}, "^about must be a JSON object"),
        ({"max_sessions": 0}, "^max_sessions must be at least 1"),
        ({"max_sessions": -1}, "^max_sessions must be at least 1"),
        ({"max_sessions": True}, "^max_sessions must be a whole number"),
        ({"max_sessions": 2.0}, "^max_sessions must be a whole number"),
        ({"max_sessions": "2"}, "^max_sessions must be a whole number"),
        ({"at_limit": "refuse"}, '^at_limit must be "end-oldest" or "refuse-new"'),
        ({"at_limit": False}, "^at_limit must be"),
        ({"at_limit": ["end-oldest"]}, "^at_limit must be"),
    ],
    ids=subject,
)
def test_refuses_what_is_beyond(members: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        Notify(**{"room": "u1"} | members)
    assert refusal.value.__cause__ is None


def test_a_detail_that_holds_itself_is_refused() -> None:
    detail: dict[str, Any] = {}
    detail["self"] = detail
    with pytest.raises(ValueError, match=r"^detail must be a JSON object"):
        Notify(room="u1", detail=detail)


def test_a_detail_is_what_it_was_when_it_was_given() -> None:
    detail = {"devices": ["phone"]}
    notify = Notify(room="u1", detail=detail)
    detail["devices"].append("laptop")
    assert notify.detail == {"devices": ["phone"]}


@pytest.mark.parametrize(
    "detail", [nested(31), detail_of(1024), {"a": 1e308}, {"a": 10**600}], ids=len
)
def test_whatever_detail_is_taken_reaches_a_python_client(detail: dict[str, Any]) -> None:
    notify = Notify(room="u1", detail=detail)
    terminate = Terminate("u1", 1, notify.reason, notify.detail)
    assert parse_from_server(encode(terminate)) == terminate
    assert json.loads(encode(terminate))["detail"] == detail


# -- a limit of its own ------------------------------------------------------------------


@pytest.mark.parametrize(("remembered", "most"), [(64, 63), (3, 2)])
def test_a_room_may_be_given_any_limit_below_what_it_remembers(remembered: int, most: int) -> None:
    config = Config(max_remembered_sessions=remembered)
    assert Notify(room="u1").limit(config) is None
    assert Notify(room="u1", max_sessions=None).limit(config) == most
    for wanted in (Notify(room="u1"), Notify(room="u1", max_sessions=None)):
        wanted.check_limit(config)
    for limit in (1, most):
        notify = Notify(room="u1", max_sessions=limit)
        notify.check_limit(config)
        assert notify.limit(config) == limit
    for limit in (most + 1, 10**30):
        notify = Notify(room="u1", max_sessions=limit)
        with pytest.raises(ValueError, match=f"^max_sessions must be from 1 to {most}, or null "):
            notify.check_limit(config)


# -- a release --------------------------------------------------------------------------


def test_only_room_and_session_are_needed_for_a_release() -> None:
    assert Release(room="u1", session="s1") == Release(room="u1", session="s1", wait=0.0)


def test_integers_are_names_of_a_release_too() -> None:
    release = Release(room=7, session=-8)
    assert (release.room, release.session) == ("7", "-8")


@given(strategies.release_bodies)
def test_takes_every_release_that_is_within_the_limits(members: dict[str, Any]) -> None:
    release = Release(**members)
    assert release.room == str(members["room"])
    assert release.session == str(members["session"])
    assert release.wait == members.get("wait", 0)
    assert release.reason == members.get("reason", "logout")


@pytest.mark.parametrize(
    "members",
    [
        {"room": "x" * 256},
        {"reason": "x" * 64},
        {"reason": ""},
        {"session": "x"},
        {"session": "é" * 256},
        {"wait": 0},
        {"wait": 10},
        {"wait": 9.99},
        {"epoch": None},
        {"epoch": 0},
        {"epoch": 2**53},
    ],
    ids=subject,
)
def test_takes_the_edge_of_a_release(members: dict[str, Any]) -> None:
    release = Release(**{"room": "u1", "session": "s1"} | members)
    assert {key: getattr(release, key) for key in members} == members


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"room": ""}, "^room must have 1 to 256"),
        ({"room": "x" * 257}, "^room must have 1 to 256"),
        ({"room": True}, "^room must be a string"),
        ({"room": None}, "^room must be a string"),
        ({"room": "\ud800"}, "^room must not hold lone surrogates"),
        ({"session": ""}, "^session must have 1 to 256"),
        ({"session": "x" * 257}, "^session must have 1 to 256"),
        ({"session": False}, "^session must be a string"),
        ({"session": 1.0}, "^session must be a string"),
        # A notify may leave nobody; a release is of somebody.
        ({"session": None}, "^session must be a string"),
        ({"session": LAST_JOINED}, "^session must be a string"),
        ({"session": "\x00"}, "^session must not hold control"),
        ({"session": "\udfff"}, "^session must not hold lone surrogates"),
        ({"reason": "x" * 65}, "^reason must be a string of 0 to 64 printable"),
        ({"reason": None}, "^reason must be a string"),
        ({"wait": -0.1}, "^wait must be from 0 to 10"),
        ({"wait": 10.1}, "^wait must be from 0 to 10"),
        ({"wait": 10**400}, "^wait must be from 0 to 10"),
        ({"wait": float("nan")}, "^wait must be from 0 to 10"),
        ({"wait": True}, "^wait must be a number"),
        ({"wait": "1"}, "^wait must be a number"),
        ({"wait": None}, "^wait must be a number"),
        ({"epoch": -1}, "^epoch must be from 0 to 9007199254740992"),
        ({"epoch": 2**53 + 1}, "^epoch must be from 0 to"),
        ({"epoch": False}, "^epoch must be a whole number"),
        ({"epoch": 1.0}, "^epoch must be a whole number"),
        ({"epoch": "1"}, "^epoch must be a whole number"),
    ],
    ids=subject,
)
def test_refuses_a_release_that_is_beyond(members: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        Release(**{"room": "u1", "session": "s1"} | members)
    assert refusal.value.__cause__ is None


# -- who is to end in any case -------------------------------------------------------------


def test_whoever_is_to_end_is_named_as_everywhere_and_in_any_order() -> None:
    said: list[list[str | int]] = [["s2", 7, "s1"], [7, "s1", "s2"], ["7", "s1", "s1", "s2"]]
    assert {Notify(room="u1", sender="s3", end=end).end for end in said} == {("7", "s1", "s2")}
    assert Notify(room="u1", end={"s1"}).end == Notify(room="u1", end=("s1",)).end == ("s1",)


def test_no_more_than_sixteen_are_to_end() -> None:
    sixteen = [f"s{number}" for number in range(16)]
    assert len(Notify(room="u1", end=sixteen).end) == 16
    with pytest.raises(ValueError, match=r"^end must not have more than 16 sessions$"):
        Notify(room="u1", end=[*sixteen, "s16"])


@pytest.mark.parametrize("end", ["s1", None, 7, {"s1": 1}, [None], [""], ["\x00"], [1.5], [["s1"]]])
def test_refuses_to_end_what_is_no_session(end: Any) -> None:
    with pytest.raises(ValueError, match=r"^end must ") as refusal:
        Notify(room="u1", end=end)
    assert "s1" not in str(refusal.value)


@pytest.mark.parametrize("sender", ["7", 7])
def test_refuses_to_end_the_sender(sender: str | int) -> None:
    with pytest.raises(ValueError, match=r"^end must not name the sender$"):
        Notify(room="u1", sender=sender, end=["s1", 7])
    # Where it is left out, it is not known yet.
    assert Notify(room="u1", end=["s1", 7]).sender is LAST_JOINED


# -- what a repr may tell ---------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        Notify(room="a room", sender="a session", reason="login"),
        Notify(room="a room", end=["a session"]),
        Notify(room="u1", about={"device": "a session"}),
        Answer("i1", "u1", None, None, 7, 2, 1.0, ended=["a session"]),
        Release(room="a room", session="a session"),
        Answer("i1", "a room", "a session", "a session", 7, 2, 1_800_000_000.0, ["a session"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_room_and_no_session_is_in_a_repr(value: object) -> None:
    assert "a room" not in repr(value)
    assert "a session" not in repr(value)


def test_an_answer_keeps_what_was_asked_apart_from_who_stays() -> None:
    answer = Answer("i1", "u1", LAST_JOINED, "s2", epoch=7, terminated=2, at=5.0)
    assert (answer.asked, answer.sender) == (LAST_JOINED, "s2")
    assert answer != Answer("i1", "u1", "s2", "s2", epoch=7, terminated=2, at=5.0)
