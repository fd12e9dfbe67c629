"""Clients that mean harm, or are broken: the server answers or drops them, and goes on.

Whatever they did, in the end no task, connection or file of theirs is left, a login can be
enforced as before, and nothing of what is secret has been said.
"""

import json
import logging
import os
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import NoReturn, cast

import h11
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.connection import Connection, ConnectionType

import sse_trio

from ..support import (
    BINARY,
    CLOSE,
    CONTINUATION,
    HANDSHAKE,
    KEY,
    PING,
    TEXT,
    RawWebSocket,
    Start,
    client_frame,
    client_text,
    connect,
    joined,
    open_files,
    open_sockets,
    post_notify,
    raw_websocket,
    read_response,
    request,
    reset,
)

ROOM = "room-of-a-stranger"
SESSION = "session-of-a-stranger"
JOIN = {"type": "join", "room": ROOM, "session": SESSION}

GET = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
BODY = json.dumps({"room": ROOM, "key": KEY, "sender": None}).encode()
POST = b"POST /notify HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
# A timer of a parked connection may be late by a slot, which is a thirty-second of it.
SLOT = 1 + 1 / 32

TLS_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 2
GARBAGE = bytes(range(256))


def post(body: bytes = BODY, *headers: bytes) -> bytes:
    """Write a whole notify."""
    head = b"".join(header + b"\r\n" for header in headers)
    return POST + head + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks: bytes) -> bytes:
    """Write a notify whose chunks are as given."""
    return POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"".join(chunks)


@pytest.fixture
def autojump_clock(request: pytest.FixtureRequest) -> MockClock:
    # Under load the kernel can deliver on loopback a moment later; time must not jump then.
    return MockClock(autojump_threshold=getattr(request, "param", 0.01))


