"""The Python client, against the real server and against servers that misbehave."""

import contextlib
import errno
import gc
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from trio_websocket import ConnectionClosed, WebSocketRequest, serve_websocket
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Event, Ping, TextMessage

import sse_trio
from sse_trio.client import CONNECT_SECONDS, DISCONNECT_SECONDS, member_over
from sse_trio.core.messages import Error, Heartbeat, Hold, Join, Joined, Terminate
from sse_trio.hub.timers import in_slices

from .support import Start, open_files

CERTIFICATE = Path(__file__).parent / "tls" / "server.pem"


def url(hub: sse_trio.Hub, path: str = "/ws") -> str:
    return f"ws://127.0.0.1:{hub.port}{path}"


# -- against the real server ------------------------------------------------------------


async def test_joined(start: Start) -> None:
    hub = await start(heartbeat_interval=7)
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        assert await anext(member) == Joined("u1", "s1", 0, 7)
        assert hub.statistics().members == 1


async def test_the_server_makes_a_session_up(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), room="u1") as member:
        joined = await anext(member)
        assert isinstance(joined, Joined)
        assert len(joined.session) >= 20


async def test_a_ticket(start: Start) -> None:
    hub = await start(join="ticket")
    async with sse_trio.open_member(url(hub), ticket=hub.ticket("u1", "s1")) as member:
        joined = await anext(member)
        assert isinstance(joined, Joined)
        assert (joined.room, joined.session) == ("u1", "s1")


async def test_a_member_that_iterates_stays(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(heartbeat_interval=10, heartbeat_timeout=15)
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        await anext(member)
        for _ in range(10):
            beat = await anext(member)
            assert isinstance(beat, Heartbeat)
            assert isinstance(beat.time, int)
        assert trio.current_time() > 90
        assert hub.statistics().members == 1


async def test_a_termination_is_acknowledged_and_the_iteration_ends(start: Start) -> None:
    hub = await start()
    events = []
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        async for event in member:
            events.append(event)
            if isinstance(event, Joined):
                outcome = await hub.notify("u1", sender="s2", detail={"device": "phone"})
        with pytest.raises(StopAsyncIteration):
            await anext(member)
        assert await outcome.acknowledged(timeout=5)
    assert events == [Joined("u1", "s1", 0, 25), Terminate("u1", 1, "login", {"device": "phone"})]
    assert (outcome.terminated, outcome.acked) == (1, 1)


async def test_a_hold(start: Start, autojump_clock: MockClock) -> None:
    """The application sees when it begins and when it is over; the connection stays."""
    hub = await start(heartbeat_interval=10, heartbeat_timeout=15)
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        assert isinstance(await anext(member), Joined)
        await in_slices(hub.holding.hold())
        assert await anext(member) == Hold()
        with trio.move_on_after(100) as silence:
            await anext(member)
        assert silence.cancelled_caught
        await in_slices(hub.holding.resume())
        assert await anext(member) == Joined("u1", "s1", 0, 10)
        assert isinstance(await anext(member), Heartbeat)
        await in_slices(hub.holding.hold())
        await hub.notify("u1", sender="s2")
        assert [event async for event in member] == [Hold(), Terminate("u1", 1, "login", None)]


async def test_a_hold_that_takes_too_long(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        assert isinstance(await anext(member), Joined)
        await in_slices(hub.holding.hold())
        await in_slices(hub.holding.cut())
        assert await anext(member) == Hold()
        with pytest.raises(sse_trio.MemberClosed) as closed:
            await anext(member)
    assert (closed.value.code, closed.value.reconnect) == (1013, True)


async def test_a_superseded_login_is_told_at_the_door(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        await anext(member)
        await hub.notify("u1", sender="s2")
    async with sse_trio.open_member(url(hub), room="u1", session="s1") as member:
        assert [event async for event in member] == [Terminate("u1", 1, "login", None)]


async def test_a_refused_join(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), room="u" * 257) as member:
        error = await anext(member)
        assert isinstance(error, Error)
        assert error.code == 4400
        with pytest.raises(sse_trio.MemberClosed) as closed:
            await anext(member)
        assert (closed.value.code, closed.value.reason) == (4400, error.message)
        with pytest.raises(StopAsyncIteration):
            await anext(member)


async def test_a_forged_ticket(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), ticket="forged") as member:
        assert isinstance(await anext(member), Error)
        with pytest.raises(sse_trio.MemberClosed) as closed:
            await anext(member)
        assert closed.value.code == 4401


async def test_a_shutdown(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), room="u1") as member:
        await anext(member)
        hub.drain()
        with pytest.raises(sse_trio.MemberClosed) as closed:
            await anext(member)
    assert closed.value.code == 1001
    assert str(closed.value) == "closed with 1001: the server is shutting down"


