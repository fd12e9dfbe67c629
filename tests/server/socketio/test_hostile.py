"""Clients of Socket.IO that mean harm, or are broken: others go on, and nothing of them is left."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.socketio import Begin
from sse_trio.server.server import Server

from ...support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    KEY,
    PING,
    TEXT,
    client_frame,
    connect,
    open_files,
    raw_websocket,
    request,
    reset,
)
from .clients import OnRequests, OnWebSocket, handshake, on_requests, target
from .echo import serve_engine

# Of the deadlines here, which may be late by a thirty-second of the shortest timeout.
SLOT = 5 / 32

Serve = Callable[..., Awaitable[Server]]


@pytest.fixture
def autojump_clock() -> MockClock:
    # Under load the kernel can deliver on loopback a moment later; time must not jump then.
    return MockClock(autojump_threshold=0.01)


@pytest.fixture
async def serve(nursery: trio.Nursery) -> Serve:
    async def serve(**settings: Any) -> Server:
        config = sse_trio.Config(**{"port": 0, "authkey": KEY, "socketio": True, **settings})
        server: Server = await nursery.start(partial(serve_engine, config))
        return server

    return serve


@pytest.fixture(autouse=True)
def nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def is_empty(server: Server) -> bool:
    """Whether the engine knows of no session, and the hub of no member."""
    engine = server.engine
    return not (engine.clients or engine.on_requests or server.hub.statistics().connections)


@asynccontextmanager
async def harmless(server: Server) -> AsyncIterator[OnRequests]:
    """A session on requests that nothing harms; in the end, nothing of any is left."""
    files = open_files()
    async with on_requests(server.hub) as victim:
        await victim.say("3")
        yield victim
        assert await victim.connect()
        await victim.say("1")
    await trio.sleep(server.config.linger + SLOT)
    assert is_empty(server)
    assert open_files() <= files


def head(method: str, sid: str, *headers: str) -> bytes:
    lines = (f"{method} {target(sid=sid)} HTTP/1.1", "Host: test", *headers, "", "")
    return "\r\n".join(lines).encode()


# -- sessions ------------------------------------------------------------------------------


async def test_ten_thousand_handshakes_without_a_second_request(
    serve: Serve, autojump_clock: MockClock
) -> None:
    """They cost their maker one request each, and no open connection. Here they are in memory."""
    server = await serve()
    for _ in range(10_000):
        server.engine.answer(Begin(4, {}), "192.0.2.1")
    assert len(server.engine.clients) == server.hub.statistics().connections == 10_000
    await trio.sleep(5 + SLOT)
    await wait_all_tasks_blocked()
    assert is_empty(server)


async def test_who_begins_sessions_and_ends_them_pushes_nobody_out(
    serve: Serve, autojump_clock: MockClock
) -> None:
    """Of those that have not joined, as many as a quarter of all places are kept."""
    server = await serve(max_connections=12)
    async with on_requests(server.hub) as page:
        await page.connect()
        for _ in range(9):
            async with on_requests(server.hub) as other:
                await other.say("1")
        assert await page.join("u1", "s1")


async def test_many_gets_of_one_session(serve: Serve, autojump_clock: MockClock) -> None:
    server = await serve()
    async with (
        harmless(server) as victim,
        AsyncExitStack() as stack,
        on_requests(server.hub) as page,
    ):
        streams = [await stack.enter_async_context(await connect(server.hub)) for _ in range(20)]
        for stream in streams:
            await stream.send_all(head("GET", page.sid))
        await wait_all_tasks_blocked()
        answers = [bytes(await stream.receive_some(1000)) for stream in streams]
        told = [answer for answer in answers if answer.startswith(b"HTTP/1.1 200 ")]
        assert len(told) == 1
        assert told[0].endswith(b"\r\n\r\n1")
        assert list(server.engine.clients) == [victim.sid]


@pytest.mark.parametrize(
    ("version", "said"),
    [(4, "40/nobody,"), (3, "2")],
    ids=["namespaces", "pings"],
)
async def test_what_waits_for_one_that_never_asks_is_bounded(
    serve: Serve, autojump_clock: MockClock, version: int, said: str
) -> None:
    server = await serve(max_outbox=1024)
    async with on_requests(server.hub, version=version) as page:
        session = server.engine.clients[page.sid].session
        most = 0
        for _ in range(20):
            await page.say(*[said] * 64)
            await wait_all_tasks_blocked()
            most = max(most, session.waiting)
        assert 512 < most <= 1024
    await trio.sleep(server.config.heartbeat_timeout + server.config.heartbeat_interval + 10)
    assert is_empty(server)


async def test_a_page_that_never_asks_gets_no_more_heartbeats_than_fit(
    serve: Serve, autojump_clock: MockClock
) -> None:
    server = await serve(max_outbox=1024, socketio_heartbeat="heartbeat")
    async with on_requests(server.hub) as page:
        await page.connect()
        client = server.engine.clients[page.sid]
        began = trio.current_time()
        while not client.session.ended:
            assert client.session.waiting <= 1024
            await page.post("3")
            await trio.sleep(20)
        assert trio.current_time() - began < 1000
        assert server.hub.counters.slow_members == 1
    assert is_empty(server)


# -- bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1001, 10**12])
async def test_a_body_that_says_that_it_is_too_long(
    serve: Serve, autojump_clock: MockClock, length: int
) -> None:
    """It is refused before any of it has come."""
    server = await serve(max_body=1000)
    async with harmless(server) as victim, await connect(server.hub) as stream:
        await stream.send_all(head("POST", victim.sid, f"Content-Length: {length}"))
        assert bytes(await stream.receive_some(1000)).startswith(b"HTTP/1.1 413 ")
        await trio.sleep(0.1)


async def test_a_body_without_an_end(serve: Serve, autojump_clock: MockClock) -> None:
    server = await serve(max_body=1000, join_timeout=60)
    async with harmless(server) as victim, await connect(server.hub) as stream:
        await stream.send_all(head("POST", victim.sid, "Transfer-Encoding: chunked"))
        for _ in range(100):
            await stream.send_all(b"a\r\n4456789abc\r\n")
        began = trio.current_time()
        await stream.send_all(b"1\r\n4\r\n")
        assert bytes(await stream.receive_some(1000)).startswith(b"HTTP/1.1 413 ")
        with suppress(trio.BrokenResourceError):
            while trio.current_time() < began + 20:
                await stream.send_all(b"1\r\n4\r\n")
                await trio.sleep(0.5)
        # Nothing of it is read for longer than for the answer to be seen.
        assert trio.current_time() - began < 5 + 2 * 0.5 + SLOT


async def test_a_body_that_stops(serve: Serve, autojump_clock: MockClock) -> None:
    server = await serve(request_timeout=8, join_timeout=60)
    async with harmless(server) as victim, await connect(server.hub) as stream:
        began = trio.current_time()
        await stream.send_all(head("POST", victim.sid, "Content-Length: 9") + b"41")
        assert bytes(await stream.receive_some(1000)).startswith(b"HTTP/1.1 408 ")
        # A slot for the parked connection, and one for the task that answers.
        assert 8 <= trio.current_time() - began <= 8 + 2 * SLOT


# -- ids and names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        str.swapcase,
        lambda sid: sid[:-1],
        lambda sid: sid + "A",
        lambda sid: sid + "\0",
        lambda sid: " " + sid,
        lambda sid: "../" + sid,
        lambda sid: "",
        lambda sid: "__proto__",
        lambda sid: "constructor",
    ],
)
async def test_nobody_speaks_for_another(
    serve: Serve, autojump_clock: MockClock, change: Callable[[str], str]
) -> None:
    server = await serve()
    async with harmless(server) as victim:
        sid = change(victim.sid)
        for method in ("GET", "POST"):
            response = await request(server.hub, method, target(sid=sid), body=b"1")
            assert (response.status, response.json["code"]) == (400, 1)
        asked = handshake(sid=sid)
        async with await connect(server.hub) as stream:
            await stream.send_all(asked)
            assert bytes(await stream.receive_some(1000)).startswith(b"HTTP/1.1 400 ")


TRANSPORTS = ["constructor", "__proto__", "toString", "POLLING", "polling,", "webtransport"]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_no_name_is_a_transport_but_two(
    serve: Serve, autojump_clock: MockClock, transport: str
) -> None:
    server = await serve()
    async with harmless(server) as victim:
        begun: list[dict[str, Any]] = [{}, {"sid": victim.sid}]
        for query in begun:
            for method in ("GET", "POST"):
                response = await request(server.hub, method, target(transport, **query), body=b"1")
                assert (response.status, response.json["code"]) == (400, 0)
            asked = handshake(**query).replace(b"=websocket", b"=" + transport.encode())
            async with await connect(server.hub) as stream:
                await stream.send_all(asked)
                assert bytes(await stream.receive_some(1000)).startswith(b"HTTP/1.1 400 ")


# -- WebSockets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "instead", "status"),
    [
        (b"Upgrade: websocket\r\n", b"", b"400"),
        (b"Upgrade: websocket", b"Upgrade: h2c", b"400"),
        (b"Connection: Upgrade", b"Connection: close", b"426"),
        (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Version: 8", b"426"),
        (b"Sec-WebSocket-Key: ", b"Sec-WebSocket-Key: A", b"400"),
        (b"GET ", b"POST ", b"400"),
    ],
)
async def test_a_handshake_that_is_none(
    serve: Serve, autojump_clock: MockClock, line: bytes, instead: bytes, status: bytes
) -> None:
    """A proxy that takes `Upgrade` away is one of these."""
    server = await serve()
    async with harmless(server) as victim, await connect(server.hub) as stream:
        asked = handshake(sid=victim.sid)
        assert line in asked
        await stream.send_all(asked.replace(line, instead))
        assert bytes(await stream.receive_some(1000)).startswith(b"HTTP/1.1 " + status)


FRAMES = {
    "reserved": b"\xff\xff",
    "unknown": client_frame(0x3, b"x"),
    "not masked": client_frame(TEXT, b"2probe", masked=False),
    "not utf-8": client_frame(TEXT, b"\xff"),
    "binary": client_frame(BINARY, b"2probe"),
    "of nothing": client_frame(CONTINUATION, b"2probe"),
    "empty": client_frame(TEXT),
    "long": client_frame(TEXT, b"2" * 17000),
    "long ping": client_frame(PING, b"x" * 126),
    "half a frame": client_frame(TEXT, b"2probe")[:4],
    "half a message": client_frame(TEXT, b"2pro", fin=False),
    "close": client_frame(CLOSE, b"\x03\xe8"),
    "nothing": b"",
}


@pytest.mark.parametrize("is_probed", [False, True])
@pytest.mark.parametrize("is_reset", [False, True])
@pytest.mark.parametrize("frames", FRAMES.values(), ids=FRAMES)
async def test_a_websocket_that_breaks_off_before_the_upgrade(
    serve: Serve, autojump_clock: MockClock, frames: bytes, is_reset: bool, is_probed: bool
) -> None:
    """It is over at once, or after ten seconds; the session may try another one then."""
    server = await serve(join_timeout=60, request_timeout=60)
    async with harmless(server) as victim:
        page = OnWebSocket(await raw_websocket(server.hub, handshake=handshake(sid=victim.sid)))
        async with page.raw.stream:
            if is_probed:
                await page.say("2probe")
                assert await page.hear() == "3probe"
            await page.raw.stream.send_all(frames)
            if is_reset:
                await reset(page.raw.stream)
            else:
                assert await page.hear() is None
        await wait_all_tasks_blocked()
        assert victim.sid in server.engine.clients
        another = OnWebSocket(await raw_websocket(server.hub, handshake=handshake(sid=victim.sid)))
        async with another.raw.stream:
            await another.say("2probe")
            assert await another.hear() == "3probe"


async def test_garbage_right_behind_the_handshake(serve: Serve, autojump_clock: MockClock) -> None:
    server = await serve()
    async with harmless(server) as victim:
        for garbage in FRAMES.values():
            async with await connect(server.hub) as stream:
                await stream.send_all(handshake(sid=victim.sid) + garbage)
                assert bytes(await stream.receive_some(12)) == b"HTTP/1.1 101"
                await reset(stream)
            await wait_all_tasks_blocked()


async def test_an_upgrade_does_not_excuse_the_ping_that_is_not_answered(
    serve: Serve, autojump_clock: MockClock
) -> None:
    """The probe is no sign of life: it says that a WebSocket lives, and not that the page does."""
    server = await serve(heartbeat_interval=25, heartbeat_timeout=60)
    async with on_requests(server.hub) as page:
        await page.connect()
        asked = trio.current_time()
        assert await page.packets() == ["2"]
        await trio.sleep_until(asked + 55)
        line = OnWebSocket(await raw_websocket(server.hub, handshake=handshake(sid=page.sid)))
        async with line.raw.stream:
            await line.say("2probe")
            assert await line.hear() == "3probe"
            await line.say("5")
            while (packet := await line.hear()) is not None:
                assert packet == "2"
            assert 60 <= trio.current_time() - asked <= 60 + SLOT
    await trio.sleep(server.config.linger + SLOT)
    assert is_empty(server)
