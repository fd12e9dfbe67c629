"""Nobody listened for a while: what came meanwhile is heard, and only then is anybody judged.

A step of another task that takes long is a jump of the virtual clock, with what peers say meanwhile
in the sockets' buffers; `tests/test_process_stopped.py` stops a real process.
"""

import contextlib
import itertools
import json
import os
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import Any

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.messages import CloseCode
from sse_trio.hub.timers import SLICE, Timers
from sse_trio.server.outbox import Outbox

from ..processes import DEADLINE
from ..support import (
    HANDSHAKE,
    KEY,
    RawWebSocket,
    Start,
    client_frame,
    client_text,
    open_sockets,
    raw_websocket,
)
from .fakes import keep, make_timers

MANY = 300
LIMITS = {
    "max_connections_per_room": MANY,
    "heartbeat_interval": 50,
    "heartbeat_timeout": 60,
    "join_timeout": 4,
    "request_timeout": 4,
    "keep_alive": 4,
    "linger": 4,
}
PONG = client_frame(0xA)
GET = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"
BODY = json.dumps({"key": KEY, "room": "u2", "sender": "s1"}).encode()
POST = (
    b"POST /notify HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
)


def join(session: int) -> bytes:
    return client_text({"type": "join", "room": "u1", "session": f"s{session}"})


@attrs.frozen(eq=False)
class Client:
    """A connection whose reads and writes are no turn of anybody else."""

    sock: socket.socket

    def say(self, data: bytes) -> None:
        assert self.sock.send(data) == len(data)

    def hear(self) -> bytes:
        """Return what the server has said, or nothing, if that was to close."""
        select.select([self.sock], [], [], DEADLINE)
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            return b""


def server_sides() -> dict[Any, int]:
    """Return the descriptors of this process's sockets, by who is connected to them."""
    found = {}
    for number, sock in open_sockets():
        with contextlib.suppress(OSError):  # nobody is connected to it
            found[sock.getpeername()] = number
    return found


def say_all(clients: Sequence[Client], *said: bytes) -> None:
    """Have each of them say its own, or all the same, and wait until the kernel has brought it."""
    for client, data in zip(clients, itertools.cycle(said), strict=False):
        client.say(data)
    others = server_sides()
    for client in clients:
        waiting = select.poll()
        waiting.register(others[client.sock.getsockname()], select.POLLIN)
        assert waiting.poll(DEADLINE * 1000)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[sse_trio.Hub], Client]]:
    """``client = connect(hub)``, with nobody else's turn."""
    with contextlib.ExitStack() as stack:

        def connect(hub: sse_trio.Hub) -> Client:
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", hub.port)))
            sock.setblocking(False)
            return Client(sock)

        yield connect


Connect = Callable[[sse_trio.Hub], Client]


async def hold(clock: MockClock, seconds: float, say: Callable[[], object]) -> None:
    """Say something in a step that takes so long."""
    say()
    clock.jump(seconds)
    await wait_all_tasks_blocked()


async def crowd(
    hub: sse_trio.Hub, connect: Connect, *said: bytes, number: int = MANY
) -> list[Client]:
    """Connect so many who have said this, and have been answered to it."""
    clients = [connect(hub) for _ in range(number)]
    await wait_all_tasks_blocked()
    for data in said:
        say_all(clients, data)
        await wait_all_tasks_blocked()
    return clients


async def member(hub: sse_trio.Hub, session: int) -> RawWebSocket:
    """Connect one who has joined."""
    websocket = await raw_websocket(hub)
    await websocket.stream.send_all(join(session))
    assert (await websocket.message())["type"] == "joined"
    return websocket


# How long the step takes: a little too long, or as long as a stopped process.
each_pause = pytest.mark.parametrize("seconds", [0.4, 1000])


