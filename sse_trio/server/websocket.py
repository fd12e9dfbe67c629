"""One WebSocket after its handshake: frames in, whole messages out, and the close.

wsproto judges the frames (RFC 6455, sections 5 to 7). Everything here is one synchronous
step: bytes in; pings answered, messages handed out, or the connection closing. So a caller
needs a task only to wait for bytes, and nothing can interleave.
"""

from collections.abc import Callable, Iterator
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


class WebSocket:
    """The server's side of one connection.

    `max_message` is bytes; `abort` ends the connection at once, without a word.
    """

    def __init__(self, outbox: Outbox, *, max_message: int, abort: Callable[[], None]) -> None:
        self.offer = outbox.offer
        self.offer_last = outbox.offer_last
        self.abort = abort
        self._outbox = outbox
        self._max_message = max_message
        self._connection = Connection(ConnectionType.SERVER)
        self._message = bytearray()
        self.closed = False
        """Whether the last frame has come in and the last one is on its way out."""

    @property
    def closing(self) -> bool:
        """Whether this side has said that it closes; what comes in is not listened to."""
        return self._connection.state is not ConnectionState.OPEN

    def receive(self, data: bytes) -> Iterator[str | bytes]:
        """Take bytes from the peer; yield the messages that they complete, in order.

        A message is yielded before the next frame is looked at, so that what it is answered
        with goes out before the answer to that frame, which may be the last. Bad frames are
        answered with a close of 1002, 1007 or 1009.
        """
        if self.closed:
            return
        self._connection.receive_data(data)
        for event in self._connection.events():
            match event:
                case TextMessage() | BytesMessage() if not self.closing:
                    if self._collect(event):
                        yield self._take(event)
                case Ping() if not self.closing:
                    if not self._outbox.offer(self._connection.send(event.response())):
                        self.close(CloseReason.TRY_AGAIN_LATER, "reads too slowly")
                case CloseConnection():
                    self._end(event)

    def close(self, code: int, reason: str) -> None:
        """Say that this side closes; if too much waits to be sent already, instead of that.

        `reason` is cut to the 123 bytes that fit. A second call changes nothing.
        """
        if not self.closing:
            self._send_close(CloseConnection(code=code, reason=reason))

    def _collect(self, event: TextMessage | BytesMessage) -> bool:
        """Add a piece; True if the message is whole."""
        piece = event.data
        self._message += piece.encode() if isinstance(piece, str) else piece
        if len(self._message) > self._max_message:
            self.close(CloseReason.MESSAGE_TOO_BIG, f"more than {self._max_message} bytes")
            self._message.clear()
            return False
        return event.message_finished

    def _take(self, last: TextMessage | BytesMessage) -> str | bytes:
        message = bytes(self._message)
        self._message.clear()
        return message.decode() if isinstance(last, TextMessage) else message

    def _end(self, event: CloseConnection) -> None:
        """Take the last event that there will be, and send what it leaves to be said."""
        match self._connection.state:
            case ConnectionState.REMOTE_CLOSING:
                self._send_close(event.response())
            case ConnectionState.OPEN:
                # Not the peer's close but wsproto's verdict on a bad frame. Its words may
                # quote that frame, so they stay here.
                self.close(event.code, "")
        self.closed = True
        self._outbox.finish()

    def _send_close(self, event: CloseConnection) -> None:
        frame = bytes(self._connection.send(event))
        self._outbox.offer(frame) or self._outbox.offer_last(frame)
