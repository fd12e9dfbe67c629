"""What is answered in one step is answered as an exchange answers it, byte by byte."""

import json
import re
import socket
import time
from functools import partial
from unittest.mock import patch

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

import sse_trio
from sse_trio.core.heads import Heads
from sse_trio.core.tickets import TOKEN, Ticket, Tickets

from ..hub.fakes import MakeLedger, SlowLedger
from ..support import CLOSE, KEY, client_frame, client_text

NONCE = b"dGhlIHNhbXBsZSBub25jZQ=="

# What differs from one server to the next, and from one second; the length of a proof too.
VARIES = re.compile(
    rb'Date: [^\r]*|Content-Length: \d+(?=[^{]*\{[^}]*"(?:ticket|since)")'
    rb'|"(?:ticket|token)":"[^"]*"|"(?:time|exp|seen|since)":[\d.]+'
)


def announcement(path: bytes, *fields: bytes, **members: object) -> bytes:
    body = json.dumps(members).encode()
    head = [b"POST %b HTTP/1.1" % path, b"Host: hub", b"Content-Type: application/json", *fields]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


notify = partial(announcement, b"/notify", key=KEY)
JOIN = client_text({"type": "join", "room": "u1", "session": "s9"})
ask = partial(announcement, key=KEY)
LIFETIME = sse_trio.Config().ticket_lifetime
# Of a login that some of the notifies make, and others end.
PROOFS = [
    Tickets((KEY,), lifetime=LIFETIME, **kind).mint(Ticket("u1", "s1", 1), now=time.time(), jti="j")
    for kind in ({"kind": TOKEN}, {})
]
TOKEN_OF_S1, TICKET_OF_S1 = [str(proof).encode() for proof in PROOFS]
COOKIE = b"Cookie: __Host-sse_trio="


def verify(
    *fields: bytes, method: bytes = b"GET", target: bytes = b"/verify", body: bytes = b""
) -> bytes:
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: hub", *fields, b"", body])


def form(body: bytes, *fields: bytes) -> bytes:
    media = b"Content-Type: application/x-www-form-urlencoded"
    head = [b"POST /check HTTP/1.1", b"Host: hub", media, *fields]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


methods = st.sampled_from(
    [b"GET", b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"TRACE", b"CONNECT", b"get", b"M-X"]
)
targets = st.sampled_from(
    [
        *(b"/verify", b"/verify", b"/verify/", b"/verify/a/b?c=d", b"/verify?x", b"/verifyx"),
        *(b"http://hub/verify/x", b"HTTPS://hub/verify", b"/%76erify", b"/notify?/verify", b"*"),
    ]
)
verify_fields = st.sampled_from(
    [
        COOKIE + TOKEN_OF_S1,
        COOKIE + TOKEN_OF_S1,
        COOKIE + b'"' + TOKEN_OF_S1 + b'"',
        COOKIE + TICKET_OF_S1,
        COOKIE,
        b"cookie:a=b;" + COOKIE[8:] + TOKEN_OF_S1 + b" ; c",
        COOKIE + b"\xff",
        COOKIE + b"x" * 8192,
        b"Authorization: Bearer " + TOKEN_OF_S1,
        b"Authorization: bearer  " + TICKET_OF_S1,
        b"Authorization: Basic YTpi",
        b"Authorization: Bearer " + KEY.encode(),
        b"Host: other",
        b"Content-Length: 0",
        b"Content-Length:0",
        b"Content-Length: 5",
        b"Content-Length: 5, 5",
        b"Content-Length: 1000000",
        b"Content-Length: x",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip",
        b"Expect: 100-continue",
        b"Expect: something",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Content-Type: text/plain",
        b"Content-Encoding: gzip",
        b"X-Forwarded-For: 192.0.2.1",
        b"X-Forwarded-For: \xff",
        b"A: b\r\n c",
        b"A : b",
    ]
)
verifies = st.builds(
    lambda method, target, fields, body: verify(*fields, method=method, target=target, body=body),
    methods,
    targets,
    st.lists(verify_fields, max_size=3),
    st.sampled_from([b"", b"", b"hello", b"5\r\nhello\r\n0\r\n\r\n"]),
)
HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + NONCE + b"\r\n\r\n"
)

