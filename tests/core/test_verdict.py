"""The verdict that follows from what a check has found."""

from sse_trio.core.logins import Login, Termination
from sse_trio.core.verdict import UNKNOWN, Verdict, verdict_of


def test_a_login_that_stands_is_active() -> None:
    found = Login(7, since=1.0, seen=2.0, about={"device": "phone"})
    assert verdict_of("u1", "s1", found) == Verdict(
        active=True, known=True, room="u1", session="s1", epoch=7
    )


def test_one_that_has_ended_is_told_as_its_pages_are() -> None:
    assert verdict_of("u1", "s1", Termination(8, "new", {"on": "phone"})) == Verdict(
        known=True, room="u1", session="s1", epoch=8, reason="new", detail={"on": "phone"}
    )


def test_a_token_has_a_time_however_its_session_is_judged() -> None:
    for found in (Login(7, since=1.0, seen=2.0), Termination(8, "new")):
        assert verdict_of("u1", "s1", found, 60.5).expires == 60.5
    assert verdict_of("u1", "s1", None, 60.5) is UNKNOWN


def test_of_what_is_not_known_nothing_is_said() -> None:
    assert verdict_of("u1", "s1", None) is UNKNOWN
    assert Verdict(active=False, known=False) == UNKNOWN


def test_nothing_of_a_user_is_in_a_repr() -> None:
    verdict = Verdict(
        room="a user", session="a user", detail={"a user": 1}, ticket="a user", token="a user"
    )
    assert "a user" not in repr(verdict)
