"""The Python client: join a room, and be told.

    async with open_member("ws://127.0.0.1:8080/ws", room="u1", session="s1") as member:
        async for event in member:
            ...

The iteration ends after a termination, which has been acknowledged by then. It does not
reconnect: a program that wants that does it on `MemberClosed`.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Self

from trio_websocket import (
    ConnectionClosed,
    HandshakeError,
    WebSocketConnection,
    open_websocket_url,
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
MAX_MESSAGE = 65536

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
        ValueError: neither or both of `room` and `ticket` were passed.
        MemberClosed: the server could not be reached, or refused the handshake.
    """
    if (room is None) == (ticket is None):
        raise ValueError("pass either a room or a ticket")
    connected = False
    try:
        async with open_websocket_url(
            url,
            subprotocols=[SUBPROTOCOL],
            max_message_size=MAX_MESSAGE,
            connect_timeout=CONNECT_SECONDS,
            disconnect_timeout=DISCONNECT_SECONDS,
        ) as websocket:
            connected = True
            try:
                await websocket.send_message(encode(Join(room, session, ticket)))
            except ConnectionClosed as closed:
                raise _closed(closed) from None
            yield ClientMember(websocket)
    except (HandshakeError, OSError) as error:
        if connected:
            raise
        raise MemberClosed(ABNORMAL, f"cannot connect: {_why(error)}") from error


def _closed(closed: ConnectionClosed) -> MemberClosed:
    reason = closed.reason
    return MemberClosed(reason.code if reason else ABNORMAL, (reason and reason.reason) or "")


def _why(error: BaseException) -> str:
    return str(error) or type(error).__name__