async def test_a_wrong_path(start: Start) -> None:
    hub = await start()
    with pytest.raises(sse_trio.MemberClosed, match="the server answered 404") as refused:
        async with sse_trio.open_member(url(hub, "/elsewhere?q=1"), room="u1"):
            raise AssertionError("it must not be entered")
    assert refused.value.code == 1006


async def test_leaving_early_says_goodbye(start: Start) -> None:
    hub = await start()
    async with sse_trio.open_member(url(hub), room="u1") as member:
        await anext(member)
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


# -- the caller's own block -------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "disk full"),
        trio.BrokenResourceError("another stream"),
        sse_trio.MemberClosed(4429, "another member", reconnect=True),
        ExceptionGroup("two", [ValueError(), KeyError()]),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
async def test_what_the_block_raises_comes_out_as_it_is(start: Start, error: BaseException) -> None:
    hub = await start()
    with pytest.raises(BaseException) as raised:  # noqa: PT012
        async with sse_trio.open_member(url(hub), room="u1") as member:
            await anext(member)
            raise error
    assert raised.value is error
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


@attrs.frozen
class Failing(trio.abc.ReceiveStream):
    """Fails once the member has joined, and whoever uses it waits for more."""

    stream: trio.SocketStream
    error: type[BaseException]
    received: list[bytes | bytearray] = attrs.Factory(list)

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        if any(b"joined" in data for data in self.received):
            await wait_all_tasks_blocked()
            raise self.error
        self.received.append(await self.stream.receive_some(max_bytes))
        return self.received[-1]

    async def aclose(self) -> None:
        await self.stream.aclose()


@pytest.mark.parametrize(
    ("error", "raised"),
    [(KeyboardInterrupt, KeyboardInterrupt), (ZeroDivisionError, sse_trio.MemberClosed)],
)
async def test_an_interrupt_comes_out_from_whichever_task_has_it(
    start: Start, error: type[BaseException], raised: type[BaseException]
) -> None:
    hub = await start()

    async def join_and_wait() -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", hub.port)
        failing = trio.StapledStream(stream, Failing(stream, error))
        async with member_over(failing, "127.0.0.1", "/ws", Join("u1", "s1", None)) as member:
            async for _ in member:
                pass

    for _ in range(20):  # which of two tasks is first is up to chance
        with pytest.raises(raised):
            await join_and_wait()
        await wait_all_tasks_blocked()
        assert hub.statistics().connections == 0


async def test_a_block_can_be_left(start: Start) -> None:
    hub = await start()

    async def joined() -> object:
        async with sse_trio.open_member(url(hub), room="u1") as member:
            return await anext(member)

    assert isinstance(await joined(), Joined)


