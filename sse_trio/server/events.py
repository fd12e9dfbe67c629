"""Event streams: a page joins by a POST, and the answer is the stream.

The stream is parked like a WebSocket, and the hub's messages go directly to the socket. The page
sends its own messages by other requests, on other connections.
"""

import email.utils
import socket
from collections.abc import Callable
from functools import partial

import attrs

from .. import strict_json
from ..core import messages
from ..core.cors import CorsHeaders
from ..core.events import Listen
from ..hub.letters import Letter
from ..hub.member import State
from ..hub.timers import HasDeadline, Timers
from .attended import Attended
from .outbox import Outbox
from .server import Server
from .transport import Transport


def event(message: messages.ServerMessage) -> bytes:
    """Encode a message as one event (HTML, section 9.2.6)."""
    return f"data: {messages.encode(message)}\n\n".encode()


def beat_event(message: messages.ServerMessage) -> bytes:
    """Encode a heartbeat, with a comment, which other clients may use as a sign of life."""
    return b":\n" + event(message)


def close_event(code: int, reason: str) -> bytes:
    """Encode a close code and a reason, as in a WebSocket's close frame."""
    closing = strict_json.dumps({"code": code, "reason": reason})
    return f"event: close\ndata: {closing}\n\n".encode()


class EventStream(Outbox):
    """The event stream of one page."""

    __slots__ = ()

    def offer(self, message: Letter) -> bool:
        """Send or queue a message; False if the stream cannot take it."""
        return self.send(message.encoded(event))

    def offer_beat(self, message: Letter) -> bool:
        """Send or queue a heartbeat; False if the stream cannot take it."""
        return self.send(message.encoded(beat_event))

    def offer_last(self, message: Letter) -> bool:
        """Drop all waiting data, and send this message."""
        return self.send_last(message.encoded(event))

    def close(self, code: int, reason: str) -> None:
        """Send the close event, and end the stream. A second call changes nothing."""
        frame = close_event(code, reason)
        self.send(frame) or self.send_last(frame)
        self.finish()


class SingleEvent(EventStream):
    """An answer that ends with its first message: at the end of a wait, or earlier.

    A termination, a hold or an error ends it at once. `Joined` ends it once it `is_due`; before
    that it need not be kept, because the hub can say it again. A heartbeat never ends it.
    """

    __slots__ = ("answered", "is_due")

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
        timers: Timers,
    ) -> None:
        super().__init__(sock, spawn, limit=limit, timeout=timeout, timers=timers)
        self.is_due = False
        """Whether the wait is over."""
        self.answered: Callable[[], object] | None = None
        """Called when the answer has been given, unless that was a termination."""

    def offer(self, message: Letter) -> bool:
        """Answer with the message, if it is one to end with; False if that cannot be."""
        match message.message:
            case messages.Heartbeat():
                return True
            case messages.Joined() if not self.is_due:
                return True
        sent = super().offer(message)
        self.finish()
        if self.answered is not None:
            self.answered()
        return sent

    def offer_beat(self, message: Letter) -> bool:
        """Leave a heartbeat out."""
        return True

    def offer_last(self, message: Letter) -> bool:
        """Answer with the termination; False if that cannot be."""
        sent = super().offer_last(message)
        self.finish()
        return sent


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


def start_listening(
    server: Server, transport: Transport, address: str, data: bytes, listen: Listen
) -> None:
    """Make an event stream of the rest of a connection whose head has been sent; it is parked.

    `data` is what the client sent behind the request.
    """
    hub, parking, config = server.hub, server.parking, server.config
    if listen.stream is not None and (earlier := server.streams.get(listen.stream)):
        # Its page has lost it. It must not take the place of this one.
        earlier.hang_up()
    _end_when_unacknowledged(transport.socket, config.heartbeat_timeout)
    kind = EventStream if listen.wait is None else SingleEvent
    peer = kind(
        transport.socket,
        parking.spawn,
        limit=config.max_outbox,
        timeout=config.heartbeat_timeout,
        timers=hub.timers,
    )
    member = hub.membership.arrive(peer, address, holds=True, listens=True)
    listener = Listener(transport, server, peer, member, listen.stream)
    parking.park(listener)
    # Unless it was refused, or there was no room to park it.
    if member.state is State.ARRIVING:
        listener.begin(listen, data)


def _end_when_unacknowledged(sock: socket.socket, seconds: float) -> None:
    """Have the kernel end the connection if its peer acknowledges nothing for so long (RFC 5482).

    The peer of a stream sends no bytes, but its TCP acknowledges each heartbeat.
    """
    if hasattr(socket, "TCP_USER_TIMEOUT") and sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(seconds * 1000))


@attrs.define(eq=False, weakref_slot=False)
class Listener(Attended[EventStream], HasDeadline):
    """An event stream and its member; `_stream` is the name that the page has given it."""

    _stream: str | None = attrs.field(repr=False)

    def begin(self, listen: Listen, data: bytes) -> None:
        """Join, and wait for as long as the page wants to: at most for a heartbeat."""
        if self._stream is not None:
            self._server.streams[self._stream] = self
        hub = self._server.hub
        if listen.wait is not None and isinstance(self._peer, SingleEvent):
            self._peer.answered = self._note_answered
            wait = min(listen.wait, hub.config.heartbeat_interval)
            hub.timers.schedule(self, hub.timers.now() + wait)
        self.hear(listen.join)
        if data:
            self.hang_up()

    def hear(self, message: messages.ClientMessage) -> None:
        """Take a message of the page."""
        self._contain(partial(self._hear, message))

    def hang_up(self) -> None:
        """End as if the peer had closed the connection."""
        self._contain(self._end)

    def expire(self, now: float) -> None:
        """Answer, because the wait is over: at once, or as soon as the hub knows."""
        self._contain(self._end_wait)

    def _end_wait(self) -> None:
        if isinstance(self._peer, SingleEvent):
            self._peer.is_due = True
        if self._member.admission is None:
            self._server.hub.membership.tell_joined(self._member)

    def _note_answered(self) -> None:
        """Have the member leave: it can be sent nothing more."""
        self._server.hub.membership.note_close(self._member)

    def _hear(self, message: messages.ClientMessage) -> None:
        admission = self._member.admission
        self._server.hub.hearing.take(self._member, message)
        self._admit(admission)

    def _handle(self, data: bytes) -> None:
        """End: this connection takes no other request, and nobody need read what comes."""
        self._end()

    def _leave(self, *, hung_up: bool) -> None:
        super()._leave(hung_up=hung_up)
        self._server.hub.timers.drop(self)
        if self._stream is not None and self._server.streams.get(self._stream) is self:
            del self._server.streams[self._stream]

    def _close(self) -> None:
        if isinstance(self._peer, SingleEvent):
            self._peer.answered = None  # no cycle keeps them in memory
        super()._close()