usual = st.sampled_from(
    [
        notify(room="u1", sender="s1"),
        notify(room="u1", sender="s2", id="once"),
        notify(room="u1", sender="s3", id="once"),
        notify(b'Idempotency-Key: "once"', room="u1", sender="s2"),
        notify(b"Idempotency-Key: a", b"idempotency-key: a", room="u1", sender="s2"),
        notify(room="ü" * 10, detail={"a": 1}),
        notify(b"traceparent: 00-1", b"Authorization: Bearer " + KEY.encode(), room=7),
        notify(room="u1", wait=0.5),
        notify(room=""),
        announcement(b"/notify", room="u1", key="wrong"),
        announcement(b"/release", room="u1", session="s1", key=KEY),
        announcement(b"/release", b"Connection: close", room="u1", session="s1", key=KEY),
        announcement(b"/notify", b"Connection: close", b"Upgrade: h2c", room="u1", key=KEY),
        announcement(b"/notify", b"Expect: 100-continue", room="u1", key=KEY),
        ask(b"/check", token=TOKEN_OF_S1.decode()),
        ask(b"/check", token=TOKEN_OF_S1.decode(), renew=True),
        ask(b"/check", token=TICKET_OF_S1.decode()),
        ask(b"/check", room="u1", session="s1", seen=True),
        ask(b"/check", checks=[{"room": "u1", "session": f"s{n}", "epoch": n} for n in range(100)]),
        ask(b"/check", checks=[]),
        ask(b"/check?x", b"Connection: close", room="u1", session="s1"),
        announcement(b"/check", room="u1", session="s1"),
        form(b"token=" + TOKEN_OF_S1, b"Authorization: Bearer " + KEY.encode()),
        form(b"token=x&token=y", b"Authorization: Bearer " + KEY.encode()),
        form(b"token=" + TOKEN_OF_S1),
        ask(b"/sessions", room="u1"),
        ask(b"/sessions"),
        announcement(b"/sessions", room="u1", key=TOKEN_OF_S1.decode()),
        ask(b"/check", checks=[{"room": "ü", "session": "s1"}, {"token": "x"}]),
        verify(COOKIE + TOKEN_OF_S1),
        verify(COOKIE + b"x"),
        verify(COOKIE + b"x", COOKIE + b"y"),
        verify(COOKIE + TOKEN_OF_S1).replace(b"HTTP/1.1", b"HTTP/1.0"),
        b"GET /healthz HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"HEAD / HTTP/1.1\r\nHost: hub\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"POST /notify HTTP/1.1\r\n",
        b"\r\n",
        b"\r\n",
        b"\r\n\n\r\n",
        b"\r",
    ]
)
requests = st.one_of(usual, usual, verifies)
endings = st.sampled_from([b"", b"", HANDSHAKE, HANDSHAKE + JOIN, HANDSHAKE + b"\x81"])


async def say(port: int, pieces: list[bytes]) -> bytes:
    """Send piece by piece, each when the server waits for it; return all answers."""
    answers = b""
    with socket.create_connection(("127.0.0.1", port)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.setblocking(False)
        for piece in pieces:
            try:
                peer.send(piece)
            except OSError:
                break
            await trio.testing.wait_all_tasks_blocked(0.002)
        peer.shutdown(socket.SHUT_WR)
        while True:
            await trio.lowlevel.wait_readable(peer)
            try:
                data = peer.recv(65536)
            except ConnectionResetError:
                return answers
            if not data:
                return answers
            answers += data


async def answers(pieces: list[bytes], ledger: MakeLedger = sse_trio.MemoryLedger) -> bytes:
    async with trio.open_nursery() as nursery:
        config = sse_trio.Config(port=0, authkey=KEY)
        serve = partial(sse_trio.serve, config, ledger=ledger())
        hub: sse_trio.Hub = await nursery.start(serve)
        found = await say(hub.port, pieces)
        nursery.cancel_scope.cancel()
    return VARIES.sub(b"", found)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(requests, st.integers(0, 60)), max_size=4),
    endings,
    st.lists(st.integers(0, 1500), max_size=4),
    st.sampled_from([sse_trio.MemoryLedger, SlowLedger]),
)
def test_both_ways_lead_to_the_same_answers(
    requests: list[tuple[bytes, int]], ending: bytes, splits: list[int], ledger: MakeLedger
) -> None:
    stream = b"".join(request for request, _ in requests) + ending
    # Split anywhere; or a request in two pieces, the second of them so long: a body, perhaps.
    ends = [*sorted(splits), len(stream)]
    split = [stream[a:b] for a, b in zip([0, *ends], ends, strict=False) if a < b]
    cuts = [(request, max(0, len(request) - k)) for request, k in requests]
    two = [part for request, at in cuts for part in (request[:at], request[at:]) if part]
    pieces = split if splits else [*two, ending]
    clock = partial(MockClock, autojump_threshold=0.01)
    usual = trio.run(answers, pieces, ledger, clock=clock())
    with patch.object(Heads, "read", return_value=None):
        assert trio.run(answers, pieces, ledger, clock=clock()) == usual


@pytest.mark.parametrize("ending", [client_frame(CLOSE)])
async def test_usual_requests_need_no_exchange(ending: bytes, autojump_clock: MockClock) -> None:
    pieces = [notify(room="u1"), notify(room="u1", sender="s1"), HANDSHAKE, JOIN, ending]
    with patch("sse_trio.server.connection.Exchange") as exchange:
        found = await answers(pieces)
    assert not exchange.called
    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert b"101" in found
    assert b'"joined"' in found