@each_pause
async def test_who_has_asked_in_time_is_answered(
    start: Start, connect: Connect, autojump_clock: MockClock, seconds: float
) -> None:
    hub = await start(**LIMITS)
    clients = await crowd(hub, connect, GET)
    assert all(client.hear().startswith(b"HTTP/1.1 200 ") for client in clients)
    await trio.sleep(3.9)
    await hold(autojump_clock, seconds, partial(say_all, clients, GET))
    assert sum(client.hear().startswith(b"HTTP/1.1 200 ") for client in clients) == MANY


@each_pause
async def test_who_has_joined_in_time_is_in(
    start: Start, connect: Connect, autojump_clock: MockClock, seconds: float
) -> None:
    hub = await start(**LIMITS)
    clients = await crowd(hub, connect, HANDSHAKE)
    await trio.sleep(3.9)
    await hold(autojump_clock, seconds, partial(say_all, clients, *map(join, range(MANY))))
    assert hub.statistics().joins == {"joined": MANY}


@each_pause
async def test_who_has_sent_the_rest_in_time_is_heard(
    start: Start, connect: Connect, autojump_clock: MockClock, seconds: float
) -> None:
    hub = await start(**LIMITS)
    clients = await crowd(hub, connect, POST)
    await trio.sleep(3.9)
    await hold(autojump_clock, seconds, partial(say_all, clients, BODY))
    assert sum(client.hear().startswith(b"HTTP/1.1 200 ") for client in clients) == MANY


@each_pause
async def test_so_is_who_sends_a_request_that_is_not_usual(
    start: Start, connect: Connect, autojump_clock: MockClock, seconds: float
) -> None:
    """It is an exchange's, and needs many reads."""
    hub = await start(**LIMITS, max_body=200_000)
    body = BODY + b" " * 150_000
    head = POST.replace(b"%d" % len(BODY), b"%d" % len(body)).replace(b"Host", b"X: y\r\nHost")
    client = connect(hub)
    await wait_all_tasks_blocked()
    say_all([client], head)
    await trio.sleep(3.9)
    await hold(autojump_clock, seconds, partial(say_all, [client], body))
    assert client.hear().startswith(b"HTTP/1.1 200 ")


@each_pause
async def test_who_has_acknowledged_in_time_has(
    start: Start, connect: Connect, autojump_clock: MockClock, seconds: float
) -> None:
    """Whoever waits for that is told so, too."""
    hub = await start(**LIMITS)
    clients = await crowd(hub, connect, HANDSHAKE, join(1), number=10)
    (caller,) = await crowd(hub, connect, number=1)
    body = json.dumps({"key": KEY, "room": "u1", "sender": None, "wait": 3.9}).encode()
    say_all([caller], POST.replace(b"%d" % len(BODY), b"%d" % len(body)) + body)
    await trio.sleep(3.8)
    acknowledgement = client_text({"type": "terminated", "epoch": 1})
    await hold(autojump_clock, seconds, partial(say_all, clients, acknowledgement))
    answer = json.loads(caller.hear().partition(b"\r\n\r\n")[2])
    assert (answer["terminated"], answer["acked"], answer["pending"]) == (10, 10, 0)
    assert hub.statistics().terminations_cut == 0


async def test_who_was_not_asked_stays_and_who_does_not_answer_is_dropped(
    start: Start, autojump_clock: MockClock
) -> None:
    """Stopped for longer than any silence may last, between a heartbeat and the next one."""
    hub = await start(heartbeat_interval=25, heartbeat_timeout=60)
    talker, silent = await member(hub, 1), await member(hub, 2)
    began = trio.current_time()
    await trio.sleep(1)
    autojump_clock.jump(1000)

    async def answer() -> None:
        while True:
            await talker.message()
            await talker.stream.send_all(PONG)

    async with trio.open_nursery() as answering:
        answering.start_soon(answer)
        assert await silent.closed() == CloseCode.TIMED_OUT
        assert 1000 <= trio.current_time() - began <= 1060 + 2
        await silent.stream.aclose()
        await trio.sleep(600)
        assert hub.statistics().members == 1
        assert hub.statistics().dead_peers == 1
        answering.cancel_scope.cancel()
    await talker.stream.aclose()