@pytest.fixture(autouse=True)
def nothing_is_said(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> Iterator[None]:
    """Nobody makes the server tell a secret, and no client makes it fail."""
    caplog.set_level(logging.DEBUG)
    yield
    failures = [r for r in caplog.records if r.name == "sse_trio" and r.levelno >= logging.ERROR]
    assert not failures
    said = caplog.text + "".join(capfd.readouterr())
    for secret in (KEY, ROOM, SESSION):
        assert secret not in said


@asynccontextmanager
async def unharmed(hub: sse_trio.Hub) -> AsyncIterator[None]:
    """Whatever happens inside leaves nothing behind, and the server serves."""

    def census() -> tuple[int, int, int]:
        now = hub.statistics()
        return trio.lowlevel.current_statistics().tasks_living, now.connections, now.members

    before, files = census(), open_files()
    yield
    for doubling in range(20):
        if census() == before and open_files() <= files:
            break
        await trio.sleep(0.001 * 2**doubling)
    assert census() == before
    assert open_files() <= files
    async with joined(hub, ROOM, "old") as old, joined(hub, ROOM, "new") as new:
        answer = await post_notify(hub, room=ROOM, sender="new")
        assert answer.json["terminated"] == 1
        assert json.loads(await old.get_message())["type"] == "terminate"
        assert new.closed is None


@asynccontextmanager
async def dialogue(hub: sse_trio.Hub, data: bytes = b"") -> AsyncIterator[trio.SocketStream]:
    """Connect, send, and leave the server as it was."""
    async with unharmed(hub), await connect(hub) as stream:
        await stream.send_all(data)
        yield stream


@asynccontextmanager
async def member(hub: sse_trio.Hub) -> AsyncIterator[RawWebSocket]:
    """Be a member, and leave the server as it was."""
    async with unharmed(hub):
        websocket = await raw_websocket(hub)
        async with websocket.stream:
            await websocket.send(JOIN)
            assert (await websocket.message())["type"] == "joined"
            yield websocket


async def read_all(stream: trio.SocketStream) -> bytes:
    """Read to the end, which must not be a reset."""
    data = b""
    async for piece in stream:
        data += bytes(piece)
    return data


def statuses(answers: bytes) -> list[int]:
    """Return the statuses of the responses in a whole stream."""
    http = h11.Connection(h11.CLIENT)
    found = []
    http.receive_data(answers)
    http.receive_data(b"")
    while True:
        request = h11.Request(method="GET", target="/", headers=[("Host", "test")])
        http.send(request)
        http.send(h11.EndOfMessage())
        while not isinstance(event := http.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            assert event is not h11.NEED_DATA
            if isinstance(event, h11.Response | h11.InformationalResponse):
                found.append(event.status_code)
        if not http.trailing_data[0]:
            return found
        http.start_next_cycle()


async def pester(stream: trio.SocketStream, data: bytes) -> None:
    """Send `data` ten times a second for a minute, or until the server has had enough."""
    with trio.move_on_after(60), suppress(trio.BrokenResourceError):
        while True:
            await stream.send_all(data)
            await trio.sleep(0.1)


async def drip(stream: trio.SocketStream, data: bytes) -> None:
    """Send byte by byte, each on its own."""
    for byte in data:
        await stream.send_all(bytes([byte]))
        await wait_all_tasks_blocked()


# -- before it is HTTP ------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", GARBAGE, TLS_HELLO, GET, GET[:20], HANDSHAKE, post()])
async def test_a_reset_after_anything(start: Start, autojump_clock: MockClock, data: bytes) -> None:
    hub = await start()
    async with unharmed(hub):
        for busy in (False, True):
            stream = await connect(hub)
            await stream.send_all(data)
            if busy:
                await wait_all_tasks_blocked()
            await reset(stream)


@pytest.mark.parametrize("data", [GARBAGE, TLS_HELLO, b"\rGET", b"GET\r\n\r\n", b"\0" * 100])
async def test_what_is_no_http_is_told_so(
    start: Start, autojump_clock: MockClock, data: bytes
) -> None:
    async with dialogue(await start(), data) as stream:
        assert statuses(await read_all(stream)) == [400]


async def test_a_thousand_connects_and_resets(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    async with unharmed(hub):
        for count in range(1000):
            stream = await connect(hub)
            if count % 2:
                await stream.send_all(GARBAGE[: count % 7])
            await reset(stream)


@contextmanager
def no_more_files() -> Iterator[None]:
    """Let the process open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_files_it_waits_until_there_are_some(
    start: Start, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await start()
    async with unharmed(hub):
        client = trio.socket.socket()
        with no_more_files():
            await client.connect(("127.0.0.1", hub.port))
            await trio.sleep(1)
        assert "EMFILE" in caplog.text
        async with trio.SocketStream(client) as stream:
            await stream.send_all(GET)
            response = await read_response(stream, asked())
            assert response.status == 200


def asked() -> h11.Connection:
    """Be a client of h11 that has sent its GET."""
    http = h11.Connection(h11.CLIENT)
    http.send(h11.Request(method="GET", target="/", headers=[("Host", "test")]))
    http.send(h11.EndOfMessage())
    return http


# -- slow and silent ----------------------------------------------------------------------


@pytest.mark.parametrize("data", [GET[:-1], HANDSHAKE[:-1], post()[:-1], chunked(b"5\r\n")])
async def test_half_a_request_and_silence(
    start: Start, autojump_clock: MockClock, data: bytes
) -> None:
    async with dialogue(await start(request_timeout=3), data) as stream:
        begin = trio.current_time()
        assert statuses(await read_all(stream)) == [408]
        assert begin + 3 <= trio.current_time() <= begin + 3 + 2 * 3 / 32


@pytest.mark.parametrize("data", [GET, HANDSHAKE, post()])
async def test_one_byte_a_second(start: Start, autojump_clock: MockClock, data: bytes) -> None:
    async with dialogue(await start(request_timeout=5, linger=1)) as stream:
        begin = trio.current_time()

        async def trickle() -> None:
            for byte in data:
                await stream.send_all(bytes([byte]))
                await trio.sleep(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle)
            assert statuses(bytes(await stream.receive_some())) == [408]
            nursery.cancel_scope.cancel()
        assert trio.current_time() == pytest.approx(begin + 5)


async def test_silence_from_the_start(start: Start, autojump_clock: MockClock) -> None:
    async with dialogue(await start(request_timeout=3)) as stream:
        begin = trio.current_time()
        assert await read_all(stream) == b""
        assert 3 <= trio.current_time() - begin <= 3 * SLOT


async def test_silence_between_requests(start: Start, autojump_clock: MockClock) -> None:
    async with dialogue(await start(keep_alive=7), GET) as stream:
        begin = trio.current_time()
        assert statuses(await read_all(stream)) == [200]
        assert 7 <= trio.current_time() - begin <= 7 * SLOT


async def test_requests_whose_answers_are_never_read(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(request_timeout=3, linger=1)
    async with unharmed(hub):
        stream = await small_window(hub)
        await pester(stream, GET.replace(b"healthz", b"") * 100)
        await stream.aclose()


async def small_window(hub: sse_trio.Hub) -> trio.SocketStream:
    """Connect with as small buffers as the kernel allows, the server's among them."""
    for _, listener in open_sockets():
        # Connections take this over from the socket that they come in by.
        if listener.getsockname()[1:2] == (hub.port,):
            listener.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_SNDBUF, 1)
    sock = trio.socket.socket()
    sock.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 1)
    await sock.connect(("127.0.0.1", hub.port))
    return trio.SocketStream(sock)


# -- HTTP that breaks the rules ----------------------------------------------------------


HEADERS = {
    b"Host: test": 101,
    b"Upgrade: websocket": 426,
    b"Connection: Upgrade": 426,
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==": 400,
    b"Sec-WebSocket-Version: 13": 426,
    b"Sec-WebSocket-Protocol: sse-trio.v1": 101,
    b"Sec-WebSocket-Extensions: permessage-deflate": 101,
    b"Origin: https://app.example.com": 403,
    b"X-Forwarded-For: 192.0.2.1": 101,
    b"User-Agent: test": 101,
    b"Cookie: a=b": 101,
    b"Content-Type: text/plain": 101,
    b"Expect: 100-continue": 417,
    b"Content-Length: 0": 400,
    b"Transfer-Encoding: chunked": 501,
}


@pytest.mark.parametrize(("header", "status"), HEADERS.items(), ids=lambda item: str(item))
@pytest.mark.parametrize("where", ["value", "name"])
async def test_a_byte_beyond_ascii_in_a_header(
    start: Start, autojump_clock: MockClock, header: bytes, status: int, where: str
) -> None:
    name, _, value = header.partition(b": ")
    odd = (name, value + b"\xe9") if where == "value" else (name + b"\xe9", value)
    needed = [line for line in HANDSHAKE.split(b"\r\n")[1:-2] if not line.startswith(name + b":")]
    head = b"\r\n".join([b"GET /ws HTTP/1.1", *needed, b": ".join(odd), b"", b""])
    hub = await start(origins=["https://app.example.com"], trusted_proxies=["127.0.0.0/8"])
    async with dialogue(hub, head) as stream:
        answer = bytes(await stream.receive_some())
        expected = status if where == "value" else 400
        assert answer.startswith(b"HTTP/1.1 %d " % expected), answer


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 431), (10_000, 431)])
async def test_the_limit_of_a_head_is_exact(
    start: Start, autojump_clock: MockClock, excess: int, status: int, byte_by_byte: bool
) -> None:
    limit = 300
    head = GET[:-2] + b"X: " + b"x" * (limit - len(GET) - 5 + excess) + b"\r\n\r\n"
    assert len(head) == limit + excess
    hub = await start(max_headers=limit)
    async with dialogue(hub) as stream:
        send = drip if byte_by_byte else trio.SocketStream.send_all
        await send(stream, head[: limit + 2] if byte_by_byte else head)
        await stream.send_eof()
        assert statuses(await read_all(stream)) == [status]


