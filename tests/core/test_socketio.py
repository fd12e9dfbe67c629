"""What a request of Engine.IO asks for, by its head; pure."""

from typing import Any

import h11
import pytest
from hypothesis import given

from sse_trio.config import Config
from sse_trio.core.handshake import Upgrade
from sse_trio.core.heads import Heads
from sse_trio.core.problems import Problem
from sse_trio.core.requests import RequestReader, Wanted
from sse_trio.core.socketio import (
    BAD_METHOD,
    BAD_REQUEST,
    FORBIDDEN,
    UNKNOWN_TRANSPORT,
    UNKNOWN_VERSION,
    Attach,
    Begin,
    Poll,
    Preflight,
    Push,
    Script,
)

from .. import strategies

ORIGIN = ("Origin", "https://app.example")
CORS = (
    (b"Access-Control-Allow-Origin", b"https://app.example"),
    (b"Vary", b"Origin"),
)
CREDENTIALS = (b"Access-Control-Allow-Credentials", b"true")

HANDSHAKE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ("Sec-WebSocket-Version", "13"),
]


def read(
    query: str,
    *headers: tuple[str, str],
    method: str = "GET",
    path: str = "/socket.io/",
    body: bytes = b"",
    **settings: Any,
) -> Wanted | None:
    reader = RequestReader(Config(authkey="key", socketio=True, **settings))
    fields = [("Host", "test"), ("Content-Length", str(len(body))), *headers]
    request = h11.Request(method=method, target=f"{path}?{query}", headers=fields)
    return (
        reader.feed(request) or reader.feed(h11.Data(data=body)) or reader.feed(h11.EndOfMessage())
    )


def test_a_session_begins_on_requests() -> None:
    assert read("EIO=4&transport=polling") == Begin(4, {})
    assert read("EIO=3&transport=polling&t=abc", ORIGIN) == Begin(3, {}, (*CORS, CREDENTIALS))
    assert read("transport=polling&EIO=4", ORIGIN) == Begin(4, {}, CORS)


@pytest.mark.parametrize("path", ["/socket.io", "/socket.io/", "http://test/socket.io/"])
def test_the_path(path: str) -> None:
    assert read("EIO=4&transport=polling", path=path) == Begin(4, {})


@pytest.mark.parametrize("path", ["/socket.io/a", "/socket.iox", "/", "/socket"])
def test_another_path(path: str) -> None:
    assert not isinstance(read("EIO=4&transport=polling", path=path), Begin)


def test_a_configured_path() -> None:
    for path in ("/live/io", "/live/io/"):
        wanted = read("EIO=4&transport=polling", path=path, socketio_path="/live/io")
        assert wanted == Begin(4, {})


def test_without_the_key_there_is_nothing() -> None:
    wanted = read("EIO=4&transport=polling", socketio_path="/other")
    assert isinstance(wanted, Problem)
    assert wanted.kind == "not-found"


def test_what_the_query_says_of_the_login() -> None:
    query = "EIO=4&transport=polling&ticket=T&room=u%C3%A4&session=s&other=x&room=u2"
    assert read(query) == Begin(4, {"ticket": "T", "room": "u\xe4", "session": "s"})
    assert "secret" not in repr(read("EIO=4&transport=polling&ticket=secret"))


def test_further_requests_of_a_session() -> None:
    assert read("EIO=4&transport=polling&sid=S", ORIGIN) == Poll("S", CORS)
    assert read("transport=polling&sid=S") == Poll("S")
    assert read("transport=polling&sid=S", method="POST", body=b"4a") == Push("S", b"4a", False)
    binary = ("Content-Type", "application/octet-stream")
    push = read("EIO=3&transport=polling&sid=S", binary, ORIGIN, method="POST", body=b"4a")
    assert push == Push("S", b"4a", True, (*CORS, CREDENTIALS))
    assert "S" not in repr(Poll("S"))
    assert "abc" not in repr(Push("S", b"abc", False))


@pytest.mark.parametrize(("version", "sid"), [(3, None), (4, None), (4, "S")])
def test_a_websocket(version: int, sid: str | None) -> None:
    query = f"EIO={version}&transport=websocket&room=u1" + (f"&sid={sid}" if sid else "")
    wanted = read(query, *HANDSHAKE)
    assert isinstance(wanted, Attach)
    assert (wanted.version, wanted.sid, wanted.claims) == (version, sid, {"room": "u1"})
    assert isinstance(wanted.upgrade, Upgrade)


REFUSED = [
    ("", "GET", UNKNOWN_TRANSPORT),
    ("EIO=4", "GET", UNKNOWN_TRANSPORT),
    ("EIO=4&transport=", "POST", UNKNOWN_TRANSPORT),
    ("EIO=4&transport=constructor&sid=S", "GET", UNKNOWN_TRANSPORT),
    ("transport=polling", "GET", UNKNOWN_VERSION),
    ("EIO=&transport=polling", "GET", UNKNOWN_VERSION),
    ("EIO=04&transport=polling", "GET", UNKNOWN_VERSION),
    ("EIO=4&transport=polling", "POST", BAD_METHOD),
    ("EIO=4&transport=polling", "HEAD", BAD_METHOD),
    ("EIO=4&transport=polling&sid=S", "PUT", BAD_REQUEST),
    ("EIO=4&transport=websocket", "GET", BAD_REQUEST),
]


