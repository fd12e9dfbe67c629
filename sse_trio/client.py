"""The Python client: join a room, and receive its events.

    async with open_member("ws://127.0.0.1:8080/ws", room="u1", session="s1") as member:
        async for event in member:
            ...

The iteration ends after a termination, which has been acknowledged by then. It does not
reconnect: a program that wants that does it on `MemberClosed`.
"""

import contextlib
import os
import re
import ssl
import urllib.parse
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Self, cast

import trio
from trio_websocket import (
    ConnectionClosed,
    ConnectionRejected,
    WebSocketConnection,
    wrap_client_stream,
)

from .core.messages import (
    SUBPROTOCOLS,
    CloseCode,
    Join,
    ServerMessage,
    Terminate,
    Terminated,
    encode,
    may_reconnect,
    parse_from_server,
)
from .errors import LocalProtocolError, MemberClosed, RemoteProtocolError

CONNECT_SECONDS = 10
DISCONNECT_SECONDS = 5

# Where the server is, for all clients of a program.
_URL = "SSE_TRIO_URL"

# The characters that a request line may have (RFC 9112, section 3.2.1).
_RESOURCE = re.compile(r"/[!-~]*")

# RFC 6455, section 7.4.1: no close frame was received.
ABNORMAL = 1006


class ClientMember:
    """One membership; an asynchronous iterator over what the server sends.

    Yields `Joined`, `Heartbeat`, `Hold`, `Terminate` and `Error` of `sse_trio.core.messages`. If a
    member does not iterate for longer than the server's `heartbeat_timeout`, the server drops it.

    After a `Hold` the server cannot know whether this login is active. Claim nothing, and go on
    with the iteration: there are no heartbeats until it yields `Joined` again, or `Terminate`, or
    raises `MemberClosed`.
    """

    def __init__(self, websocket: WebSocketConnection, idle: trio.Event) -> None:
        self._websocket = websocket
        self._idle = idle
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
            if closed.reason is None:
                # trio-websocket's task is ending for another reason. If that is an interrupt, a
                # cancellation now would lose it.
                await self._idle.wait()
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
    url: str | None = None,
    *,
    room: str | None = None,
    session: str | None = None,
    ticket: str | None = None,
) -> AsyncIterator[ClientMember]:
    """Connect to `url` and ask to join, by `ticket`, or by `room` and perhaps `session`.

    Without `url`, the environment's ``SSE_TRIO_URL`` says where the server is, as
    ``http://host:port`` or ``https://host``. Of several nodes, separated by commas, it is the
    first one.

    The first event says whether the server admits the member: `Joined`, `Terminate` or `Error`. An
    exception of the caller's own block leaves it unchanged.

    Raises:
        LocalProtocolError: neither or both of `room` and `ticket` were passed, or a `session`
            with a ticket, which names its own; or `url` is not of the form
            ``ws://host:port/path`` or ``wss://host:port/path``; or there is none.
        MemberClosed: the server could not be reached, or refused the handshake.
    """
    if (room is None) == (ticket is None):
        raise LocalProtocolError("pass either a room or a ticket")
    if ticket is not None and session is not None:
        raise LocalProtocolError("pass no session: the ticket names its own")
    stream, host, resource = await _connect(_url_of(os.environ) if url is None else url)
    async with member_over(stream, host, resource, Join(room, session, ticket)) as member:
        yield member


@contextlib.asynccontextmanager
async def member_over(
    stream: trio.abc.Stream, host: str, resource: str, join: Join
) -> AsyncIterator[ClientMember]:
    """Join over a connected stream, and close it in the end; otherwise as `open_member`."""
    failure: BaseException | None = None
    idle = trio.Event()
    try:
        async with trio.open_nursery() as nursery:
            try:
                websocket = await nursery.start(_converse, stream, host, resource, idle)
                if isinstance(websocket, MemberClosed):
                    raise websocket
                with contextlib.suppress(ConnectionClosed):  # the iterator will raise it
                    await websocket.send_message(encode(join))
                yield ClientMember(websocket, idle)
                with trio.move_on_after(DISCONNECT_SECONDS):
                    await websocket.aclose()
            except BaseException as error:  # noqa: BLE001
                # Raised again unchanged, outside the nursery that would wrap it in a group.
                failure = error
            nursery.cancel_scope.cancel()
            # Ours to close: trio-websocket leaves the stream open when the server closes first.
            await trio.aclose_forcefully(stream)
    except BaseExceptionGroup as errors:
        # An interrupt in our own task: the block's exception is a consequence of it.
        _, interrupts = errors.split(trio.Cancelled)
        if interrupts is None:
            raise
        failure = _first(interrupts)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # it refers to this frame, by its traceback


