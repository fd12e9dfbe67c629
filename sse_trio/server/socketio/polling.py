"""Requests of a session on Engine.IO: each is answered once, at once or after a while.

One that has to wait is parked, and has no task.
"""

from collections.abc import Callable

from ...core.cors import CorsHeaders
from ...core.problems import Problem
from ...core.socketio import EngineRequest, Poll, Push, Refusal
from ..replies import Reply, usual_answer
from ..server import Server
from ..transport import Transport
from .client import SocketClient
from .engine_packets import EnginePacket, parse_binary_body_untrusted, parse_body_untrusted

READ = 1024


def answer_or_hold(
    server: Server,
    transport: Transport,
    wanted: EngineRequest,
    address: str,
    resume: Callable[[bytes], None],
) -> "Reply | Refusal | Problem | PolledRequest":
    """Do what a client asks; return the answer, or the request if that is still to come."""
    if not isinstance(wanted, Poll | Push):
        return server.engine.answer(wanted, address)
    client = server.engine.clients[wanted.sid]
    request = PolledRequest(server, transport, client, wanted.cors, resume)
    if isinstance(wanted, Push):
        client.post(request, _read_untrusted(wanted, client.version))
    else:
        client.get(request)
    return request.reply or request


def _read_untrusted(wanted: Push, version: int) -> list[EnginePacket] | None:
    """Read the packets of a body; None if it has something else."""
    try:
        if not wanted.is_binary:
            return parse_body_untrusted(wanted.body, version)
        return parse_binary_body_untrusted(wanted.body) if version == 3 else None
    except ValueError:
        return None


class PolledRequest:
    """A request, and its connection. `client` is whose it is.

    When it is answered after a while, `resume` is called with what has come behind it, unless
    `is_last`: then the connection ends with the answer.
    """

    __slots__ = ("_client", "_data", "_is_parked", "_resume", "_server", "cors", "is_last",
                 "reply", "transport")  # fmt: skip

    def __init__(
        self,
        server: Server,
        transport: Transport,
        client: SocketClient,
        cors: CorsHeaders,
        resume: Callable[[bytes], None],
    ) -> None:
        self._server = server
        self._client = client
        self._resume = resume
        self._data = b""
        self._is_parked = False
        self.transport = transport
        self.cors = cors
        self.is_last = False
        self.reply: Reply | Refusal | None = None
        """The answer, if it was given before the request was parked."""

    def answer(self, answer: Reply | Refusal) -> None:
        """Answer it."""
        if not self._is_parked:
            self.reply = answer
            return
        self._unpark()
        is_last = self.is_last or self._server.hub.draining.is_set()
        data = usual_answer(answer, close=is_last)
        try:
            sent = self.transport.socket.send(data)
        except OSError:  # it is full, or the task will see what is wrong with it
            sent = 0
        if sent == len(data) and not is_last:
            self._resume(self._data)
        else:
            self._server.parking.spawn(self._finish, data[sent:], is_last)

    def park(self, data: bytes, *, is_last: bool) -> None:
        """Wait for the answer; `data` has come behind the request."""
        self._data, self.is_last, self._is_parked = data, is_last, True
        self._server.parking.park(self)

    def ready(self) -> None:
        """Read the end of the connection, or what has come behind the request."""
        try:
            data = self.transport.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:  # reset by the peer
            data = b""
        self._data += data
        if not data or len(self._data) > self._server.config.max_headers:
            self.cut()

    def cut(self) -> None:
        """End the connection, and with it the session."""
        self._unpark()
        self.transport.close()
        try:
            self._client.get_lost(self)
        except Exception as error:  # noqa: BLE001
            self._server.hub.limited_log.failed("a connection could not be ended cleanly", error)

    def _unpark(self) -> None:
        if self._is_parked:
            self._is_parked = False
            self._server.parking.leave(self)

    async def _finish(self, data: bytes, is_last: bool) -> None:
        """Send the rest of the answer, and let the next request come."""
        if await self._server.send_in_time(self.transport, data, lambda: is_last):
            self._resume(self._data)
