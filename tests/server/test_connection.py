"""One connection: requests that come in parts, its dates, and what it leaves behind."""

import errno
import gc
import json
import os
from collections import Counter
from contextlib import AsyncExitStack, suppress
from typing import NoReturn

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio.core.tickets import Ticket, Tickets
from sse_trio.hub.hub import Hub
from sse_trio.hub.member import Outcome
from sse_trio.server.parking import EpollParking
from sse_trio.server.routes.announcements import announced
from sse_trio.strict_json import dumps

from .. import strategies
from ..hub.fakes import MakeLedger, SlowLedger
from ..support import (
    HANDSHAKE,
    KEY,
    Start,
    client_text,
    connect,
    joined,
    post_notify,
    raw_websocket,
)

HEAD = b"POST /notify HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
JOIN = client_text({"type": "join", "room": "u1", "session": "s1"})
GET = b"GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n"


def parts(**members: object) -> tuple[bytes, bytes]:
    """Return head and body of a notify that is usual in every way."""
    body = dumps({"key": KEY, "room": "u1", **members}).encode()
    return HEAD + b"Content-Length: %d\r\n\r\n" % len(body), body


async def read_one(stream: trio.SocketStream) -> bytes:
    """Read what comes in one piece, as short answers do."""
    return bytes(await stream.receive_some(65536))


async def said_in_parts(stream: trio.SocketStream, *pieces: bytes) -> None:
    for piece in pieces:
        await stream.send_all(piece)
        await wait_all_tasks_blocked()


@pytest.mark.parametrize("ledger", [SlowLedger, sse_trio.MemoryLedger])
@pytest.mark.parametrize("wait", [0, 0.5])
async def test_a_body_that_comes_after_its_head_is_heard_once(
    start: Start,
    autojump_clock: MockClock,
    ledger: MakeLedger,
    wait: float,
) -> None:
    """As Python's `http.client` sends it: whatever comes next is a request of its own."""
    hub = await start(ledger=ledger(), keep_alive=20)
    async with joined(hub, "u1", "s1"), await connect(hub) as stream:
        for epoch in (1, 2):
            await said_in_parts(stream, *parts(sender=f"s{epoch}", wait=wait))
            assert b'"epoch":%d' % epoch in await read_one(stream)
        await stream.send_all(GET)
        assert (await read_one(stream)).startswith(b"HTTP/1.1 200 OK\r\n")
        # Nor does it come to mind when the connection ends.
        assert await read_one(stream) == b""


@pytest.mark.parametrize("ledger", [SlowLedger, sse_trio.MemoryLedger])
@pytest.mark.parametrize("wait", [0, 1])
@pytest.mark.parametrize("members", [0, 1, 300])
async def test_what_is_waited_for_is_counted_once(
    start: Start,
    autojump_clock: MockClock,
    ledger: MakeLedger,
    wait: float,
    members: int,
) -> None:
    many = {"max_connections_per_room": 300, "heartbeat_interval": 500, "heartbeat_timeout": 900}
    hub = await start(ledger=ledger(), **many)
    async with AsyncExitStack() as stack:
        for _ in range(members):
            websocket = await raw_websocket(hub)
            await stack.enter_async_context(websocket.stream)
            await websocket.send({"type": "join", "room": "u1"})
            await websocket.message()
        for _ in range(2):
            answer = await post_notify(hub, room="u1", sender="s", wait=wait, id="once")
            assert answer.json["terminated"] == members
    counted = {result: n for result, n in hub.statistics().notifies.items() if n}
    assert counted == {"accepted": 1, "duplicate": 1}


async def test_of_many_at_once_each_has_its_own_decision(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start()
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(await connect(hub)) for _ in range(20)]
        await wait_all_tasks_blocked()
        for number, stream in enumerate(streams):
            os.write(stream.socket.fileno(), b"".join(parts(sender=f"s{number}")))
        answers = [json.loads((await read_one(s)).partition(b"\r\n\r\n")[2]) for s in streams]
    assert sorted(answer["epoch"] for answer in answers) == list(range(1, 21))
    last = max(answers, key=lambda answer: int(answer["epoch"]))
    assert hub.sessions("u1").sessions[0].session == last["standing"][0]
    assert hub.statistics().notifies == {"accepted": 20}


