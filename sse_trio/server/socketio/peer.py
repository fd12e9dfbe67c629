"""What the hub tells a client of Socket.IO, and when.

A client is ended for good by a packet that it takes for the server's word that it is not to come
back: it closes its connection then, by itself. To close the connection first would have it connect
again, for ever.
"""

from collections.abc import Callable
from typing import Protocol

from ...core import messages
from ...core.cors import CorsHeaders
from ...core.messages import CloseCode
from ...core.socketio import BAD_REQUEST, Refusal
from ...hub.letters import Encode, Letter
from ..replies import Reply
from ..websocket import WebSocket
from .dialect import MESSAGE, Dialect, acknowledgement, members, to_frames
from .effects import Accept, Answer, Drop, Refuse, Send
from .engine_packets import encode_body
from .namespaces import left
from .session import Session

TEXT = "text/plain; charset=UTF-8"

# After these a client that is told so does not come back; after all others it shall.
_FINAL = (CloseCode.TERMINATED, CloseCode.MALFORMED, CloseCode.BAD_TICKET)


class Request(Protocol):
    """A request that is to be answered once."""

    @property
    def cors(self) -> CorsHeaders:
        """Headers of the answer."""
        ...

    def answer(self, answer: Reply | Refusal) -> None:
        """Answer it."""
        ...


class Line(Protocol):
    """A connection that has become a WebSocket."""

    @property
    def websocket(self) -> WebSocket:
        """What speaks on it."""
        ...

    def drop(self) -> None:
        """Close it: nobody listens to it any more."""
        ...


class SocketPeer:
    """The hub's `Peer` for one session. `spawn` starts a task."""

    __slots__ = ("_ack", "_dialect", "_is_told", "_session", "_spawn", "end", "note_terminated")

    def __init__(
        self, session: Session[Request, Line], dialect: Dialect, spawn: Callable[..., None]
    ) -> None:
        self._session = session
        self._dialect = dialect
        self._spawn = spawn
        # What the join has to be acknowledged with, if that is asked for.
        self._ack: int | None = None
        # Whether the client was told not to come back: nothing may be sent after it.
        self._is_told = False
        self.end: Callable[[], object] | None = None
        """Ends the session; None if that is done."""
        self.note_terminated: Callable[[], object] | None = None
        """Called when the termination is sent; None once the session has ended."""

    # -- as the hub has it ---------------------------------------------------------------

    def offer(self, message: Letter) -> bool:
        """Send or queue a message; False if that cannot be."""
        if self._is_told:
            return True
        self._is_told = isinstance(message.message, messages.Error) and (
            message.message.code in _FINAL
        )
        sent = self._send(message, self._dialect.packets, self._dialect.frames)
        if self._ack is not None and isinstance(message.message, messages.Joined):
            answer = acknowledgement(self._ack, members(message.message))
            self._ack = None
            return sent and self.say(answer)
        return sent

    def offer_beat(self, message: Letter) -> bool:
        """Do the same with a heartbeat, and with a ping."""
        return self._send(message, self._dialect.beat, self._dialect.beat_frames)

    def offer_last(self, message: Letter) -> bool:
        """Send a message before everything that waits, which is dropped."""
        self._is_told = True
        if self.note_terminated is not None:
            self.note_terminated()
        if (line := self._session.websocket) is not None:
            return line.websocket.send_last(message.encoded(self._dialect.frames))
        return self._perform(self._session.send_last(message.encoded(self._dialect.packets)))

    def close(self, code: int, reason: str) -> None:
        """Have the client go, and come back or not."""
        if code in _FINAL and not self._is_told:
            self.say(MESSAGE + left())
            self._is_told = True
        elif code not in _FINAL or code == CloseCode.TERMINATED:
            # One that was refused is given time to go: on requests, the close could be seen first.
            if (line := self._session.websocket) is not None:
                line.websocket.close(code, reason)
            elif code == CloseCode.TIMED_OUT:
                self.abort()  # nobody asks any more; whoever does so later is told that it is over
            self._perform(self._session.close())

    def abort(self) -> None:
        """End the session at once."""
        if (line := self._session.websocket) is not None:
            line.websocket.abort()  # whoever reads from it reads its end
        else:
            self._spawn(self._end)

    # -- as its client has it ------------------------------------------------------------

    def say(self, packet: str, *, keep: bool = False) -> bool:
        """Send a packet; False if that cannot be. With `keep`, even if others come last."""
        if self._is_told:
            return True
        if (line := self._session.websocket) is not None:
            return line.websocket.send(to_frames(packet.encode()), keep=keep)
        return self._perform(self._session.send(packet.encode(), keep=keep))

    def acknowledge_join(self, id: int | None) -> None:
        """Have the next `Joined` answer an event that has asked for it, if it has."""
        if id is not None:
            self._ack = id

    def perform(self, effect: object) -> None:
        """Do what the session wants done."""
        match effect:
            case Answer():
                effect.request.answer(self._packets(effect))
            case Accept():
                effect.request.answer(Reply(200, "text/html", b"ok", [*effect.request.cors]))
            case Refuse():
                effect.request.answer(BAD_REQUEST.to(effect.request.cors))
            case Send():
                line: Line = effect.websocket
                if not line.websocket.send(to_frames(effect.packets), keep=effect.keep):
                    line.websocket.abort()
            case Drop():
                effect.websocket.drop()

    def _perform(self, effects: list[object] | None) -> bool:
        for effect in effects or ():
            self.perform(effect)
        return effects is not None

    def _send(self, message: Letter, packets: Encode, frames: Encode) -> bool:
        if (line := self._session.websocket) is not None:
            frame = message.encoded(frames)
            return not frame or line.websocket.send(frame)
        chunk = message.encoded(packets)
        return not chunk or self._perform(self._session.send(chunk))

    def _packets(self, answer: Answer[Request]) -> Reply:
        body = encode_body(answer.packets.decode(), self._dialect.version).encode()
        return Reply(200, TEXT, body, [*answer.request.cors])

    async def _end(self) -> None:
        if self.end is not None:
            self.end()