async def test_cancelled_from_outside(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(heartbeat_interval=100, heartbeat_timeout=200)
    with trio.move_on_after(10) as scope:
        async with sse_trio.open_member(url(hub), room="u1") as member:
            async for _ in member:
                pass
    assert scope.cancelled_caught
    await wait_all_tasks_blocked()
    assert hub.statistics().connections == 0


async def test_a_wait_can_be_cancelled_and_resumed(start: Start, autojump_clock: MockClock) -> None:
    hub = await start(heartbeat_interval=100, heartbeat_timeout=200)
    async with sse_trio.open_member(url(hub), room="u1") as member:
        await anext(member)
        with trio.move_on_after(10) as scope:
            await anext(member)
        assert scope.cancelled_caught
        assert isinstance(await anext(member), Heartbeat)


async def test_nothing_is_left_behind(start: Start, nursery: trio.Nursery) -> None:
    hub = await start()
    refusing = await fake(nursery, partial(send_raw, b"HTTP/1.1 403 Forbidden\r\n\r\n"))

    async def come_and_go() -> None:
        async with sse_trio.open_member(url(hub), room="u1") as member:
            await anext(member)
        with pytest.raises(sse_trio.MemberClosed):
            async with sse_trio.open_member(refusing, room="u1"):
                pass
        with pytest.raises(ZeroDivisionError):
            async with sse_trio.open_member(url(hub), room="u1"):
                raise ZeroDivisionError
        await wait_all_tasks_blocked()

    await come_and_go()
    files, tasks = open_files(), trio.lowlevel.current_statistics().tasks_living
    gc.disable()
    try:
        for _ in range(3):
            await come_and_go()
        assert open_files() <= files
        assert trio.lowlevel.current_statistics().tasks_living == tasks
    finally:
        gc.enable()
    gc.collect()  # a ResourceWarning would be an error


# -- what the caller passes -------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("http://127.0.0.1/ws", "must look like ws://"),
        ("ws:///ws", "must look like ws://"),
        ("", "must look like ws://"),
        ("ws://127.0.0.1:99999/ws", "the URL is wrong"),
        ("ws://[::1/ws", "the URL is wrong"),
        ("ws://127.0.0.1:secret/ws", "the URL is wrong"),
        ("ws://127.0.0.1:0/ws", "must look like ws://"),
        ("ws://user:secret@127.0.0.1/ws", "no user, no password"),
        ("ws://user:secret/@127.0.0.1/ws", "the URL is wrong"),
        ("ws://127.0.0.1/ws#secret", "no #fragment"),
        ("ws://127.0.0.1/a b", "percent-encoded"),
        ("ws://127.0.0.1/é", "percent-encoded"),
    ],
)
async def test_a_wrong_url(wrong: str, message: str) -> None:
    with pytest.raises(sse_trio.LocalProtocolError, match=message) as refused:
        async with sse_trio.open_member(wrong, room="u1"):
            pass
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("join", [{}, {"room": "u1", "ticket": "t"}])
async def test_either_a_room_or_a_ticket(join: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either a room or a ticket"):
        async with sse_trio.open_member("ws://127.0.0.1/ws", **join):
            pass


async def test_a_ticket_names_the_session() -> None:
    with pytest.raises(sse_trio.LocalProtocolError, match="pass no session"):
        async with sse_trio.open_member("ws://127.0.0.1/ws", ticket="t", session="s1"):
            pass


# -- servers that are none --------------------------------------------------------------


async def fake(
    nursery: trio.Nursery, handler: Callable[[trio.SocketStream], Awaitable[None]]
) -> str:
    """Run a TCP server on a port of its own; return its URL."""
    [listener] = await nursery.start(partial(trio.serve_tcp, handler, 0, host="127.0.0.1"))
    return f"ws://127.0.0.1:{listener.socket.getsockname()[1]}/ws"


async def send_raw(answer: bytes, stream: trio.SocketStream) -> None:
    """Answer the handshake, whatever it says, and close."""
    await stream.receive_some()
    await stream.send_all(answer)


async def cannot_open(url: str) -> sse_trio.MemberClosed:
    with pytest.raises(sse_trio.MemberClosed) as refused:
        async with sse_trio.open_member(url, room="u1"):
            raise AssertionError("it must not be entered")
    assert refused.value.code == 1006
    return refused.value


async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    refused = await cannot_open(f"ws://127.0.0.1:{port}/ws")
    assert refused.reason.startswith("cannot connect: ")
    assert isinstance(refused.__cause__, OSError)


async def test_a_name_that_cannot_be_one() -> None:
    refused = await cannot_open(f"ws://{'a' * 64}.invalid/ws")
    assert refused.reason.startswith("cannot connect: ")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "the server answered 403"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "the server answered 503"),
        (b"HTTP/1.0 403 Forbidden\r\n\r\nuntil the end", "did not answer the handshake"),
        (b"HTTP/1.1 101 Fine\r\nUpgrade: websocket\r\n\r\n", "no WebSocket: "),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", "no WebSocket: "),
        (b"\xff" * 100_000, "no WebSocket: "),
        (b"", "did not answer the handshake"),
    ],
)
async def test_a_handshake_that_fails(nursery: trio.Nursery, answer: bytes, reason: str) -> None:
    with trio.fail_after(CONNECT_SECONDS / 2):
        refused = await cannot_open(await fake(nursery, partial(send_raw, answer)))
    assert reason in refused.reason


async def test_a_connection_that_is_reset(nursery: trio.Nursery) -> None:
    async def reset(stream: trio.SocketStream) -> None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with trio.fail_after(CONNECT_SECONDS / 2):
        await cannot_open(await fake(nursery, reset))


