"""Every error that HTTP is answered with: what RFC 9457 says, and nothing of anybody's data."""

import http
import json

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.core import problems
from sse_trio.core.problems import STATUSES, Problem, conflict, from_error, limit_reached
from sse_trio.errors import Conflict, LimitReached, LoginEnded
from sse_trio.roster import SessionInfo

from .. import strategies

CONSTANTS = {name: value for name, value in vars(problems).items() if isinstance(value, Problem)}


def test_a_problem_is_what_rfc_9457_says() -> None:
    assert json.loads(Problem("not-found", "nothing is at this path").body) == {
        "type": "urn:sse-trio:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "nothing is at this path",
    }


@given(
    st.sampled_from(list(STATUSES)),
    strategies.texts,
    st.dictionaries(st.sampled_from(["sessions", "room", "x"]), strategies.json_values),
)
def test_every_member_of_a_problem_can_be_read(
    kind: str, detail: str, extensions: dict[str, object]
) -> None:
    problem = Problem(kind, detail, extensions=tuple(extensions.items()))
    assert json.loads(problem.body) == {
        "type": f"urn:sse-trio:problem:{kind}",
        "title": http.HTTPStatus(STATUSES[kind]).phrase,
        "status": STATUSES[kind],
        "detail": detail,
        **extensions,
    }


def test_the_ready_made_problems_are_these() -> None:
    assert {(name, problem.status, problem.close) for name, problem in CONSTANTS.items()} == {
        ("BROKEN", 500, True),
        ("HEADERS_TOO_LARGE", 431, True),
        ("LOADING", 503, False),
        ("NO_STREAM", 404, False),
        ("ORIGIN_REFUSED", 403, False),
        ("TOO_MANY_HEADERS", 431, True),
        ("TIMED_OUT", 408, True),
        ("TOO_LARGE", 413, True),
        ("UNAUTHORIZED", 401, False),
        ("WRONG_KEYS", 429, False),
        ("DRAINING", 503, True),
        ("NOT_CURRENT", 503, False),
        ("UNDURABLE", 503, False),
    }


@pytest.mark.parametrize("problem", CONSTANTS.values(), ids=CONSTANTS)
def test_every_ready_made_problem_can_be_written(problem: Problem) -> None:
    assert json.loads(problem.body)["status"] == problem.status
    h11.Response(status_code=problem.status, headers=list(problem.headers))


@pytest.mark.parametrize("problem", CONSTANTS.values(), ids=CONSTANTS)
def test_who_may_come_back_is_told_when(problem: Problem) -> None:
    """RFC 6585, section 4, and RFC 9110, section 15.6.4."""
    seconds = [value for name, value in problem.headers if name == b"Retry-After"]
    assert len(seconds) == (problem.status in (429, 503))
    assert all(int(value) > 0 for value in seconds)


# -- a room that is full ----------------------------------------------------------------


def test_who_finds_no_place_is_told_who_is_in_the_way() -> None:
    about = {"device": "phone"}
    standing = [
        SessionInfo(session="s2", epoch=7, since=5.5, seen=9.0, connected=True, about=about),
        SessionInfo(session="s1", epoch=3, since=1.0, seen=2.0),
    ]
    problem = limit_reached(LimitReached(standing))
    assert (problem.status, problem.headers, problem.close) == (409, (), False)
    assert json.loads(problem.body) == {
        "type": "urn:sse-trio:problem:limit-reached",
        "title": "Conflict",
        "status": 409,
        "detail": "the room has all the sessions that it may have",
        "sessions": [
            {
                "session": "s2",
                "epoch": 7,
                "since": 5.5,
                "seen": 9.0,
                "connected": True,
                "about": about,
            },
            {
                "session": "s1",
                "epoch": 3,
                "since": 1.0,
                "seen": 2.0,
                "connected": False,
                "about": None,
            },
        ],
    }


def test_a_login_that_has_ended_is_not_taken_for_an_id_that_was_used() -> None:
    assert conflict(Conflict("other")).kind == "id-used"
    assert conflict(LoginEnded("ended")).kind == "login-ended"


def test_a_full_room_is_not_taken_for_an_id_that_was_used() -> None:
    used = conflict(Conflict("this id was used"))
    assert limit_reached(LimitReached([])).status == used.status == 409
    assert limit_reached(LimitReached([])).detail != used.detail == "this id was used"


# -- what h11 finds ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "status"), [(400, 400), (431, 431), (501, 501), (413, 400), (505, 400)]
)
def test_what_h11_finds_ends_the_connection_and_is_not_quoted(hint: int, status: int) -> None:
    problem = from_error(h11.RemoteProtocolError("a secret", error_status_hint=hint))
    assert (problem.status, problem.close) == (status, True)
    assert b"secret" not in problem.body


def test_a_head_that_is_too_large_is_one_problem_whoever_finds_it() -> None:
    error = h11.RemoteProtocolError("too long", error_status_hint=431)
    assert from_error(error) is problems.HEADERS_TOO_LARGE