async def test_many_short_pauses_put_off_no_more_than_they_last(
    start: Start, autojump_clock: MockClock
) -> None:
    """A server that is always late drops the silent all the same."""
    hub = await start(heartbeat_interval=25, heartbeat_timeout=60)
    silent = await member(hub, 1)
    began, away = trio.current_time(), 0.0
    while hub.statistics().members:
        await trio.sleep(0.9)
        autojump_clock.jump(0.6)
        await wait_all_tasks_blocked()
        away += 0.6
    assert trio.current_time() - began <= 60 + away + 2
    await silent.stream.aclose()


async def test_who_floods_puts_nothing_off(start: Start, autojump_clock: MockClock) -> None:
    """Even if there is always more to be read."""
    hub = await start(heartbeat_interval=25, heartbeat_timeout=60)
    flood, silent = await member(hub, 1), await member(hub, 2)
    said = client_text({"type": "heartbeat"}) * 1000
    rest = b""
    began = trio.current_time()
    while hub.statistics().members == 2:
        with contextlib.suppress(BlockingIOError):
            while True:
                rest = rest or said
                rest = rest[os.write(flood.stream.socket.fileno(), rest) :]
        autojump_clock.jump(1)
        for _ in range(5):
            await trio.lowlevel.checkpoint()
    assert trio.current_time() - began <= 2 * 60
    assert hub.statistics().dead_peers == 1
    for websocket in (flood, silent):
        await websocket.stream.aclose()


async def test_a_frame_waits_only_while_somebody_could_send_it(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    timers = make_timers()
    nursery.start_soon(keep, timers)
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    for end in (ours, theirs):
        end.setblocking(False)
    outbox = Outbox(ours, nursery.start_soon, limit=10**6, timeout=60, timers=timers)
    with ours, theirs:
        assert outbox.send(bytes(300_000))
        await trio.sleep(59)
        with contextlib.suppress(BlockingIOError):
            while theirs.recv(65536):
                pass
        autojump_clock.jump(1000)
        await wait_all_tasks_blocked()
        assert outbox.waiting
        assert not outbox.aborted
        began = trio.current_time()
        await trio.sleep(60)
        assert outbox.aborted
        assert trio.current_time() - began <= 60


@pytest.mark.parametrize("where", ["its sleep", "its waking", "its catching up", "its turn"])
async def test_wherever_it_was_held(
    nursery: trio.Nursery, autojump_clock: MockClock, where: str
) -> None:
    """What is due while nobody listens is due that much later, and so is what comes after it."""
    timers = make_timers()
    done: dict[object, float] = {}
    held = trio.Event()

    def hold(at: str) -> None:
        if where == at and not held.is_set():
            held.set()
            autojump_clock.jump(100)

    def read_pending() -> Iterator[int]:
        hold("its catching up")
        yield SLICE

    def turn(now: float) -> Iterator[int]:
        hold("its turn")
        yield SLICE
        for item in timers.due(now):
            done[item] = trio.current_time()

    timers.schedule("first", 10)
    timers.schedule("second", 15)
    nursery.start_soon(timers.run, read_pending, turn)
    await trio.sleep(9 if where == "its sleep" else 10)
    hold("its sleep")
    hold("its waking")
    await trio.sleep(200)
    assert held.is_set()
    assert 10 <= done["first"] <= 112
    assert 110 <= done["second"] <= 117


async def test_usual_steps_are_no_pauses_however_short_the_timeouts(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    pauses: list[float] = []
    timers = Timers(clock=trio.current_time, width=1 / 1024, late=pauses.append)
    nursery.start_soon(keep, timers)
    began = trio.current_time()
    for _ in range(20):
        with timers.cancel_after(1 / 128):
            autojump_clock.jump(3 / 32)
            await trio.sleep_forever()
    assert pauses == []
    assert timers.now() == trio.current_time() >= began + 1.8
    with timers.cancel_after(1 / 128):
        autojump_clock.jump(1 / 4)
        await trio.sleep_forever()
    assert len(pauses) == 1
