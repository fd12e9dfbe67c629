"""Strangers who send much at once: others have their turn, and no byte is worked on twice.

Counted is what Python calls between two turns of somebody else, and not the time that it takes.
"""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.heads import Heads
from sse_trio.core.questions import MAX_CHECKS
from sse_trio.core.requests import Wanted
from sse_trio.server.connection import Connection
from sse_trio.server.server import Server
from sse_trio.server.transport import Transport

from ..support import (
    CLOSE,
    CONTINUATION,
    HANDSHAKE,
    KEY,
    PING,
    PONG,
    TEXT,
    Start,
    client_frame,
    client_text,
    connect,
    raw_websocket,
)

STRANGERS = 4
# One read of HTTP.
MUCH = 16_000

POST = b"POST /notify HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GOODBYE = client_frame(CLOSE)


def filled(beginning: bytes, piece: bytes, end: bytes) -> bytes:
    return beginning + piece * ((MUCH - len(beginning) - len(end)) // len(piece)) + end


def with_length(body: bytes) -> bytes:
    return POST + b"Content-Length: %d\r\n\r\n" % len(body) + body


ATTACKS = {
    "pings behind the handshake": filled(HANDSHAKE, client_frame(PING), GOODBYE),
    "pongs behind the handshake": filled(HANDSHAKE, client_frame(PONG, b"?"), GOODBYE),
    "empty fragments": filled(
        HANDSHAKE + client_frame(TEXT, fin=False), client_frame(CONTINUATION, fin=False), GOODBYE
    ),
    "chunks of one byte": filled(CHUNKED, b"1\r\n \r\n", b"0\r\n\r\n"),
    "header lines": filled(POST, b"a:\r\n", b"\r\n"),
    "header lines of a handshake": filled(HANDSHAKE[:-2], b"a:\r\n", b"\r\n"),
    "folded lines": filled(POST, b" \r\n", b"\r\n"),
    "a trailer": filled(CHUNKED + b"0\r\n", b"a:\r\n", b"\r\n"),
    "a body of empty objects": with_length(filled(b'{"room":[', b"{},", b"1]}")),
    "a body of numbers": with_length(filled(b'{"room":[', b"1,", b"1]}")),
    "a form of nothing but escapes": with_length(filled(b"token=", b"%41", b""))
    .replace(b"/notify", b"/check", 1)
    .replace(b"application/json", b"application/x-www-form-urlencoded", 1),
    "a cookie of semicolons": filled(
        b"GET /verify HTTP/1.1\r\nHost: test\r\nCookie: ", b";", b"\r\n\r\n"
    ),
    "empty lines": filled(b"", b"\r\n", b"") + b"GET / HTTP/1.1\r\n\r\n",
}


class Innocent:
    """Somebody who wants a turn, again and again."""

    def __init__(self) -> None:
        self.calls = 0
        self.most = 0
        """Calls between two turns, at most."""

    def count(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")

    async def run(self) -> None:
        while True:
            self.calls = 0
            await trio.lowlevel.checkpoint()
            self.most = max(self.most, self.calls)

    @contextmanager
    def looking_on(self) -> Iterator[None]:
        before = sys.getprofile()
        sys.setprofile(self.count)
        try:
            yield
        finally:
            sys.setprofile(before)


async def send_much(stream: trio.SocketStream, data: bytes) -> None:
    """Send it, and read to the end of the connection."""
    await stream.send_all(data)
    await stream.send_eof()
    async for _ in stream:
        pass


@pytest.mark.parametrize("data", ATTACKS.values(), ids=ATTACKS)
async def test_others_have_their_turn_while_strangers_send_much(
    start: Start, autojump_clock: MockClock, data: bytes
) -> None:
    hub = await start()
    innocent = Innocent()
    streams = [await connect(hub) for _ in range(STRANGERS)]
    await wait_all_tasks_blocked()
    async with trio.open_nursery() as onlookers:
        onlookers.start_soon(innocent.run)
        with innocent.looking_on():
            async with trio.open_nursery() as nursery:
                for stream in streams:
                    nursery.start_soon(send_much, stream, data)
        onlookers.cancel_scope.cancel()
    for stream in streams:
        await stream.aclose()
    # Up to a thousand for each of them; read in one step, it was 8,000 to 110,000.
    assert 100 < innocent.most < STRANGERS * 4000


async def test_others_have_their_turn_while_many_logins_are_asked_about(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    await hub.notify("u1", sender="s1")
    checks = [{"room": "u1", "session": "s1", "renew": True}] * MAX_CHECKS
    body = json.dumps({"key": KEY, "checks": checks}).encode()
    head = POST.replace(b"/notify", b"/check") + b"Content-Length: %d\r\n\r\n" % len(body)
    innocent = Innocent()
    async with await connect(hub) as stream, trio.open_nursery() as onlookers:
        await wait_all_tasks_blocked()
        onlookers.start_soon(innocent.run)
        await trio.lowlevel.checkpoint()
        with innocent.looking_on():
            await send_much(stream, head + body)
        onlookers.cancel_scope.cancel()
    assert hub.statistics().checks == {"active": MAX_CHECKS}
    # To read it is one step, of 5,000. When to judge them was one too, it was 20,000.
    assert 100 < innocent.most < 10_000


async def test_of_many_requests_at_once_each_turn_has_one(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    get = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
    requests = MUCH // len(get)
    streams = [await connect(hub) for _ in range(STRANGERS)]
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with trio.open_nursery() as onlookers:
        onlookers.start_soon(count)
        async with trio.open_nursery() as nursery:
            for stream in streams:
                nursery.start_soon(send_much, stream, get * requests)
        onlookers.cancel_scope.cancel()
    for stream in streams:
        await stream.aclose()
    assert turns >= STRANGERS * requests


JOIN = client_text({"type": "join", "room": "u1", "session": "s1"})


async def test_who_says_much_at_once_is_heard_to_the_end_and_waits_again(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    for session in ("s1", "s2"):
        data = filled(HANDSHAKE, client_frame(PONG, b"?"), JOIN.replace(b"s1", session.encode()))
        websocket = await raw_websocket(hub, handshake=data)
        async with websocket.stream:
            assert (await websocket.message())["session"] == session
            assert (await hub.notify("u1", sender=None)).terminated == 1
            assert (await websocket.message())["type"] == "terminate"
            await websocket.stream.send_all(filled(b"", client_frame(PING), GOODBYE))
            assert await websocket.closed() is not None
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


async def test_a_hard_stop_in_the_middle_of_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as server:
        hub = await server.start(sse_trio.serve, sse_trio.Config(port=0, authkey=KEY))
        stream = await connect(hub)
        await stream.send_all(ATTACKS["pings behind the handshake"])
        while not hub.statistics().connections:
            await trio.lowlevel.checkpoint()
        server.cancel_scope.cancel()
    assert hub.statistics().connections == 0
    with suppress(trio.BrokenResourceError):
        async for _ in stream:
            pass
    await stream.aclose()


class Counted(Heads):
    """Notes how often it has been asked."""

    reads = 0

    def read(self, data: bytes) -> tuple[Wanted, str | None] | int | None:
        self.reads += 1
        return super().read(data)


MakeServer = Callable[[sse_trio.Hub], Server]


@pytest.fixture
async def serving(nursery: trio.Nursery) -> MakeServer:
    def make(hub: sse_trio.Hub) -> Server:
        server = Server(hub, nursery.start_soon)
        nursery.start_soon(server.parking.run)
        return server

    return make


@pytest.mark.parametrize("kind", ["a body", "a head", "a chunked body"])
async def test_what_comes_byte_by_byte_is_read_once(
    start: Start, autojump_clock: MockClock, serving: MakeServer, kind: str
) -> None:
    """A usual head of 16 KiB was read anew for each byte of its body."""
    hub = await start()
    body = json.dumps({"room": "u1", "key": KEY, "sender": None}).encode()
    long = POST + b"Cookie: " + b"x" * 3000 + b"\r\n"
    usual = long + b"Content-Length: %d\r\n\r\n" % len(body)
    if kind == "a body":
        at_once, dribbled = usual, body
    elif kind == "a head":
        at_once, dribbled = b"", usual + body
    else:
        chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
        at_once, dribbled = long + b"Transfer-Encoding: chunked\r\n\r\n", chunks + b"0\r\n\r\n"
    server = serving(hub)
    heads = Counted(hub.config)
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    with theirs:
        Connection(server, heads, Transport(ours, "192.0.2.1")).ready()
        innocent = Innocent()
        theirs.send(at_once)
        calls = []
        with innocent.looking_on():
            for byte in dribbled:
                await wait_all_tasks_blocked()
                innocent.calls = 0
                theirs.send(bytes([byte]))
                await wait_all_tasks_blocked()
                calls.append(innocent.calls)
        assert theirs.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert heads.reads <= 2
    # The last ones take no longer than the first ones, but for the answer.
    assert max(calls[len(calls) // 2 : -5]) < 2 * max(calls[10:30])


def test_the_fake_reads_as_the_other_does() -> None:
    config = sse_trio.Config(authkey=KEY)
    assert Counted(config).read(HANDSHAKE) == Heads(config).read(HANDSHAKE)