@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_twenty_kibibytes_of_headers(
    start: Start, autojump_clock: MockClock, end: bytes
) -> None:
    head = GET[:-2] + b"".join(b"X-%d: %s\r\n" % (n, b"x" * 1000) for n in range(20)) + end
    async with dialogue(await start(), head) as stream:
        assert statuses(await read_all(stream)) == [431]


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(("excess", "status"), [(0, 200), (1, 431), (200, 431)])
@pytest.mark.parametrize("usual", [True, False])
@pytest.mark.parametrize("line", [b"a:b\r\n", b" c\r\n", b"a:b\n"])
async def test_the_limit_of_lines_is_exact(
    start: Start,
    autojump_clock: MockClock,
    excess: int,
    status: int,
    byte_by_byte: bool,
    usual: bool,
    line: bytes,
) -> None:
    hub = await start(max_header_lines=20)
    request = post() if usual else GET
    # Behind the request line and the first of the others.
    host = request.index(b"\r\n", request.index(b"\r\n") + 2) + 2
    count = request.partition(b"\r\n\r\n")[0].count(b"\r\n")
    request = request[:host] + line * (20 - count + excess) + request[host:]
    times = 2 if status == 200 else 1
    async with dialogue(hub) as stream:
        for _ in range(times):
            await (drip if byte_by_byte else trio.SocketStream.send_all)(stream, request)
        await stream.send_eof()
        assert statuses(await read_all(stream)) == [status] * times


