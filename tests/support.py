"""What tests of the running server share: raw connections, HTTP and WebSocket clients.

Nothing here uses the code under test to talk: HTTP is h11's client side, WebSockets are
wsproto's or trio-websocket's.
"""

import base64
import contextlib
import json
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

import attrs
import h11
import trio
from trio_websocket import WebSocketConnection, wrap_client_stream
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, TextMessage

import sse_trio

KEY = "a key of the tests"


def keep_cookies(jar: dict[str, str], written: Iterable[str]) -> None:
    """Do with ``Set-Cookie`` values what a browser does: keep each, or delete it."""
    for line in written:
        pair, *attributes = line.split("; ")
        name, _, value = pair.partition("=")
        if "Max-Age=0" in attributes:
            jar.pop(name, None)
        else:
            jar[name] = value


Start = Callable[..., Awaitable[sse_trio.Hub]]


@attrs.frozen
class Response:
    """A whole HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes
    cookies: list[str] = attrs.Factory(list)
    """The values of all its ``Set-Cookie`` headers."""

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Listening(Protocol):
    """A server, or as much of it as is known before it is ready."""

    @property
    def port(self) -> int: ...


async def connect(hub: Listening) -> trio.SocketStream:
    """Open a raw TCP connection to the server."""
    return await trio.open_tcp_stream("127.0.0.1", hub.port)


async def read_response(stream: trio.SocketStream, http: h11.Connection) -> Response:
    """Read the final response of the request that `http` has sent."""
    response, body = None, b""
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some(65536)))
        elif isinstance(event, h11.Response):
            response = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            assert response is not None
            fields = [(name.decode(), value.decode()) for name, value in response.headers]
            cookies = [value for name, value in fields if name == "set-cookie"]
            return Response(response.status_code, dict(fields), body, cookies)
        else:
            assert isinstance(event, h11.InformationalResponse), event


async def request(
    hub: Listening,
    method: str,
    target: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Response:
    """Send one request on a connection of its own."""
    async with await connect(hub) as stream:
        return await request_on(stream, method, target, body=body, headers=headers)


async def request_on(
    stream: trio.SocketStream,
    method: str,
    target: str,
    *,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> Response:
    """Send one request on a connection that is open."""
    http = h11.Connection(h11.CLIENT)
    fields = {"Host": "test", "Content-Length": str(len(body))} | (headers or {})
    head = h11.Request(method=method, target=target, headers=list(fields.items()))
    sent = http.send(head) + http.send(h11.Data(data=body)) + http.send(h11.EndOfMessage())
    await stream.send_all(sent)
    return await read_response(stream, http)


async def post(hub: Listening, path: str, members: dict[str, Any]) -> Response:
    """POST a JSON object."""
    media = {"Content-Type": "application/json"}
    return await request(hub, "POST", path, body=json.dumps(members).encode(), headers=media)


async def post_notify(hub: Listening, **members: Any) -> Response:
    """POST a notify with the right key, unless `key` says otherwise."""
    return await post(hub, "/notify", {"key": KEY, **members})


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


@attrs.define(eq=False)
class RawWebSocket:
    """A WebSocket on a raw stream: tests see every byte, and can send any."""

    stream: trio.SocketStream
    connection: Connection
    _events: list[Event] = attrs.Factory(list)

    async def send(self, message: dict[str, Any]) -> None:
        await self.stream.send_all(self.connection.send(TextMessage(data=json.dumps(message))))

    async def event(self) -> Event | None:
        """The next event of wsproto; None at the end of the stream."""
        while not self._events:
            data = bytes(await self.stream.receive_some(65536))
            if not data:
                return None
            self.connection.receive_data(data)
            self._events += self.connection.events()
        return self._events.pop(0)

    async def message(self) -> dict[str, Any]:
        """The next message, which must be whole and text; pings are passed over."""
        while True:
            event = await self.event()
            if isinstance(event, TextMessage):
                message: dict[str, Any] = json.loads(event.data)
                return message
            assert event is not None, "the connection ended"
            assert not isinstance(event, CloseConnection), event

    async def closed(self) -> int | None:
        """The server's close code, whatever comes before it; None if it only hung up."""
        while True:
            event = await self.event()
            if event is None:
                return None
            if isinstance(event, CloseConnection):
                return int(event.code)


async def raw_websocket(hub: Listening, *, handshake: bytes = HANDSHAKE) -> RawWebSocket:
    """Do the handshake by hand."""
    stream = await connect(hub)
    await stream.send_all(handshake)
    head = b""
    while b"\r\n\r\n" not in head:
        data = await stream.receive_some(1)
        assert data, head
        head += bytes(data)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return RawWebSocket(stream, Connection(ConnectionType.CLIENT))


@asynccontextmanager
async def open_peer(hub: sse_trio.Hub) -> AsyncIterator[WebSocketConnection]:
    """Connect with trio-websocket, the independent peer."""
    # It leaves the stream open when the server closes first, so the stream is kept here.
    async with await connect(hub) as stream, trio.open_nursery() as nursery:
        yield await wrap_client_stream(nursery, stream, "test", "/ws")
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def joined(hub: sse_trio.Hub, room: str, session: str) -> AsyncIterator[WebSocketConnection]:
    """Join `room` as `session`, and be admitted."""
    async with open_peer(hub) as peer:
        await peer.send_message(json.dumps({"type": "join", "room": room, "session": session}))
        answer = json.loads(await peer.get_message())
        assert answer["type"] == "joined", answer
        yield peer


TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA


def client_frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """Write a client's frame (RFC 6455, section 5.2), also one that breaks the rules.

    The mask is four zeros, so that the payload can be read in it.
    """
    mask_bit = 0x80 * masked
    size = len(payload)
    if size < 126:
        length = bytes([mask_bit | size])
    elif size < 65536:
        length = bytes([mask_bit | 126]) + size.to_bytes(2, "big")
    else:
        length = bytes([mask_bit | 127]) + size.to_bytes(8, "big")
    return bytes([0x80 * fin | reserved << 4 | opcode]) + length + bytes(4) * masked + payload


def client_text(message: dict[str, Any]) -> bytes:
    """Write a client's message as one frame."""
    return client_frame(TEXT, json.dumps(message).encode())


def open_files() -> set[str]:
    """Return what is open in this process: the descriptors, and of sockets the addresses.

    What another test has left to the garbage collector may be closed at any time. So a test asks
    that none has been added, by ``open_files() <= before``.
    """
    addresses = {number: sock.getsockname() for number, sock in open_sockets()}
    return {f"{number} {addresses.get(number, '')}" for number in _descriptors()}


def open_sockets() -> Iterator[tuple[int, socket.socket]]:
    """Yield the descriptors of this process's sockets, each with a socket that shares it."""
    for number in _descriptors():
        with contextlib.suppress(OSError):  # another thread may have closed it
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as sock:
                yield number, sock


def _descriptors() -> list[int]:
    # All but the one that they are listed with, which is closed by then.
    return [int(path.name) for path in list(Path("/dev/fd").iterdir()) if path.exists()]


async def reset(stream: trio.SocketStream) -> None:
    """Close the connection with a TCP reset, as a client that dies does."""
    stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


def caused_by_assertion(failure: BaseException) -> bool:
    """Whether an assertion is what failed, and not the test itself."""
    if isinstance(failure, BaseExceptionGroup):
        return any(caused_by_assertion(inner) for inner in failure.exceptions)
    return isinstance(failure, AssertionError | trio.TooSlowError)
