"""Pages that listen: each joins by a POST, and its answer is an event stream.

The stream is parked as a WebSocket is: the hub's messages go straight to the socket. What such a
page says comes by other requests, on other connections.
"""

import email.utils
import socket
from collections.abc import Callable
from functools import partial

import attrs

from .. import strict_json
from ..core import messages
from ..core.events import CorsHeaders, Listen
from ..hub.letters import Letter
from ..hub.member import State
from ..hub.timers import Timers
from .attended import Attended
from .outbox import Outbox
from .server import Server
from .transport import Transport


def event(message: messages.ServerMessage) -> bytes:
    """Encode a message as one event (HTML, section 9.2.6)."""
    return f"data: {messages.encode(message)}\n\n".encode()


def beat_event(message: messages.ServerMessage) -> bytes:
    """Encode a heartbeat, with a comment, which scripts of other makes may take for one."""
    return b":\n" + event(message)


def close_event(code: int, reason: str) -> bytes:
    """Encode what a WebSocket's close frame says."""
    closing = strict_json.dumps({"code": code, "reason": reason})
    return f"event: close\ndata: {closing}\n\n".encode()


class EventStream(Outbox):
    """The answer to a page that listens."""

    __slots__ = ()

    def offer(self, message: Letter) -> bool:
        """Send or queue a message; False if that cannot be."""
        return self.send(message.encoded(event))

    def offer_beat(self, message: Letter) -> bool:
        """Send or queue a heartbeat; False if that cannot be."""
        return self.send(message.encoded(beat_event))

    def offer_last(self, message: Letter) -> bool:
        """Send a message before everything that waits, which is then not worth sending."""
        return self.send_last(message.encoded(event))

    def close(self, code: int, reason: str) -> None:
        """Say that the stream ends, and end it. A second call changes nothing."""
        frame = close_event(code, reason)
        self.send(frame) or self.send_last(frame)
        self.finish()


class SingleEvent(EventStream):
    """An answer that ends with its first message, at the latest after so many seconds of `wait`.

    A termination, a hold or an error goes out at once. Of all else only the newest counts, and is
    kept until the wait is over.
    """

    __slots__ = ("_is_due", "_kept")

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
        timers: Timers,
        wait: float,
    ) -> None:
        super().__init__(sock, spawn, limit=limit, timeout=timeout, timers=timers)
        self._kept: Letter | None = None
        self._is_due = False
        # It has this deadline until it is answered, and then the outbox's.
        timers.schedule(self, timers.now() + wait)

    def offer(self, message: Letter) -> bool:
        """Keep the message, or answer with it; False if the answer has been given."""
        if self._shutting:
            return False
        self._kept = message
        if self._is_due or isinstance(message.message, messages.Hold | messages.Error):
            self._answer()
        return True

    def offer_beat(self, message: Letter) -> bool:
        """Do the same with a heartbeat, which says less than what is kept."""
        return not self._shutting if self._kept else self.offer(message)

    def offer_last(self, message: Letter) -> bool:
        """Answer with this message, whatever is kept; False if the answer has been given."""
        sent = super().offer_last(message)
        self.finish()
        return sent

    def close(self, code: int, reason: str) -> None:
        """End the answer: with what is kept, or else by saying that the stream ends."""
        self._answer()
        super().close(code, reason)

    def expire(self, now: float) -> None:
        """Answer, if there is something to say; otherwise as soon as there is."""
        if self._shutting:
            super().expire(now)
        else:
            self._is_due = True
            self._answer()

    def _answer(self) -> None:
        if self._kept and self.send(self._kept.encoded(event)):
            self.finish()


def head(cors: CorsHeaders) -> bytes:
    """Write the head of an answer that ends with its connection (RFC 9112, section 6.3).

    The last header keeps nginx from collecting the stream before it passes it on.
    """
    fields = (
        (b"Date", email.utils.formatdate(usegmt=True).encode()),
        (b"Content-Type", b"text/event-stream"),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
        (b"Connection", b"close"),
        (b"X-Accel-Buffering", b"no"),
        *cors,
    )
    return b"HTTP/1.1 200 OK\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in fields)


def start_listening(server: Server, transport: Transport, address: str, listen: Listen) -> None:
    """Make an event stream of the rest of a connection whose head has been sent; it is parked."""
    hub, parking, config = server.hub, server.parking, server.config
    _end_when_unacknowledged(transport.socket, config.heartbeat_timeout)
    peer = open_peer(server, transport.socket, listen.wait)
    member = hub.membership.arrive(peer, address, holds=True, listens=True)
    listener = Listener(transport, server, peer, member, listen.stream)
    parking.park(listener)
    listener.begin(listen.join)


def open_peer(server: Server, sock: socket.socket, wait: int | None) -> EventStream:
    """Return what sends the hub's messages; nobody waits for longer than a heartbeat."""
    config, timers, spawn = server.config, server.hub.timers, server.parking.spawn
    limit, timeout = config.max_outbox, config.heartbeat_timeout
    if wait is None:
        return EventStream(sock, spawn, limit=limit, timeout=timeout, timers=timers)
    longest = min(wait, config.heartbeat_interval)
    return SingleEvent(sock, spawn, limit=limit, timeout=timeout, timers=timers, wait=longest)


def _end_when_unacknowledged(sock: socket.socket, seconds: float) -> None:
    """Have the kernel end the connection whose peer acknowledges nothing for so long (RFC 5482).

    Such a peer sends no bytes by which the hub could tell that it is there; but each heartbeat is
    acknowledged by its TCP.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


@attrs.define(eq=False, weakref_slot=False)
class Listener(Attended[EventStream]):
    """An event stream and its member; `_stream` is the name that the page has given it."""

    _stream: str | None = attrs.field(repr=False)

    def begin(self, join: messages.Join) -> None:
        """Join. An earlier stream of the same name ends: its page has lost it."""
        streams = self._server.streams
        if self._member.state is State.GONE:
            return  # there was no room to park it
        if self._stream is not None:
            if earlier := streams.get(self._stream):
                earlier.hang_up()
            streams[self._stream] = self
        self.hear(join)

    def hear(self, message: messages.ClientMessage) -> None:
        """Take what the page says."""
        self._contain(partial(self._hear, message))

    def hang_up(self) -> None:
        """End as if the peer had closed."""
        self._contain(self._end)

    def _hear(self, message: messages.ClientMessage) -> None:
        admission = self._member.admission
        self._server.hub.hearing.take(self._member, message)
        self._admit(admission)

    def _handle(self, data: bytes) -> None:
        """Ignore what comes behind the request: this connection ends with its answer."""

    def _leave(self, *, hung_up: bool) -> None:
        super()._leave(hung_up=hung_up)
        if self._stream is not None and self._server.streams.get(self._stream) is self:
            del self._server.streams[self._stream]
