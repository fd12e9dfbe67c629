"""Bodies of requests that need the key, and in which order they are refused."""

import json
from typing import Any

import pytest

from sse_trio.config import Config
from sse_trio.core.keyed import READERS, read_form_untrusted, read_json_untrusted, with_id
from sse_trio.core.notify import LAST_JOINED, Notify
from sse_trio.core.problems import UNAUTHORIZED, Problem
from sse_trio.core.questions import Check, LoginQuery

CONFIG = Config(authkey=["a-key-of-the-tests", "another"])
RIGHT = b"Bearer a-key-of-the-tests"
ONE: dict[str, dict[str, Any]]
ONE = {"/notify": {"room": "u1"}, "/release": {"room": "u1", "session": "s1"}}
ONE |= {"/check": {"token": "a"}, "/sessions": {"room": "u1"}}
ONE |= {"/statistics": {}, "/decisions": {"limit": 1}}


def read(path: str, authorization: bytes | None, **members: Any) -> object:
    body = json.dumps(members).encode()
    return read_json_untrusted(CONFIG, READERS[path], authorization, body)


@pytest.mark.parametrize("path", READERS)
def test_the_key_is_in_the_body_or_the_header(path: str) -> None:
    opened = read(path, RIGHT, **ONE[path])
    assert not isinstance(opened, Problem)
    assert read(path, None, **ONE[path], key="another") == opened
    assert read(path, RIGHT, **ONE[path], key="another") == opened
    wrong: list[tuple[bytes | None, dict[str, str]]] = [
        (None, {}),
        (None, {"key": "wrong"}),
        (RIGHT, {"key": "wrong"}),
        (b"Basic a", {"key": "another"}),
        (RIGHT + b"x", {"key": "another"}),
        (b"Bearer", {}),
    ]
    for authorization, members in wrong:
        assert read(path, authorization, **ONE[path], **members) == UNAUTHORIZED


@pytest.mark.parametrize("path", READERS)
@pytest.mark.parametrize("authorization", [None, RIGHT, b"Bearer wrong"])
@pytest.mark.parametrize("body", [b"", b"1", b"[]", b'{"key":1}', b"\xff", b'{"room":1,"room":1}'])
def test_what_is_malformed_is_so_whatever_the_key(
    path: str, authorization: bytes | None, body: bytes
) -> None:
    refused = read_json_untrusted(CONFIG, READERS[path], authorization, body)
    assert isinstance(refused, Problem)
    assert refused.kind == "malformed"


def test_a_key_that_is_no_string_is_malformed() -> None:
    refused = read("/check", RIGHT, token="a", key=1)
    assert refused == Problem("malformed", "key must be a string")


def test_a_form_needs_the_key_in_its_header() -> None:
    asked = Check((LoginQuery(token="a"),), is_introspection=True)
    assert read_form_untrusted(CONFIG, RIGHT, b"token=a") == asked
    for authorization in (None, b"Bearer wrong", b"Basic a"):
        for body in (b"token=a", b"token=a&key=another"):
            assert read_form_untrusted(CONFIG, authorization, body) == UNAUTHORIZED
        refused = read_form_untrusted(CONFIG, authorization, b"token=a&token=b")
        assert isinstance(refused, Problem)
        assert refused.kind == "malformed"


def test_what_a_notify_without_a_sender_means_is_configured() -> None:
    nobody = Config(authkey="a", without_sender="all-end")
    for config, sender in ((CONFIG, LAST_JOINED), (nobody, None)):
        key = config.authkey[0].encode()
        for members, said in (({}, sender), ({"sender": None}, None), ({"sender": "s"}, "s")):
            body = json.dumps({"room": "u1", **members}).encode()
            wanted = read_json_untrusted(config, READERS["/notify"], b"Bearer " + key, body)
            assert wanted == Notify(room="u1", sender=said)


def test_a_notify_may_leave_as_many_as_a_room_may_have() -> None:
    most = CONFIG.max_remembered_sessions - 1
    for limit in (1, most, None):
        asked = read("/notify", RIGHT, room="u1", max_sessions=limit)
        assert asked == Notify(room="u1", max_sessions=limit)
    for authorization in (RIGHT, None):
        refused = read("/notify", authorization, room="u1", max_sessions=most + 1)
        why = f"max_sessions must be from 1 to {most}, or null for that"
        assert refused == Problem("malformed", why)


@pytest.mark.parametrize("header", [b"login-1", b'"login-1"'])
@pytest.mark.parametrize("members", [{}, {"id": None}, {"id": "login-1"}])
def test_an_id_may_be_in_the_head(header: bytes, members: dict[str, Any]) -> None:
    read = with_id(READERS["/notify"], header)
    assert read({"room": "u1"} | members) == Notify(room="u1", id="login-1")


@pytest.mark.parametrize("header", [b"a", b'"x', b"", b'""', b"x" * 129, b"\x80"])
def test_an_id_in_the_head_is_the_one_in_the_body_and_a_good_one(header: bytes) -> None:
    with pytest.raises(ValueError, match=r"^id "):
        with_id(READERS["/notify"], header)({"room": "u1", "id": "x"})
    if header not in (b"a", b'"x'):
        with pytest.raises(ValueError, match=r"^id must be a string of 1 to 128"):
            with_id(READERS["/notify"], header)({"room": "u1"})
