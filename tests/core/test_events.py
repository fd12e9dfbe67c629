"""What pages that listen may POST, read from bytes."""

import json
from typing import Any

import pytest

from sse_trio.config import Config
from sse_trio.core.events import Listen, Say
from sse_trio.core.messages import Heartbeat, Join, Terminated
from sse_trio.core.problems import Problem
from sse_trio.core.requests import Wanted

from .test_requests import Server, ask

CONFIG = Config(authkey="a key of the tests", max_message=1024)
JOIN = {"type": "join", "room": "u1", "session": "s1"}


def post(
    body: dict[str, Any] | bytes,
    *headers: str,
    target: str = "/events",
    media: str | None = "text/plain",
) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {target} HTTP/1.1", "Host: test", f"Content-Length: {len(data)}", *headers]
    if media is not None:
        lines.append(f"Content-Type: {media}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


def asked(request: bytes, config: Config = CONFIG) -> Wanted:
    return ask(request, config)


def detail(outcome: Wanted) -> tuple[int, str]:
    assert isinstance(outcome, Problem)
    return outcome.status, outcome.detail


@pytest.mark.parametrize("media", ["text/plain", "Text/Plain; charset=UTF-8"])
def test_a_join(media: str) -> None:
    assert asked(post(JOIN, media=media)) == Listen(Join(room="u1", session="s1"))


def test_a_join_with_all_that_it_may_have() -> None:
    request = post(
        {"type": "join", "ticket": "t", "stream": "mine"},
        "Origin: https://app.example",
        target="/events?wait=25&other=1",
    )
    cors = ((b"Access-Control-Allow-Origin", b"https://app.example"), (b"Vary", b"Origin"))
    assert asked(request) == Listen(Join(ticket="t"), "mine", 25, cors)


def test_the_name_of_the_stream_is_a_secret() -> None:
    for wanted in (Listen(Join(), "mine"), Say("mine", Heartbeat())):
        assert "mine" not in repr(wanted)


@pytest.mark.parametrize(
    ("said", "message"),
    [({"type": "terminated", "epoch": 3}, Terminated(3)), ({"type": "heartbeat"}, Heartbeat())],
)
def test_what_else_a_page_says(said: dict[str, Any], message: Terminated | Heartbeat) -> None:
    assert asked(post(said | {"stream": "mine"})) == Say("mine", message)
    without = (400, "a message that is no join needs a stream")
    assert detail(asked(post(said))) == without
    assert detail(asked(post(said | {"stream": None}))) == without


@pytest.mark.parametrize("wait", ["0", "9999", "0025"])
def test_a_wait(wait: str) -> None:
    outcome = asked(post(JOIN, target=f"/events?wait={wait}"))
    assert isinstance(outcome, Listen)
    assert outcome.wait == int(wait)


@pytest.mark.parametrize("query", ["wait=", "wait=-1", "wait=1.5", "wait=10000", "wait=1&wait=1"])
def test_what_is_no_wait(query: str) -> None:
    outcome = asked(post(JOIN, "Origin: https://app.example", target=f"/events?{query}"))
    assert detail(outcome) == (400, "wait must be a whole number of seconds")
    assert isinstance(outcome, Problem)
    assert (b"Access-Control-Allow-Origin", b"https://app.example") in outcome.headers


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "a message is a JSON object"),
        (b"\xff", "not UTF-8"),
        ({"type": "joined"}, "unknown type of message"),
        ({"type": "join"}, "join needs a room or a ticket"),
        (JOIN | {"stream": ""}, "stream must have 1 to 256 characters"),
        (JOIN | {"stream": "s" * 257}, "stream must have 1 to 256 characters"),
        (JOIN | {"stream": []}, "stream must be a string or a whole number"),
    ],
)
def test_what_is_no_message(body: dict[str, Any] | bytes, why: str) -> None:
    outcome = asked(post(body, "Origin: https://app.example"))
    status, said = detail(outcome)
    assert status == 400
    assert said.startswith(why)
    assert isinstance(outcome, Problem)
    assert (b"Vary", b"Origin") in outcome.headers


@pytest.mark.parametrize("media", ["application/json", None, "text/plain; charset=latin-1"])
def test_another_content_type(media: str | None) -> None:
    outcome = asked(post(JOIN, "Origin: https://app.example", media=media))
    assert detail(outcome)[0] == 415
    assert isinstance(outcome, Problem)
    assert (b"Vary", b"Origin") in outcome.headers


def test_a_message_may_be_as_long_as_on_a_websocket() -> None:
    filler = " " * (1024 - len(json.dumps(JOIN)))
    whole = (json.dumps(JOIN) + filler).encode()
    assert isinstance(asked(post(whole)), Listen)
    for request in (post(whole + b" ", "Origin: https://app.example"), chunked(whole + b" ")):
        server = Server(CONFIG)
        server.receive(request)
        outcome = server.outcomes[-1]
        assert detail(outcome)[0] == 413
        assert isinstance(outcome, Problem)
        assert (b"Access-Control-Allow-Origin", b"https://app.example") in outcome.headers


def chunked(body: bytes) -> bytes:
    head = b"POST /events HTTP/1.1\r\nHost: test\r\nOrigin: https://app.example\r\n"
    head += b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)


def test_only_pages_of_the_listed_origins() -> None:
    config = Config(authkey="a key of the tests", origins=("https://app.example",))
    assert isinstance(asked(post(JOIN, "Origin: https://APP.example"), config), Listen)
    assert isinstance(asked(post(JOIN), config), Listen)
    refused = asked(post(JOIN, "Origin: https://evil.example"), config)
    assert isinstance(refused, Problem)
    assert (refused.status, refused.headers, refused.handshake) == (403, (), "origin")


def test_it_is_a_post_and_public() -> None:
    outcome = asked(b"GET /events HTTP/1.1\r\nHost: test\r\n\r\n")
    assert detail(outcome) == (405, "only POST is allowed here")
    internal = Config(authkey="a key of the tests", internal="127.0.0.1:1")
    assert isinstance(asked(post(JOIN), internal), Listen)
