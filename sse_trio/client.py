"""The Python client: join a room, and be told.

    async with open_member("ws://127.0.0.1:8080/ws", room="u1", session="s1") as member:
        async for event in member:
            ...

The iteration ends after a termination, which has been acknowledged by then. It does not
reconnect: a program that wants that does it on `MemberClosed`.
"""

import contextlib
import urllib.parse
from collections.abc import AsyncIterator
from typing import Self

import trio
from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    wrap_client_stream,
)

from .core.messages import (
    SUBPROTOCOL,
    CloseCode,
    Join,
    ServerMessage,
    Terminate,
    Terminated,
    encode,
    parse_from_server,
)
from .errors import MemberClosed, RemoteProtocolError

CONNECT_SECONDS = 10
DISCONNECT_SECONDS = 5

_Stream = trio.SocketStream | trio.SSLStream[trio.SocketStream]

# RFC 6455, section 7.4.1: no close frame was received.
ABNORMAL = 1006


class ClientMember:
    """One membership; an asynchronous iterator over what the server sends.

    Yields `Joined`, `Heartbeat`, `Terminate` and `Error` of `sse_trio.core.messages`.
    """

    def __init__(self, websocket: WebSocketConnection) -> None:
        self._websocket = websocket
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerMessage:
        """Wait for the next event.

        Raises:
            MemberClosed: the connection ended without a termination.
            RemoteProtocolError: the server sent something that is not of this protocol.
        """
        if self._over:
            raise StopAsyncIteration
        try:
            text = await self._websocket.get_message()
        except ConnectionClosed as closed:
            self._over = True
            raise _closed(closed) from None
        if not isinstance(text, str):
            raise RemoteProtocolError("messages are text, not binary", CloseCode.MALFORMED)
        event = parse_from_server(text)
        if isinstance(event, Terminate):
            self._over = True
            with contextlib.suppress(ConnectionClosed):
                await self._websocket.send_message(encode(Terminated(event.epoch)))
        return event


@contextlib.asynccontextmanager
async def open_member(
    url: str,
    *,
    room: str | None = None,
    session: str | None = None,
    ticket: str | None = None,
) -> AsyncIterator[ClientMember]:
    """Connect to `url` and ask to join, by `ticket`, or by `room` and perhaps `session`.

    The first event tells whether the server agreed: `Joined`, `Terminate` or `Error`.

    Raises:
        ValueError: neither or both of `room` and `ticket` were passed, or `url` is not
            of the form ``ws://host:port/path`` or ``wss://host:port/path``.
        MemberClosed: the server could not be reached, or refused the handshake.
    """
    if (room is None) == (ticket is None):
        raise ValueError("pass either a room or a ticket")
    failure: Exception | None = None
    stream, host, resource = await _connect(url)
    # The stream is ours to close: trio-websocket leaves it open when the server closes first.
    async with stream, trio.open_nursery() as nursery:
        try:
            websocket = await _shake_hands(nursery, stream, host, resource)
            with contextlib.suppress(ConnectionClosed):  # the iterator will tell
                await websocket.send_message(encode(Join(room, session, ticket)))
            yield ClientMember(websocket)
            with trio.move_on_after(DISCONNECT_SECONDS):
                await websocket.aclose()
        except Exception as error:  # noqa: BLE001
            # Raised again as it is, beyond the nursery that would wrap it in a group.
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure


async def _connect(url: str) -> tuple[_Stream, str, str]:
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("the URL must look like ws://host:port/ws")
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with trio.fail_after(CONNECT_SECONDS):
            stream: _Stream
            if parts.scheme == "wss":
                stream = await trio.open_ssl_over_tcp_stream(parts.hostname, port)
            else:
                stream = await trio.open_tcp_stream(parts.hostname, port)
    except (OSError, trio.TooSlowError) as error:
        raise MemberClosed(ABNORMAL, f"cannot connect: {_why(error)}") from error
    return stream, parts.netloc.rpartition("@")[2], resource


async def _shake_hands(
    nursery: trio.Nursery, stream: _Stream, host: str, resource: str
) -> WebSocketConnection:
    try:
        with trio.fail_after(CONNECT_SECONDS):
            return await wrap_client_stream(
                nursery, stream, host, resource, subprotocols=[SUBPROTOCOL]
            )
    except (HandshakeError, trio.TooSlowError, trio.BrokenResourceError) as error:
        raise MemberClosed(ABNORMAL, f"handshake refused: {_why(error)}") from error


def _closed(closed: ConnectionClosed) -> MemberClosed:
    reason = closed.reason
    return MemberClosed(reason.code if reason else ABNORMAL, (reason and reason.reason) or "")


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
