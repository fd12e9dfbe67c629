"""One WebSocket after its handshake: frames in, whole messages out, and the close.

wsproto judges the frames (RFC 6455, sections 5 to 7). Everything here is one synchronous
step: bytes in; pings answered, messages handed out, or the connection closing. So a caller
needs a task only to wait for bytes, and nothing can interleave.
"""

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from .outbox import Outbox

# A whole message or ping leaves nothing behind in the encoder, and a server's frames are
# not masked (RFC 6455, section 5.1): one encoder serves for all, and one frame for all members.
_ENCODER: Final = Connection(ConnectionType.SERVER)


def text_frame(text: str) -> bytes:
    """Encode a text message."""
    return bytes(_ENCODER.send(TextMessage(data=text)))


PING_FRAME: Final = bytes(_ENCODER.send(Ping()))

# The answer to it is of these bytes and a mask (RFC 6455, sections 5.2 and 5.5.3). Where a frame
# begins nobody needs a parser to know one, and it is all that most members ever say.
_EMPTY_PONG: Final = b"\x8a\x80"
_EMPTY_PONG_SIZE: Final = 6

_FIN: Final = 0x80
_LONGEST: Final = 125


class WebSocket(Outbox):
    """The server's side of one connection.

    `max_message` is bytes; the rest is as the `Outbox` has it.
    """

    __slots__ = ("_max_message", "_message", "_parser", "closed", "closing")

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
        max_message: int,
    ) -> None:
        super().__init__(sock, spawn, limit=limit, timeout=timeout)
        self._max_message = max_message
        # Both only while a message or frame is incomplete, or the connection closing: a
        # parser takes 3 KiB.
        self._parser: Connection | None = None
        self._message: bytearray | None = None
        self.closing = False
        """Whether this side has said that it closes; what comes in is not listened to."""
        self.closed = False
        """Whether the last frame has come in and the last one is on its way out."""

    def receive(self, data: bytes) -> Iterable[str | bytes]:
        """Take bytes from the peer; return the messages that they complete, in order.

        A message is given before the next frame is looked at, so that what it is answered
        with goes out before the answer to that frame, which may be the last. Bad frames are
        answered with a close of 1002, 1007 or 1009.
        """
        if self._parser is None and data[:2] == _EMPTY_PONG and len(data) == _EMPTY_PONG_SIZE:
            return ()
        return self._parse(data)

    def _parse(self, data: bytes) -> Iterator[str | bytes]:
        if self.closed:
            return
        is_fresh = self._parser is None
        parser = self._parser = self._parser or Connection(ConnectionType.SERVER)
        parser.receive_data(data)
        for event in parser.events():
            match event:
                case TextMessage() | BytesMessage() if not self.closing:
                    if self._collect(event):
                        yield self._take(event)
                case Ping() if not self.closing:
                    if not self.offer(parser.send(event.response())):
                        self.close(CloseReason.TRY_AGAIN_LATER, "reads too slowly")
                case CloseConnection():
                    self._end(event)
        if is_fresh and not self.closing and _are_whole(data):
            self._parser = None

    def close(self, code: int, reason: str) -> None:
        """Say that this side closes; if too much waits to be sent already, instead of that.

        `reason` is cut to the 123 bytes that fit. A second call changes nothing.
        """
        if not self.closing:
            self._send_close(CloseConnection(code=code, reason=reason))

    def _collect(self, event: TextMessage | BytesMessage) -> bool:
        """Add a piece; True if the message is whole."""
        piece = event.data
        if self._message is None:
            self._message = bytearray()
        self._message += piece.encode() if isinstance(piece, str) else piece
        if len(self._message) > self._max_message:
            self.close(CloseReason.MESSAGE_TOO_BIG, f"more than {self._max_message} bytes")
            self._message = None
            return False
        return event.message_finished

    def _take(self, last: TextMessage | BytesMessage) -> str | bytes:
        assert self._message is not None, "it was collected"
        message = bytes(self._message)
        self._message = None
        return message.decode() if isinstance(last, TextMessage) else message

    def _end(self, event: CloseConnection) -> None:
        """Take the last event that there will be, and send what it leaves to be said."""
        assert self._parser is not None, "the event is its"
        match self._parser.state:
            case ConnectionState.REMOTE_CLOSING:
                self._send_close(event.response())
            case ConnectionState.OPEN:
                # Not the peer's close but wsproto's verdict on a bad frame. Its words may
                # quote that frame, so they stay here.
                self.close(event.code, "")
        self.closed = True
        self.finish()

    def _send_close(self, event: CloseConnection) -> None:
        self.closing = True
        self._parser = self._parser or Connection(ConnectionType.SERVER)
        frame = bytes(self._parser.send(event))
        self.offer(frame) or self.offer_last(frame)


def _are_whole(data: bytes) -> bool:
    """Whether bytes that began with a frame end with one, none of them a piece of a message.

    Then the parser that has read them, without complaint, knows nothing that a new one does not.
    """
    at, size = 0, len(data)
    while at + 1 < size:
        # FIN without reserved bits, and of the short lengths: a page's messages are no longer.
        if data[at] & 0xF0 != _FIN or data[at] & 0x0F == 0 or data[at + 1] & 0x7F > _LONGEST:
            return False
        at += 2 + 4 + (data[at + 1] & 0x7F)
    return at == size