async def test_a_server_that_says_nothing(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    async def silence(stream: trio.SocketStream) -> None:
        await trio.sleep_forever()

    refused = await cannot_open(await fake(nursery, silence))
    assert trio.current_time() == pytest.approx(CONNECT_SECONDS)
    assert "did not answer the handshake" in refused.reason


# -- servers that speak something else --------------------------------------------------


async def shake_hands(stream: trio.SocketStream) -> WSConnection:
    websocket = WSConnection(ConnectionType.SERVER)
    websocket.receive_data(bytes(await stream.receive_some()))
    await stream.send_all(websocket.send(AcceptConnection()))
    return websocket


async def speak(frames: bytes | list[Event], stream: trio.SocketStream) -> None:
    """Shake hands, send `frames`, and listen to no close; the client has to hang up."""
    websocket = await shake_hands(stream)
    if isinstance(frames, list):
        frames = b"".join(websocket.send(frame) for frame in frames)
    with contextlib.suppress(trio.BrokenResourceError):
        await stream.send_all(frames)
        while await stream.receive_some():
            pass


@pytest.mark.parametrize(
    "message",
    [
        BytesMessage(data=b'{"type": "heartbeat"}'),
        TextMessage(data="garbage"),
        TextMessage(data="[]"),
        TextMessage(data='{"type": "join"}'),
        TextMessage(data='{"type": "joined"}'),
        TextMessage(data='{"type": []}'),
    ],
    ids=str,
)
async def test_a_message_of_another_protocol(
    nursery: trio.Nursery, autojump_clock: MockClock, message: Event
) -> None:
    address = await fake(nursery, partial(speak, [message]))
    with pytest.raises(sse_trio.RemoteProtocolError) as wrong:
        async with sse_trio.open_member(address, room="u1") as member:
            await anext(member)
    assert wrong.value.close_code == 4400


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"\x83\x00", 1002),  # a reserved opcode
        (b"\x81\x81\x00\x00\x00\x00x", 1002),  # a server must not mask
        (b"\x81\x01\xff", 1007),  # not UTF-8
        (b"\x81\x7f\x00\x00\x00\x00\x00\x20\x00\x00" + bytes(0x200000), 1009),
    ],
    ids=["opcode", "masked", "utf-8", "2 MiB"],
)
async def test_frames_that_are_wrong(
    nursery: trio.Nursery, autojump_clock: MockClock, frames: bytes, code: int
) -> None:
    address = await fake(nursery, partial(speak, frames))
    with pytest.raises(sse_trio.MemberClosed) as closed:
        async with sse_trio.open_member(address, room="u1") as member:
            await anext(member)
    assert closed.value.code == code
    assert closed.value.reconnect is False


@pytest.mark.parametrize("code", [1000, None, 1001, 1008, 1011, 1012, 1013, 3000, 4408, 4429, 4999])
async def test_a_client_may_come_back_after_any_code_but_the_final_ones(
    nursery: trio.Nursery, autojump_clock: MockClock, code: int | None
) -> None:
    close = bytes([0x88, 0]) if code is None else bytes([0x88, 2]) + code.to_bytes(2, "big")
    address = await fake(nursery, partial(speak, close))
    with pytest.raises(sse_trio.MemberClosed) as closed:
        async with sse_trio.open_member(address, room="u1") as member:
            await anext(member)
    assert closed.value.code == (code or 1005)
    assert closed.value.reconnect


async def test_a_server_that_hangs_up(nursery: trio.Nursery) -> None:
    async def hang_up(stream: trio.SocketStream) -> None:
        await shake_hands(stream)

    address = await fake(nursery, hang_up)
    with pytest.raises(sse_trio.MemberClosed) as closed:
        async with sse_trio.open_member(address, room="u1") as member:
            await anext(member)
    assert (closed.value.code, closed.value.reason) == (1006, "")


async def test_a_server_that_does_not_answer_the_close(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    address = await fake(nursery, partial(speak, [Ping()]))
    async with sse_trio.open_member(address, room="u1"):
        pass
    assert trio.current_time() == pytest.approx(DISCONNECT_SECONDS)


async def test_a_termination_by_a_server_that_is_gone(nursery: trio.Nursery) -> None:
    sent = b'{"type":"terminate","room":"u1","epoch":1,"reason":"login","detail":null}'

    async def terminate(stream: trio.SocketStream) -> None:
        websocket = await shake_hands(stream)
        await stream.send_all(websocket.send(TextMessage(data=sent.decode())))

    async with sse_trio.open_member(await fake(nursery, terminate), room="u1") as member:
        await wait_all_tasks_blocked()
        assert [event async for event in member] == [Terminate("u1", 1, "login", None)]


# -- TLS --------------------------------------------------------------------------------


async def fake_with_tls(nursery: trio.Nursery) -> str:
    async def say_hello(request: WebSocketRequest) -> None:
        websocket = await request.accept(subprotocol="sse-trio.v1")
        joined = {"type": "joined", "room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25}
        await websocket.send_message(json.dumps(joined))
        with contextlib.suppress(ConnectionClosed):
            while True:
                await websocket.get_message()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE)
    server = await nursery.start(partial(serve_websocket, say_hello, "127.0.0.1", 0, context))
    return f"wss://127.0.0.1:{server.port}/ws"


async def test_tls(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    address = await fake_with_tls(nursery)
    async with sse_trio.open_member(address, room="u1", session="s1") as member:
        assert await anext(member) == Joined("u1", "s1", 0, 25)


async def test_tls_with_a_server_that_does_not_speak_it(start: Start) -> None:
    hub = await start()
    refused = await cannot_open(f"wss://127.0.0.1:{hub.port}/ws")
    assert refused.reason.startswith("cannot connect: ")