@pytest.mark.parametrize(("query", "method", "refusal"), REFUSED)
def test_a_refusal(query: str, method: str, refusal: Any) -> None:
    assert read(query, method=method) == refusal
    assert read(query, ORIGIN, method=method) == refusal.to(CORS)


def test_a_websocket_that_is_refused() -> None:
    assert read("transport=websocket", *HANDSHAKE) == UNKNOWN_VERSION
    assert read("EIO=4&transport=websocket", *HANDSHAKE, method="POST") == BAD_REQUEST
    malformed = read("EIO=4&transport=websocket", *HANDSHAKE[:2])
    assert isinstance(malformed, Problem)
    assert malformed.kind == "upgrade-required"


def test_the_text_of_a_refusal() -> None:
    assert FORBIDDEN.status == 403
    assert BAD_METHOD.status == 400
    assert BAD_METHOD.body == b'{"code":2,"message":"Bad handshake method"}'


def test_an_origin_that_may_not_connect() -> None:
    settings: dict[str, Any] = {"origins": ["https://other.example"]}
    for query in ("EIO=4&transport=polling", "EIO=4&transport=websocket", ""):
        for method in ("GET", "OPTIONS"):
            assert read(query, ORIGIN, *HANDSHAKE, method=method, **settings) == FORBIDDEN


def test_a_preflight() -> None:
    asked = ("Access-Control-Request-Headers", "x-token")
    assert read("transport=polling", ORIGIN, asked, method="OPTIONS") == Preflight(
        (
            *CORS,
            (b"Access-Control-Allow-Methods", b"GET, POST"),
            (b"Access-Control-Allow-Headers", b"x-token"),
            (b"Access-Control-Max-Age", b"600"),
        )
    )
    assert read("EIO=3", ORIGIN, method="OPTIONS") == Preflight(
        (
            *CORS,
            CREDENTIALS,
            (b"Access-Control-Allow-Methods", b"GET, POST"),
            (b"Access-Control-Max-Age", b"600"),
        )
    )


@pytest.mark.parametrize(("query", "more"), [("", ()), ("&EIO=3", (CREDENTIALS,))])
def test_a_body_that_is_too_long(query: str, more: Any) -> None:
    wanted = read(
        f"transport=polling&sid=S{query}", ORIGIN, method="POST", body=bytes(65), max_body=64
    )
    assert isinstance(wanted, Problem)
    assert (wanted.kind, wanted.headers) == ("body-too-large", (*CORS, *more))
    other = read("transport=polling&sid=S", ORIGIN, method="POST", body=bytes(65), max_body=64,
                 origins=["https://other.example"])  # fmt: skip
    assert isinstance(other, Problem)
    assert other.headers == ()


@given(strategies.printable)
def test_any_query_is_answered(query: str) -> None:
    ascii_only = "".join(c for c in query if "!" <= c <= "~")
    assert read(ascii_only) is not None


def test_another_path_is_known_after_a_reload() -> None:
    heads = Heads(Config(authkey="key", socketio=True))
    heads.reload(Config(authkey="key", socketio=True, socketio_path="/live"))
    head = b"GET /live?EIO=4&transport=polling&sid=S HTTP/1.1\r\nHost: test\r\n\r\n"
    assert heads.read(head) == (Poll("S"), None)
    assert heads.read(head.replace(b"live", b"live/more")) is None


def test_where_nothing_takes_a_post() -> None:
    def missing(path: str, method: str = "POST", *, socketio: bool = True) -> str | None:
        reader = RequestReader(Config(authkey="key", socketio=socketio))
        reader.feed(h11.Request(method=method, target=path, headers=[("Host", "test")]))
        return reader.missing

    assert missing("/rest/login?key=secret") == "/rest/login"
    for path in ("/notify", "/socket.io/", "/events", "/ws", "/verify/a", "/", "/healthz"):
        assert missing(path) is None
    assert missing("/rest/login", "GET") is None
    assert missing("/rest/login", socketio=False) is None


def test_the_clients_file() -> None:
    for name in ("socket.io.js", "socket.io.min.js"):
        path = f"/socket.io/{name}"
        for method in ("GET", "HEAD"):
            known = ("If-None-Match", 'W/"a", "b"')
            wanted = read("", known, path=path, method=method, socketio_client="x")
            assert wanted == Script(frozenset({b'"a"', b'"b"'}))
        refused = read("", path=path, method="POST", socketio_client="x")
        assert isinstance(refused, Problem)
        assert refused.kind == "method-not-allowed"
        missing = read("", path=path)
        assert isinstance(missing, Problem)
        assert missing.kind == "not-found"
    other = read("", path="/socket.io/socket.io.js.map", socketio_client="x")
    assert isinstance(other, Problem)
