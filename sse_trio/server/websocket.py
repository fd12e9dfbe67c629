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

from ..core import messages
from ..hub.letters import Letter
from ..hub.timers import Timers
from .outbox import Outbox

# A whole message or ping leaves nothing behind in the encoder, and a server's frames are
# not masked (RFC 6455, section 5.1): one encoder serves for all, and one frame for all members.
_ENCODER: Final = Connection(ConnectionType.SERVER)

# The first byte of a frame that is not one of several, its masking bit, and its lengths of one and
# of two bytes (RFC 6455, section 5.2). A browser says little else: to know these without a parser
# saves 3 KiB a member, and 40 of the 100 us that a join took.
_TEXT: Final = 0x81
_PONG: Final = 0x8A
_MASKED: Final = 0x80
_SHORT: Final = 125
_MEDIUM: Final = 126
_LONGEST_MEDIUM: Final = 0xFFFF
# Where the payload begins: two bytes, and four of the mask.
_START: Final = 6
_EMPTY_PONG: Final = bytes((_PONG, _MASKED))

# Frames that one step reads. A page never sends so many at once. The slowest frames take 20 us
# each, so that even 64 connections in a row delay the others by only some ms.
FRAMES: Final = 8


def text_frame(text: str) -> bytes:
    """Encode a text message."""
    payload = text.encode()
    length = len(payload)
    if length <= _SHORT:
        return bytes((_TEXT, length)) + payload
    # By hand, in a tenth of the time. Hardly any message is longer.
    if length <= _LONGEST_MEDIUM:
        return bytes((_TEXT, _MEDIUM)) + length.to_bytes(2, "big") + payload
    return bytes(_ENCODER.send(TextMessage(data=text)))


PING_FRAME: Final = bytes(_ENCODER.send(Ping()))


def message_frame(message: messages.ServerMessage) -> bytes:
    """Encode a message of the protocol."""
    return text_frame(messages.encode(message))


def heartbeat_frames(message: messages.ServerMessage) -> bytes:
    """Encode a heartbeat twice: as data, and as a ping.

    Scripts and DevTools cannot see a ping; but the browser answers it even where the page's
    timers sleep.
    """
    return message_frame(message) + PING_FRAME


class WebSocket(Outbox):
    """The server's side of one connection.

    `max_message` is bytes; the rest is as the `Outbox` has it.
    """

    __slots__ = ("_max_message", "_message", "_parser", "closed", "closing", "has_more")

    def __init__(
        self,
        sock: socket.socket,
        spawn: Callable[..., None],
        *,
        limit: int,
        timeout: float,
        timers: Timers,
        max_message: int,
    ) -> None:
        super().__init__(sock, spawn, limit=limit, timeout=timeout, timers=timers)
        self._max_message = max_message
        # Both are made only when they are needed.
        self._parser: Connection | None = None
        self._message: bytearray | None = None
        self.has_more = False
        """Whether the received data may hold more messages; the next call returns them."""
        self.closing = False
        """Whether this side has sent its close; later input is ignored."""
        self.closed = False
        """Whether the peer's last frame has come, and this side's last one is on its way."""

    def receive(self, data: bytes) -> Iterable[str | bytes]:
        """Take bytes from the peer; return the messages that they complete, in order.

        It stops after so many `FRAMES`; the rest is taken with the next call, as `has_more` says. A
        message is returned before the next frame is read, so that its answer is sent before the
        answer to that frame, which may be the last. Bad frames are answered with a close of 1002,
        1007 or 1009.
        """
        # Most of what comes is this answer to a ping. Without a generator for it, a heartbeat takes
        # 6% less.
        if data.startswith(_EMPTY_PONG) and len(data) == _START and self._parser is None:
            return ()
        return self._receive(data)

    def _receive(self, data: bytes) -> Iterator[str | bytes]:
        taken = 0
        while self._parser is None and data and taken < FRAMES:
            frame, size = _usual_frame(data, self._max_message)
            if not size:
                break
            data = data[size:]
            taken += 1
            if frame is not None:
                yield frame
        if data and self._parser is None:
            self._parser = Connection(ConnectionType.SERVER)
        if self._parser is not None:
            yield from self._parse(self._parser, data, taken)

    def _parse(self, parser: Connection, data: bytes, taken: int) -> Iterator[str | bytes]:
        self.has_more = False
        if self.closed:
            return
        if data:
            parser.receive_data(data)
        if taken == FRAMES:
            self.has_more = True
            return
        for event in parser.events():
            match event:
                case TextMessage() | BytesMessage() if not self.closing:
                    if self._collect(event):
                        yield self._take(event)
                case Ping() if not self.closing:
                    # To a peer that pings faster than it reads, only the latest ping is
                    # answered (RFC 6455, section 5.5.3).
                    self.send_newest(bytes(parser.send(event.response())))
                case CloseConnection():
                    self._end(event)
                    return
            taken += 1
            if taken == FRAMES:
                self.has_more = True
                return

    def offer(self, message: Letter) -> bool:
        """Send or queue a message; False if that cannot be."""
        return self.send(message.encoded(message_frame))

    def offer_beat(self, message: Letter) -> bool:
        """Send or queue a heartbeat and a ping; False if that cannot be."""
        return self.send(message.encoded(heartbeat_frames))

    def offer_last(self, message: Letter) -> bool:
        """Send a message next, and drop the frames that wait."""
        return self.send_last(message.encoded(message_frame))

    def close(self, code: int, reason: str) -> None:
        """Send a close; if too much waits to be sent, it replaces the frames that wait.

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
        """Handle the last event, and send the last answer."""
        assert self._parser is not None, "the event is its"
        match self._parser.state:
            case ConnectionState.REMOTE_CLOSING:
                self._send_close(event.response())
            case ConnectionState.OPEN:
                # Not the peer's close but wsproto's verdict on a bad frame. Its text may quote that
                # frame, so it is not sent.
                self.close(event.code, "")
        self.closed = True
        self.finish()

    def _send_close(self, event: CloseConnection) -> None:
        self.closing = True
        self._parser = self._parser or Connection(ConnectionType.SERVER)
        frame = bytes(self._parser.send(event))
        self.send(frame) or self.send_last(frame)


def _usual_frame(data: bytes, limit: int) -> tuple[str | None, int]:
    """Read the first frame if it is a whole text of at most `limit` bytes, or an empty pong.

    Returns the text, and the size of the frame: 0 for any other frame, which the parser judges.
    """
    if len(data) < _START or not data[1] & _MASKED:
        return None, 0
    start, length = _START, data[1] & ~_MASKED
    if data[0] == _PONG and not length:
        return None, start
    if length > _SHORT:
        start, length = start + 2, int.from_bytes(data[2:4], "big") if length == _MEDIUM else 0
        if length <= _SHORT:
            return None, 0
    end = start + length
    if data[0] != _TEXT or length > limit or end > len(data):
        return None, 0
    mask = data[start - 4 : start] * (length // 4 + 1)
    plain = int.from_bytes(data[start:end], "big") ^ int.from_bytes(mask[:length], "big")
    try:
        return plain.to_bytes(length, "big").decode(), end
    except UnicodeDecodeError:
        return None, 0