async def test_whoever_is_kept_alive_for_less_than_a_request_may_take_is_so(
    start: Start, autojump_clock: MockClock
) -> None:
    hub = await start(keep_alive=1, request_timeout=10)
    async with await connect(hub) as stream:
        await said_in_parts(stream, b"".join(parts()))
        assert b" 200 OK" in await read_one(stream)
        began = trio.current_time()
        assert await read_one(stream) == b""
        assert 1 <= trio.current_time() - began <= 1 + 1 / 16


async def test_who_upgrades_while_others_are_ended_stays(
    start: Start, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are due at the same time, but these few have a word to say before it is their turn."""
    monkeypatch.setattr("sse_trio.hub.timers.SLICE", 1)
    hub = await start(request_timeout=2, join_timeout=60)
    joined = 0
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(await connect(hub))
        streams = [await stack.enter_async_context(await connect(hub)) for _ in range(40)]
        await wait_all_tasks_blocked()
        assert await read_one(first) == b""
        for stream in streams:
            with suppress(OSError):
                os.write(stream.socket.fileno(), HANDSHAKE)
        for stream in streams:
            with suppress(trio.BrokenResourceError):
                if b" 101 " in await read_one(stream):
                    await stream.send_all(JOIN)
                    assert b'"joined"' in await read_one(stream)
                    joined += 1
        assert hub.statistics().connections == joined > 20
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


@pytest.mark.parametrize("upgrading", [False, True])
async def test_what_came_before_the_drain_is_answered(
    start: Start, autojump_clock: MockClock, upgrading: bool
) -> None:
    """Also where it has not been read yet."""
    hub = await start()
    async with await connect(hub) as stream:
        await wait_all_tasks_blocked()
        os.write(stream.socket.fileno(), HANDSHAKE if upgrading else b"".join(parts()))
        hub.drain()
        assert (await read_one(stream)).startswith(b"HTTP/1.1 503 ")
        assert hub.statistics().refused_handshakes == ({"draining": 1} if upgrading else {})


@pytest.mark.parametrize("upgrading", [False, True])
async def test_without_room_in_the_kernel_the_connection_ends_and_no_other(
    start: Start, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch, upgrading: bool
) -> None:
    """As beyond `fs.epoll.max_user_watches`."""
    hub = await start()

    def refuse(_: object, __: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with joined(hub, "u1", "s1") as member, await connect(hub) as stream:
        if upgrading:
            await wait_all_tasks_blocked()
        with monkeypatch.context() as full:
            full.setattr(EpollParking, "_watch", refuse)
            if upgrading:
                await stream.send_all(HANDSHAKE)
                assert b" 101 " in await read_one(stream)
            assert await read_one(stream) == b""
        await post_notify(hub, room="u1", sender="s2")
        assert json.loads(await member.get_message())["type"] == "terminate"
        assert hub.statistics().connections == 1


async def test_no_cycle_keeps_in_memory_what_has_ended(start: Start) -> None:
    """The collector, which stops everything for a moment, has nothing to do."""
    hub = await start()
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(3):
            async with joined(hub, "u1", "s1"), await connect(hub) as stream:
                await said_in_parts(stream, GET, b"".join(parts()), *parts(wait=0.001))
            assert (await post_notify(hub, room="u1", key="wrong")).status == 401
            assert (await post_notify(hub, room="")).status == 400
        await wait_all_tasks_blocked()
        gc.collect()
        left = Counter(type(each) for each in gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    ours = {kind: n for kind, n in left.items() if kind.__module__.startswith("sse_trio")}
    assert not ours


@given(strategies.names, strategies.epochs, st.integers(0, 9), st.booleans())
def test_an_answer_is_json_whatever_the_room_is_called(
    room: str, epoch: int, told: int, signed: bool
) -> None:
    ticket = Tickets((KEY,), lifetime=1).mint(Ticket(room, room, 1), now=1.5, jti="j")
    proof = ticket if signed else None
    proofs = {"ticket": proof, "token": proof} if signed else {}
    outcome = Outcome(room, epoch, "s1", proof, proof, ended=(room,), terminated=told)

    async def answer() -> bytes:
        hub = Hub(sse_trio.Config(), sse_trio.MemoryLedger(), lambda *_: None)
        return announced(hub, outcome).body

    assert json.loads(trio.run(answer)) == {
        "room": room, "epoch": epoch, "floor": 0, "standing": [], "ended": [room],
        "terminated": told, "acked": 0, "pending": told, **proofs,
    }  # fmt: skip
