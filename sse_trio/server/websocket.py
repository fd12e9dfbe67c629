"""One WebSocket after its handshake: frames in, whole messages out, and the close.

wsproto judges the frames (RFC 6455, sections 5 to 7). Everything here is one synchronous
step: bytes in; pings answered, messages returned, or the connection closing. So a caller
needs a task only to wait for bytes, and nothing can interleave.
"""

from collections.abc import Callable
from typing import Final

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason, ParseFailed

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
        self._connection: Connection | None = Connection(ConnectionType.SERVER)
        self._message = bytearray()
        self._text = False
        self.closed = False
        """Whether both sides have said that they close, so that nothing more is to be heard."""

    @property
    def closing(self) -> bool:
        """Whether this side has said that it closes; what comes in is not listened to."""
        return self._connection is None or self._connection.state is not ConnectionState.OPEN

    def receive(self, data: bytes) -> list[str | bytes]:
        """Take bytes from the peer; return the messages that they complete, in order.

        Bad frames are answered with a close of 1002, 1007 or 1009, and end the list.
        """
        messages: list[str | bytes] = []
        if self._connection is None or self.closed:
            return messages
        self._connection.receive_data(data)
        try:
            for event in self._connection.events():
                match event:
                    case TextMessage() | BytesMessage():
                        if not self.closing and self._collect(event):
                            messages.append(self._take())
                    case Ping() if not self.closing:
                        if not self._outbox.offer(self._connection.send(event.response())):
                            self.close(CloseReason.TRY_AGAIN_LATER, "reads too slowly")
                    case CloseConnection():
                        self._answer_close(event)
        except ParseFailed as failure:
            # What h11 is to requests wsproto is to frames: its words may quote the peer's.
            self.close(failure.code, "")
            # Its parser is lost: whatever follows is read only to be thrown away.
            self._connection = None
            self._outbox.finish()
        return messages

    def close(self, code: int, reason: str) -> None:
        """Say that this side closes; if too much waits to be sent already, instead of that.

        `reason` is cut to the 123 bytes that fit. A second call changes nothing.
        """
        if self._connection is None or self.closing:
            return
        frame = bytes(self._connection.send(CloseConnection(code=code, reason=reason)))
        self._outbox.offer(frame) or self._outbox.offer_last(frame)

    def _collect(self, event: TextMessage | BytesMessage) -> bool:
        """Add a piece; True if the message is whole."""
        self._text = isinstance(event, TextMessage)
        piece = event.data
        self._message += piece.encode() if isinstance(piece, str) else piece
        if len(self._message) > self._max_message:
            self.close(CloseReason.MESSAGE_TOO_BIG, f"more than {self._max_message} bytes")
            self._message.clear()
            return False
        return event.message_finished

    def _take(self) -> str | bytes:
        message = bytes(self._message)
        self._message.clear()
        return message.decode() if self._text else message

    def _answer_close(self, event: CloseConnection) -> None:
        assert self._connection is not None
        if self._connection.state is ConnectionState.REMOTE_CLOSING:
            self._outbox.offer(bytes(self._connection.send(event.response())))
        self.closed = True
        self._outbox.finish()