EMPTY_LINES = {
    "before it": ([b"\r\n" + GET], [200]),
    "more of them": ([b"\r\n\r\n\n" + GET], [200]),
    "before a usual one": ([b"\r\n" + post()], [200]),
    "behind a body": ([post() + b"\r\n"], [200]),
    "between two": ([post() + b"\r\n" + post() + b"\r\n\r\n" + GET], [200, 200, 200]),
    "of their own": ([b"\r\n", post(), b"\r\n", post(), b"\r\n\r\n", GET], [200, 200, 200]),
    "in two": ([b"\r", b"\n" + GET[:5], GET[5:], b"\r", b"\n" + post(), b"\r", b"\n"], [200, 200]),
    "behind an unusual one, in two": ([GET + b"\r", b"\n" + GET], [200, 200]),
    "before a handshake": ([b"\r\n" + HANDSHAKE.replace(b"13", b"8")], [426]),
    "alone": ([b"\r\n"], []),
    "half of one": ([b"\r"], []),
    "half of one behind it": ([GET + b"\r"], [200]),
    "no end of a line": ([GET + b"\r" + GET], [200, 400]),
}


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(("pieces", "expected"), EMPTY_LINES.values(), ids=EMPTY_LINES)
async def test_an_empty_line_where_a_request_may_begin_is_ignored(
    start: Start,
    autojump_clock: MockClock,
    pieces: list[bytes],
    expected: list[int],
    byte_by_byte: bool,
) -> None:
    """RFC 9112, section 2.2."""
    async with dialogue(await start()) as stream:
        for piece in pieces:
            await (drip if byte_by_byte else trio.SocketStream.send_all)(stream, piece)
            await wait_all_tasks_blocked()
        await stream.send_eof()
        answers = await read_all(stream)
        assert (statuses(answers) if answers else []) == expected


@pytest.mark.parametrize("pieces", [[b"\r\n", b"\r\n"], [b"\r", b"\n"], [b"\r"]])
@pytest.mark.parametrize(("before", "seconds"), [(b"", 3), (GET, 7), (post(), 7)])
async def test_empty_lines_win_no_time(
    start: Start, autojump_clock: MockClock, before: bytes, seconds: int, pieces: list[bytes]
) -> None:
    async with dialogue(await start(request_timeout=3, keep_alive=7)) as stream:
        begin = trio.current_time()
        await stream.send_all(before)
        for piece in pieces:
            await trio.sleep(1)
            await stream.send_all(piece)
        await read_all(stream)
        assert seconds <= trio.current_time() - begin <= seconds * SLOT


