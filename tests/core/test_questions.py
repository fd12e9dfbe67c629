"""What is asked about logins, from JSON, from forms and from headers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.core.questions import (
    MAX_CHECKS,
    MAX_DECISIONS,
    Check,
    DecisionsQuery,
    LoginQuery,
    Sessions,
    StatisticsQuery,
    Verify,
    bearer,
    read_check,
    read_decisions,
    read_introspection,
    read_sessions,
    read_statistics,
    read_verify,
)
from sse_trio.core.tokens import MAX_EPOCH

NAMED = {"room": "u1", "session": "s1"}
LONGEST = "x" * 256


@pytest.mark.parametrize(
    ("members", "query"),
    [
        ({"token": "a"}, LoginQuery(token="a")),
        ({"token": ""}, LoginQuery(token="")),
        ({"token": "a", "room": None, "session": None, "epoch": None}, LoginQuery(token="a")),
        ({"token": "a", "seen": True, "renew": True}, LoginQuery(token="a", seen=True, renew=True)),
        (NAMED, LoginQuery(room="u1", session="s1")),
        ({"room": 7, "session": 8}, LoginQuery(room="7", session="8")),
        ({"room": LONGEST, "session": LONGEST}, LoginQuery(room=LONGEST, session=LONGEST)),
        (
            NAMED | {"token": None, "seen": None, "x": 1, "key": 2},
            LoginQuery(room="u1", session="s1"),
        ),
        (NAMED | {"epoch": 0, "seen": False}, LoginQuery(room="u1", session="s1", epoch=0)),
        (NAMED | {"epoch": MAX_EPOCH}, LoginQuery(room="u1", session="s1", epoch=MAX_EPOCH)),
    ],
)
def test_the_ways_to_ask_about_one(members: dict[str, Any], query: LoginQuery) -> None:
    assert read_check(members) == Check((query,))
    assert read_check({"checks": [members, members]}) == Check((query, query), is_batch=True)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"room": "u1"},
        {"session": "s1"},
        {"epoch": 1},
        {"token": None},
        {"token": "a", "room": "u1"},
        {"token": "a", "session": "s1"},
        {"token": "a", "epoch": 1},
        {"token": "a"} | NAMED,
        NAMED | {"epoch": MAX_EPOCH + 1},
        NAMED | {"epoch": -1},
        NAMED | {"epoch": True},
        NAMED | {"seen": 1},
        NAMED | {"renew": "yes"},
        {"token": 1},
        {"room": LONGEST + "x", "session": "s1"},
        {"room": "u1", "session": ""},
    ],
)
def test_what_asks_about_nobody(members: dict[str, Any]) -> None:
    for asked in (members, {"checks": [NAMED, members]}):
        with pytest.raises(ValueError, match=r"must|missing|either"):
            read_check(asked)


def test_a_batch_has_a_limit() -> None:
    assert len(read_check({"checks": [NAMED]}).queries) == 1
    assert len(read_check({"checks": [NAMED] * MAX_CHECKS}).queries) == MAX_CHECKS == 100
    for checks in ([], [NAMED] * (MAX_CHECKS + 1)):
        with pytest.raises(ValueError, match=r"^checks must have from 1 to 100 objects$"):
            read_check({"checks": checks})


@pytest.mark.parametrize("checks", [None, 1, "a", {}, [1], [NAMED, None], [[NAMED]]])
def test_a_batch_is_a_list_of_objects(checks: Any) -> None:
    with pytest.raises(ValueError, match=r"^checks must be a list of objects$"):
        read_check({"checks": checks})


@pytest.mark.parametrize("member", ["token", "room", "session", "epoch", "seen", "renew"])
def test_a_batch_is_not_one_beside_it(member: str) -> None:
    with pytest.raises(ValueError, match=r"^either checks, or the members of one$"):
        read_check({"checks": [NAMED], member: None})


@pytest.mark.parametrize("room", ["u1", 7])
def test_whose_sessions(room: str | int) -> None:
    assert read_sessions({"room": room, "x": 1}) == Sessions(str(room))


@pytest.mark.parametrize("members", [{}, {"room": None}, {"room": ""}, {"room": LONGEST + "x"}])
def test_the_sessions_of_nobody(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^room "):
        read_sessions(members)


# -- RFC 7662, section 2.1 ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "token"),
    [
        (b"token=a.b-c_d", "a.b-c_d"),
        (b"token=", ""),
        (b"token_type_hint=access_token&token=a&x=", "a"),
        (b"token=a+b%2e%C3%BC", "a b.\xfc"),
        (b"&".join([b"a=b"] * 99 + [b"token=a"]), "a"),
        (b"token=" + b"%41" * 1000, "A" * 1000),
    ],
)
def test_a_form_asks_about_a_token(body: bytes, token: str) -> None:
    assert read_introspection(body) == Check((LoginQuery(token=token),), is_introspection=True)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "^token is missing, or there is more than one$"),
        (b"tokens=a", "^token is missing"),
        (b"token=a&token=a", "^token is missing"),
        (b"token=\xff", "^the body must be a form$"),
        (b"token=%ff", "^the body must be a form$"),
        (b"&".join([b"a=b"] * 100 + [b"token=a"]), "^the body must be a form$"),
        (b"token=" + b"%41" * 1001, "^the body must not have more than 1000 percent signs$"),
    ],
)
def test_what_is_no_such_form(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_introspection(body)


@given(st.binary())
def test_any_bytes_are_a_form_or_not(body: bytes) -> None:
    try:
        asked = read_introspection(body)
    except ValueError:
        return
    assert asked.is_introspection


# -- what operators ask ------------------------------------------------------------------


def test_the_statistics_are_all_or_nothing() -> None:
    assert read_statistics({}) == read_statistics({"limit": "ignored"}) == StatisticsQuery()


@pytest.mark.parametrize("limit", [1, 2, MAX_DECISIONS])
def test_so_many_decisions(limit: int) -> None:
    assert read_decisions({"limit": limit, "more": 7}) == DecisionsQuery(limit)


def test_all_decisions_that_are_kept() -> None:
    assert read_decisions({}) == DecisionsQuery(MAX_DECISIONS)


@pytest.mark.parametrize("limit", [0, -1, MAX_DECISIONS + 1, 1.0, "1", None, True, []])
def test_no_such_number_of_decisions(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"^limit must be a whole number from 1 to 100$"):
        read_decisions({"limit": limit})


# -- what comes with a request ------------------------------------------------------------

MISSING = Verify(problem="missing")
AMBIGUOUS = Verify(problem="ambiguous")


@pytest.mark.parametrize(
    ("cookies", "verify"),
    [
        ([], MISSING),
        ([b""], MISSING),
        ([b"c"], MISSING),
        ([b"c="], MISSING),
        ([b'c=""'], MISSING),
        ([b"cc=a; xc=a; C=a; c =a"], MISSING),
        ([b"c=a"], Verify("a")),
        ([b" x=y ;\tc=a=b ; z"], Verify("a=b")),
        ([b"x c=b;;c= a"], Verify(" a")),
        ([b"x", b"c=a"], Verify("a")),
        ([b'c="a"'], Verify("a")),
        ([b'c="'], Verify('"')),
        ([b"c=\xff"], Verify("\xff")),
        ([b'c=a; c=a; c="a"', b"c=a"], Verify("a")),
        ([b"c=a; c=b"], AMBIGUOUS),
        ([b"c=a", b"c=b"], AMBIGUOUS),
        ([b"c=a; c="], AMBIGUOUS),
    ],
)
def test_the_token_in_a_cookie(cookies: list[bytes], verify: Verify) -> None:
    """RFC 6265, sections 4.1.1 and 5.4. It decides, where there is one."""
    assert read_verify(cookies, [], "c") == verify
    if b"c=" in b"".join(cookies) and b"cc=" not in b"".join(cookies):
        assert read_verify(cookies, [b"Bearer other"], "c") == verify


@pytest.mark.parametrize(
    ("authorizations", "verify"),
    [
        ([], MISSING),
        ([b"Bearer"], MISSING),
        ([b"Bearer "], MISSING),
        ([b"Basic YTpi"], MISSING),
        ([b"Bearer a"], Verify("a")),
        ([b"bEARER  a "], Verify("a")),
        ([b"Bearer a", b"Basic YTpi", b"Bearer a"], Verify("a")),
        ([b"Bearer a", b"Bearer b"], AMBIGUOUS),
    ],
)
def test_the_token_of_a_bearer(authorizations: list[bytes], verify: Verify) -> None:
    assert read_verify([b"other=x"], authorizations, "c") == verify


def test_no_repr_tells_of_whom() -> None:
    asked = [
        read_check({"room": "secret", "session": "secret"}),
        read_check({"token": "secret"}),
        read_sessions({"room": "secret"}),
        read_verify([b"c=secret"], [], "c"),
    ]
    assert "secret" not in json.dumps(list(map(repr, asked)))


def test_the_credentials_of_another_scheme_are_none() -> None:
    assert (bearer(b"Bearer a"), bearer(b"Basic a"), bearer(b"Bearera")) == (b"a", b"", b"")


def test_to_ask_is_neither_to_be_there_nor_to_renew() -> None:
    query = LoginQuery(token="a")
    assert (query.seen, query.renew) == (False, False)