def _url_of(environ: Mapping[str, str]) -> str:
    """Return the URL that the variable means for WebSockets."""
    base = environ.get(_URL, "").split(",")[0].strip().rstrip("/")
    if not base.startswith(("http://", "https://")):
        raise LocalProtocolError(
            f"pass a URL, or set {_URL}, which must look like http://host:port"
        )
    return f"ws{base.removeprefix('http')}/ws"


async def _connect(url: str) -> tuple[trio.abc.Stream, str, str]:
    try:
        parts = urllib.parse.urlsplit(url)
        port = parts.port
    except ValueError:
        # The error's text would quote the URL, which may contain a password.
        raise LocalProtocolError("the URL is wrong: its host or its port is not valid") from None
    resource = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    secure = parts.scheme == "wss"
    if not (secure or parts.scheme == "ws") or not parts.hostname or port == 0:
        raise LocalProtocolError("the URL must look like ws://host:port/ws")
    # RFC 6455, section 3: a WebSocket URL has no fragment. A request would not send any of these.
    if "@" in parts.netloc or parts.fragment:
        raise LocalProtocolError("the URL must have no user, no password and no #fragment")
    if not _RESOURCE.fullmatch(resource):
        raise LocalProtocolError("the URL's path must be percent-encoded")
    if port is None:
        port = 443 if secure else 80
    try:
        with trio.fail_after(CONNECT_SECONDS):
            transport = await trio.open_tcp_stream(parts.hostname, port)
            stream = await _encrypt(transport, parts.hostname) if secure else transport
    except (OSError, ValueError, trio.BrokenResourceError, trio.TooSlowError) as error:
        raise MemberClosed(ABNORMAL, f"cannot connect: {_why(error)}", reconnect=True) from error
    return stream, parts.netloc, resource


async def _encrypt(transport: trio.SocketStream, host: str) -> trio.SSLStream[trio.SocketStream]:
    stream = trio.SSLStream(
        transport, ssl.create_default_context(), server_hostname=host, https_compatible=True
    )
    try:
        await stream.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(transport)
        raise
    return stream


async def _converse(
    stream: trio.abc.Stream,
    host: str,
    resource: str,
    idle: trio.Event,
    *,
    task_status: trio.TaskStatus[WebSocketConnection | MemberClosed],
) -> None:
    """Run trio-websocket: its handshake, and its background task until the connection ends.

    Exceptions of that task end here, unless it is an interrupt. Before the handshake is done, the
    exception is the reason why there is no connection. Afterwards the queue of messages ends, and
    the iterator raises.
    """
    established = False
    try:
        async with trio.open_nursery() as nursery:
            with trio.fail_after(CONNECT_SECONDS) as patience:
                websocket = await wrap_client_stream(
                    nursery,
                    cast(trio.SocketStream, _Lossy(stream, lost=patience.cancel)),
                    host,
                    resource,
                    subprotocols=SUBPROTOCOLS,
                )
            established = True
            task_status.started(websocket)
    except* Exception as errors:  # noqa: BLE001
        if not established:
            why = f"no WebSocket: {_why(errors.exceptions[0])}"
            task_status.started(MemberClosed(ABNORMAL, why, reconnect=True))
    finally:
        idle.set()


class _Lossy(trio.abc.Stream):
    """A stream that says when it is lost, because trio-websocket's handshake does not notice."""

    def __init__(self, stream: trio.abc.Stream, *, lost: Callable[[], None]) -> None:
        self._stream = stream
        self._lost = lost

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        try:
            await self._stream.send_all(data)
        except trio.BrokenResourceError:
            self._lost()
            raise

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data: bytes | bytearray = b""
        try:
            data = await self._stream.receive_some(max_bytes)
        finally:
            if not data:
                self._lost()
        return data

    async def aclose(self) -> None:
        await self._stream.aclose()


def _closed(closed: ConnectionClosed) -> MemberClosed:
    reason = closed.reason
    code, text = (reason.code, reason.reason or "") if reason else (ABNORMAL, "")
    return MemberClosed(code, text, reconnect=may_reconnect(code))


def _why(error: BaseException) -> str:
    match error:
        case ConnectionRejected():
            return f"the server answered {error.status_code}"
        case trio.TooSlowError():
            return "the server did not answer the handshake"
        case _:
            return str(error) or type(error).__name__


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    error = errors.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