BODIES = {
    "too long": (POST + b"Content-Length: 16385\r\n\r\n", 413),
    "too long, and there": (post(b" " * 16385), 413),
    "too long in chunks": (chunked(*[b"1000\r\n" + bytes(4096) + b"\r\n"] * 5), 413),
    "longer than any number": (POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "no number": (POST + b"Content-Length: 0x10\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    "two lengths in one": (POST + b"Content-Length: 5, 6\r\n\r\n", 400),
    "truncated": (post()[:-1], 400),
    "truncated in a chunk": (chunked(b"10\r\nabc"), 400),
    "truncated between chunks": (chunked(b"3\r\nabc\r\n"), 400),
    "a chunk without its size": (chunked(b"\r\nabc\r\n"), 400),
    "a chunk whose size is none": (chunked(b"xyz\r\nabc\r\n"), 400),
    "a chunk whose size is negative": (chunked(b"-1\r\nabc\r\n"), 400),
    "a chunk longer than its size": (chunked(b"1\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk's extension without end": (chunked(b"1;" + b"x" * 20_000), 431),
    "a trailer of too many lines": (chunked(b"0\r\n" + b"X:\r\n" * 250 + b"\r\n"), 431),
    "a trailer of many lines": (chunked(b"0\r\n" + b"X:\r\n" * 90 + b"\r\n"), 400),
    "a byte order mark": (post(b"\xef\xbb\xbf" + BODY), 400),
    "too many values": (post(b'{"room":[' + b"{}," * 5000 + b"1]}"), 400),
    "a trailer without end": (chunked(b"0\r\nX: " + b"x" * 20_000), 431),
    "both ways to say the length": (
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        400,
    ),
    "another transfer coding": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n", 501),
    "chunked before there were chunks": (
        chunked(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0"),
        400,
    ),
    "no length": (POST + b"\r\n", 411),
    "not UTF-8": (post(b"\xff" + BODY), 400),
    "nested": (post(b"[" * 16384), 400),
}


@pytest.mark.parametrize(("data", "status"), BODIES.values(), ids=BODIES)
async def test_a_body_that_breaks_the_rules(
    start: Start, autojump_clock: MockClock, data: bytes, status: int
) -> None:
    async with dialogue(await start(), data) as stream:
        await stream.send_eof()
        assert statuses(await read_all(stream)) == [status]


async def test_three_in_a_row_are_answered_in_order(
    start: Start, autojump_clock: MockClock
) -> None:
    requests = GET + GET.replace(b"healthz", b"nowhere") + post()
    async with dialogue(await start(), requests) as stream:
        await stream.send_eof()
        assert statuses(await read_all(stream)) == [200, 404, 200]


async def test_a_good_one_and_a_bad_one_behind_it(start: Start, autojump_clock: MockClock) -> None:
    async with dialogue(await start(), GET + b"GET / \xff\r\n\r\n" + GET) as stream:
        assert statuses(await read_all(stream)) == [200, 400]


async def test_the_answer_is_read_however_much_is_still_being_sent(
    start: Start, autojump_clock: MockClock
) -> None:
    async with dialogue(await start(), GARBAGE * 1000) as stream:
        await wait_all_tasks_blocked()
        await stream.send_all(GARBAGE * 1000)
        assert statuses(await read_all(stream)) == [400]


EXPECT = b"Expect: 100-continue"
EXPECTATIONS = {
    "held back": (post(BODY, EXPECT)[: -len(BODY)], BODY, [100, 200]),
    "there already": (post(BODY, EXPECT), b"", [200]),
    "by halves": (post(BODY, EXPECT)[:-5], BODY[-5:], [200]),
    "of HTTP/1.0": (post(BODY, EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0"), b"", [200]),
    "too long": (POST + EXPECT + b"\r\nContent-Length: 99999\r\n\r\n", b"", [413]),
    "for nothing": (post(BODY, EXPECT).replace(b"/notify", b"/nothing"), b"", [404]),
    "of something else": (post(BODY, b"Expect: miracles")[: -len(BODY)], b"", [417]),
    "broken off": (post(BODY, EXPECT)[: -len(BODY)], BODY[:-1], [100, 400]),
}


@pytest.mark.parametrize(("head", "body", "expected"), EXPECTATIONS.values(), ids=EXPECTATIONS)
async def test_who_expects_to_be_told_to_go_on(
    start: Start, autojump_clock: MockClock, head: bytes, body: bytes, expected: list[int]
) -> None:
    async with dialogue(await start(), head) as stream:
        await wait_all_tasks_blocked()
        await stream.send_all(body)
        await stream.send_eof()
        assert statuses(await read_all(stream)) == expected


@pytest.mark.parametrize("head", [b"GET /healthz HTTP/1.0\r\n\r\n", GET.replace(b"1.1", b"1.0")])
async def test_http_1_0_is_answered_and_closed(
    start: Start, autojump_clock: MockClock, head: bytes
) -> None:
    async with dialogue(await start(), head) as stream:
        begin = trio.current_time()
        assert statuses(await read_all(stream)) == [200]
        assert trio.current_time() == begin


@pytest.mark.parametrize("leave", [reset, trio.SocketStream.aclose])
async def test_who_vanishes_while_it_waits_for_acknowledgements(
    start: Start, autojump_clock: MockClock, leave: Callable[[trio.SocketStream], Awaitable[None]]
) -> None:
    hub = await start(linger=3)
    async with member(hub) as silent:
        stream = await connect(hub)
        await stream.send_all(post(BODY[:-1] + b', "wait": 9}'))
        assert (await silent.message())["type"] == "terminate"
        await leave(stream)
        assert await silent.closed() == 4001
        await silent.stream.aclose()


# -- WebSockets that break the rules --------------------------------------------------------


WHOLE = HANDSHAKE + client_text(JOIN)


@pytest.mark.parametrize("split", range(len(WHOLE)))
async def test_a_join_right_behind_the_handshake(
    start: Start, autojump_clock: MockClock, split: int
) -> None:
    hub = await start()
    async with await connect(hub) as stream:
        await stream.send_all(WHOLE[:split])
        await wait_all_tasks_blocked()
        await stream.send_all(WHOLE[split:])
        answer = b""
        while b'"joined"' not in answer:
            answer += bytes(await stream.receive_some())
        assert answer.startswith(b"HTTP/1.1 101 ")
        assert hub.statistics().members == 1


FRAMES = {
    "binary": (client_frame(BINARY, b"{}"), 4400),
    "binary in pieces": (
        client_frame(BINARY, fin=False) + client_frame(CONTINUATION, b"{}"),
        4400,
    ),
    "no JSON": (client_frame(TEXT, b"hello"), 4400),
    "no object": (client_frame(TEXT, b"[]"), 4400),
    "nothing": (client_frame(TEXT), 4400),
    "nested": (client_frame(TEXT, b"[" * 4096), 4400),
    "an unknown type": (client_text({"type": "leave"}), 4400),
    "a second join": (client_text(JOIN), 4400),
    "an epoch that is none": (client_text({"type": "terminated", "epoch": -1}), 4400),
    "a termination that was not sent": (client_text({"type": "terminated", "epoch": 1}), 4400),
    "one byte too many": (client_frame(TEXT, b" " * 4097), 1009),
    "a mebibyte": (client_frame(TEXT, b" " * 1024 * 1024), 1009),
    "too many in pieces": (
        client_frame(TEXT, b" " * 4000, fin=False) + client_frame(CONTINUATION, b" " * 97),
        1009,
    ),
    "unmasked": (client_frame(TEXT, b"{}", masked=False), 1002),
    "a reserved bit": (client_frame(TEXT, b"{}", reserved=4), 1002),
    "a reserved opcode": (client_frame(0x7), 1002),
    "invalid UTF-8": (client_frame(TEXT, b"\xc0\x80"), 1007),
    "a close that is none": (client_frame(CLOSE, b"\x00"), 1002),
    "HTTP": (GET, 1002),
    "TLS": (TLS_HELLO, 1002),
}


@pytest.mark.parametrize("behind", [b"", GARBAGE * 1000], ids=["alone", "with much behind it"])
@pytest.mark.parametrize(("data", "code"), FRAMES.values(), ids=FRAMES)
async def test_a_frame_that_breaks_the_rules(
    start: Start, autojump_clock: MockClock, data: bytes, code: int, behind: bytes
) -> None:
    hub = await start()
    async with member(hub) as websocket:
        await websocket.stream.send_all(data + behind)
        assert await websocket.closed() == code
        assert hub.statistics().members == 0
        begin = trio.current_time()
        await websocket.stream.send_all(client_frame(CLOSE, code.to_bytes(2, "big")))
        # The server closes the connection; with nothing unread, nothing is reset.
        assert await read_all(websocket.stream) == b""
        if not behind:
            assert trio.current_time() == begin


async def test_the_largest_message_is_heard(start: Start, autojump_clock: MockClock) -> None:
    async with member(await start()) as websocket:
        heartbeat = b'{"type": "heartbeat"}'
        await websocket.stream.send_all(client_frame(TEXT, heartbeat.ljust(4096)))
        await websocket.stream.send_all(client_frame(CLOSE, (1000).to_bytes(2, "big")))
        assert await websocket.closed() == 1000


async def test_endless_empty_fragments(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(join_timeout=3)
    async with dialogue(hub, HANDSHAKE + client_frame(TEXT, fin=False)) as stream:
        begin = trio.current_time()
        await pester(stream, client_frame(CONTINUATION, fin=False) * 100)
        # The time to join, and the time to close after that.
        assert 8 <= trio.current_time() - begin < 9


@pytest.mark.parametrize(
    "last", [b"", client_frame(TEXT, b"{", fin=False), client_frame(TEXT, b"{}")[:-1]]
)
async def test_an_end_without_a_close(start: Start, autojump_clock: MockClock, last: bytes) -> None:
    async with member(await start()) as websocket:
        await websocket.stream.send_all(last)
        await websocket.stream.send_eof()
        assert await websocket.closed() is None


async def test_a_close_with_much_behind_it_is_answered(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with member(hub) as websocket:
        await websocket.stream.send_all(client_frame(CLOSE, b"\x03\xe8bye") + GARBAGE * 1000)
        assert await websocket.closed() == 1000
        assert hub.statistics().members == 0
        assert await websocket.closed() is None


@pytest.mark.parametrize("after", [b"", client_frame(CLOSE), client_frame(PING), b"\x81"])
async def test_a_member_that_is_reset(
    start: Start, autojump_clock: MockClock, after: bytes
) -> None:
    hub = await start()
    async with unharmed(hub):
        websocket = await raw_websocket(hub)
        await websocket.send(JOIN)
        await websocket.message()
        await websocket.stream.send_all(after)
        await reset(websocket.stream)


async def test_pings_from_one_who_never_reads(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(heartbeat_interval=4, heartbeat_timeout=5, linger=2)
    async with unharmed(hub):
        stream = await small_window(hub)
        await stream.send_all(HANDSHAKE + client_text(JOIN))
        await pester(stream, client_frame(PING, bytes(125)) * 100)
        assert hub.statistics().connections == 0
        assert hub.statistics().slow_members == 1
        await stream.aclose()


async def test_one_who_never_reads_harms_nobody_else(start: Start, mock_clock: MockClock) -> None:
    hub = await start(max_outbox=1024, heartbeat_interval=0.05, heartbeat_timeout=60, linger=0.05)
    async with unharmed(hub):
        stream = await small_window(hub)
        await stream.send_all(HANDSHAKE + client_text(JOIN))
        websocket = await raw_websocket(hub)
        await websocket.send(JOIN)
        assert (await websocket.message())["type"] == "joined"
        while hub.statistics().members < 2:
            await trio.lowlevel.checkpoint()
        # Time passes when the last heartbeat has been read, however busy the machine is. A
        # heartbeat may be one slot late.
        while hub.statistics().slow_members == 0:
            mock_clock.jump(1.5 * hub.config.heartbeat_interval)
            await websocket.message()
        assert hub.statistics().members == 1
        async with joined(hub, ROOM, "new"):
            assert (await post_notify(hub, room=ROOM, sender="new")).json["terminated"] == 1
            while (await websocket.message())["type"] != "terminate":
                pass
        await websocket.stream.aclose()
        # The slow one is cut off. What could be sent to it is whole frames, but for the last.
        while hub.statistics().connections:
            mock_clock.jump(hub.config.linger)
            await trio.lowlevel.checkpoint()
        received = Connection(ConnectionType.CLIENT)
        answer = await read_until_broken(stream)
        received.receive_data(answer.partition(b"\r\n\r\n")[2])
        assert len(list(received.events())) > 10
        await stream.aclose()
        mock_clock.autojump_threshold = 0.01


async def read_until_broken(stream: trio.SocketStream) -> bytes:
    data = b""
    try:
        async for piece in stream:
            data += bytes(piece)
    except trio.BrokenResourceError:
        pass
    return data


async def test_one_who_never_reads_is_told_to_log_out_and_cut(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_outbox=1024, linger=2)
    async with unharmed(hub):
        stream = await small_window(hub)
        await stream.send_all(HANDSHAKE + client_text(JOIN))
        await wait_all_tasks_blocked()
        outcome = await hub.notify(ROOM, sender=None)
        assert outcome.terminated == 1
        assert not await outcome.acknowledged(10)
        await trio.sleep(hub.config.linger + 1)
        assert hub.statistics().connections == 0
        await stream.aclose()


async def test_one_who_never_closes_is_cut(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(linger=2)
    async with member(hub) as websocket:
        begin = trio.current_time()
        await hub.notify(ROOM, sender=None)
        assert await websocket.closed() == 4001
        assert 2 <= trio.current_time() - begin < 2.5
        assert await websocket.closed() is None
        assert 4 <= trio.current_time() - begin < 5


async def test_one_who_is_gone_without_a_word_is_dropped(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(heartbeat_interval=10, heartbeat_timeout=25, linger=2)
    async with member(hub) as websocket:
        begin = trio.current_time()
        assert await websocket.closed() == 4408
        assert 25 <= trio.current_time() - begin < 26
        assert await websocket.closed() is None
        assert 27 <= trio.current_time() - begin < 29


# -- the close codes ------------------------------------------------------------------------


async def refusal(hub: sse_trio.Hub, first: bytes) -> int | None:
    """Connect, send `first`, and return the close code that is the answer."""
    websocket = await raw_websocket(hub)
    async with websocket.stream:
        await websocket.stream.send_all(first)
        code = await websocket.closed()
        await websocket.stream.send_all(client_frame(CLOSE))
        assert await websocket.closed() is None
        return code


async def test_1001_when_the_server_goes(start: Start, autojump_clock: MockClock) -> None:
    hub = await start()
    websocket = await raw_websocket(hub)
    async with websocket.stream:
        await websocket.send(JOIN)
        assert (await websocket.message())["type"] == "joined"
        hub.drain()
        assert await websocket.closed() == 1001


async def test_1013_when_the_server_is_full(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(max_connections=2)
    async with joined(hub, ROOM, SESSION), joined(hub, ROOM, SESSION):
        assert await refusal(hub, client_text(JOIN)) == 1013


@pytest.mark.parametrize(
    "ticket", ["", "x", "a.b.c", "eyJhbGciOiJub25lIn0.e30.", "\u00e9.\u00e9.\u00e9"]
)
async def test_4401_without_a_good_ticket(
    start: Start, autojump_clock: MockClock, ticket: str
) -> None:
    hub = await start(join="ticket")
    assert await refusal(hub, client_text({"type": "join", "ticket": ticket})) == 4401
    assert await refusal(hub, client_text(JOIN)) == 4401
    good = hub.ticket(ROOM, SESSION)
    websocket = await raw_websocket(hub)
    async with websocket.stream:
        await websocket.send({"type": "join", "ticket": good})
        assert (await websocket.message())["type"] == "joined"


async def test_4403_is_a_403_of_the_handshake(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(origins=["https://app.example.com"])
    head = HANDSHAKE[:-2] + b"Origin: https://evil.example.com\r\n\r\n"
    async with dialogue(hub, head) as stream:
        await stream.send_eof()
        assert statuses(await read_all(stream)) == [403]


async def test_4408_without_a_join(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(join_timeout=4)
    begin = trio.current_time()
    assert await refusal(hub, client_frame(PING) * 3) == 4408
    assert 4 <= trio.current_time() - begin < 5


async def test_4429_when_the_room_or_the_address_is_full(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(max_connections_per_room=1, max_connections_per_address=2)
    async with joined(hub, ROOM, SESSION):
        assert await refusal(hub, client_text(JOIN)) == 4429
        async with joined(hub, "another", SESSION):
            assert await refusal(hub, b"") == 4429


async def test_wrong_keys_are_not_repeated(
    start: Start, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    hub = await start(max_wrong_keys=2)
    wrong = "a key that is wrong"
    answers = [await post_notify(hub, room=ROOM, key=wrong) for _ in range(3)]
    assert [answer.status for answer in answers] == [401, 401, 429]
    for answer in answers:
        assert wrong.encode() not in answer.body
    assert wrong not in caplog.text
    assert "127.0.0.1" in caplog.text
    assert (await request(hub, "GET", "/healthz")).status == 200


class BrokenLedger(sse_trio.MemoryLedger):
    """Fails in a way that nobody thought of, and quotes what it was given."""

    def propose(self, swap: sse_trio.Swap) -> NoReturn:
        raise RuntimeError(f"{swap.room} {swap.standing}")


async def test_a_bug_is_a_500_and_quotes_nothing(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    config = sse_trio.Config(port=0, authkey=KEY)
    hub = await nursery.start(partial(sse_trio.serve, config, ledger=BrokenLedger()))
    answer = await post_notify(hub, room=ROOM, sender=SESSION)
    assert answer.status == 500
    assert ROOM.encode() not in answer.body
    assert "RuntimeError" in caplog.text
    assert ROOM not in caplog.text
    caplog.clear()
    assert (await request(hub, "GET", "/healthz")).status == 200


@pytest.mark.parametrize(("rest", "status"), [(b"GARBAGE\r\n\r\n", 400), (b"GET / HT", 408)])
async def test_what_comes_after_a_head_has_a_body_again(
    start: Start, autojump_clock: MockClock, rest: bytes, status: int
) -> None:
    hub = await start()
    async with await connect(hub) as stream:
        await stream.send_all(b"HEAD /healthz HTTP/1.1\r\nHost: test\r\n\r\n" + rest)
        received = b"".join([bytes(data) async for data in stream])
    assert b"HTTP/1.1 %d " % status in received
    assert b'"status":%d' % status in received


async def leave_with_a_close(websocket: RawWebSocket) -> None:
    await websocket.stream.send_all(client_frame(CLOSE))
    assert await websocket.closed() is not None


async def hang_up(websocket: RawWebSocket) -> None:
    await websocket.stream.aclose()


async def be_reset(websocket: RawWebSocket) -> None:
    await reset(websocket.stream)


async def say_nothing(websocket: RawWebSocket) -> None:
    assert await websocket.closed() == 4408


async def say_what_is_wrong(websocket: RawWebSocket) -> None:
    await websocket.stream.send_all(client_frame(TEXT))
    assert await websocket.closed() == 4400


@pytest.mark.parametrize(
    "end", [leave_with_a_close, hang_up, be_reset, say_nothing, say_what_is_wrong]
)
async def test_what_fails_at_the_end_of_one_connection_ends_no_other(
    start: Start,
    autojump_clock: MockClock,
    caplog: pytest.LogCaptureFixture,
    end: Callable[[RawWebSocket], Awaitable[None]],
) -> None:
    hub = await start()
    async with joined(hub, "another", SESSION) as other:
        websocket = await raw_websocket(hub)
        await websocket.send(JOIN)
        assert (await websocket.message())["type"] == "joined"
        # What is remembered of the room is damaged, so that to leave it fails.
        standing = hub.recognition.known(ROOM)
        assert standing is not None
        standing.noted = cast(float, "yesterday")
        await end(websocket)
        await wait_all_tasks_blocked()
        await websocket.stream.aclose()
        await trio.sleep(2 * hub.config.linger)
        assert "TypeError" in caplog.text
        caplog.clear()
        assert hub.statistics().connections == 1
        assert (await post_notify(hub, room="another", sender=None)).json["terminated"] == 1
        while json.loads(await other.get_message())["type"] != "terminate":
            pass  # heartbeats
