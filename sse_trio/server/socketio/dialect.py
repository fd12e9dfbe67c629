"""The hub's messages as events of Socket.IO, and events as messages to the hub.

There is a `Dialect` for each version of Engine.IO. What it writes are packets, several with a
`SEPARATOR` between them, or the same as frames of a WebSocket; nothing, if clients need not know.
Both are made once for all clients that a message goes to.
"""

import secrets
from typing import Any

import attrs

from ... import strict_json
from ...config import Config
from ...core import messages
from ...core.messages import CloseCode, may_reconnect
from ...errors import RemoteProtocolError
from ..websocket import text_frame
from .engine_packets import SEPARATOR
from .namespaces import MAIN, left, refused
from .session import PING

# What every packet of Socket.IO begins with: it is a message of Engine.IO.
MESSAGE = "4"

# The event that acknowledges a termination, for pages that know of it.
TERMINATED = "terminated"


class Dialect:
    """How the hub speaks to clients of Engine.IO 3 or 4, by the configured names."""

    def __init__(self, config: Config, version: int) -> None:
        self.version = version
        """Of Engine.IO."""
        self._config = config

    @property
    def socket_version(self) -> int:
        """The version of Socket.IO above it."""
        return self.version + 1

    # -- what the hub says ---------------------------------------------------------------

    def packets(self, message: messages.ServerMessage) -> bytes:
        """Write a message."""
        config = self._config
        match message:
            case messages.Joined() if config.socketio_joined is not None:
                said = [event(config.socketio_joined, members(message))]
            case messages.Heartbeat() if config.socketio_heartbeat is not None:
                said = [event(config.socketio_heartbeat, members(message))]
            case messages.Terminate():
                # The client does not connect again after the second.
                said = [event(config.socketio_terminate, members(message)), MESSAGE + left()]
            case messages.Error(code=code) if not may_reconnect(code):
                why = refused(MAIN, message.message, code, version=self.socket_version)
                said = [MESSAGE + why, MESSAGE + left()]
            case _:
                said = []
        return SEPARATOR.join(said).encode()

    def frames(self, message: messages.ServerMessage) -> bytes:
        """Write a message for a WebSocket."""
        return to_frames(self.packets(message))

    def beat(self, message: messages.ServerMessage) -> bytes:
        """Write a heartbeat, with the ping that clients of version 4 have to answer."""
        packets = self.packets(message)
        if self.version == 3:  # where it is the client that pings
            return packets
        return PING + SEPARATOR.encode() + packets if packets else PING

    def beat_frames(self, message: messages.ServerMessage) -> bytes:
        """Write the same for a WebSocket."""
        return to_frames(self.beat(message))

    # -- what pages say ------------------------------------------------------------------

    def is_join(self, name: object) -> bool:
        """Whether an event of this name is a join."""
        return name in self._config.socketio_join

    def read_join_untrusted(self, arguments: list[Any]) -> messages.Join:
        """Read the arguments of a join: a room, perhaps a session; a ticket; or an object of both.

        Raises:
            RemoteProtocolError: they are something else.
        """
        match arguments:
            case [dict() as named]:
                return read_join_untrusted(named)
            case [str() as ticket] if self._config.join == "ticket":
                return messages.Join(ticket=ticket)
            case [room]:
                return read_join_untrusted({"room": room})
            case [room, session]:
                return read_join_untrusted({"room": room, "session": session})
        raise RemoteProtocolError("join needs a room or a ticket", CloseCode.MALFORMED)


def read_join_untrusted(named: dict[str, Any]) -> messages.Join:
    """Read a join.

    Raises:
        RemoteProtocolError: it is none.
    """
    try:
        return messages.read_join(named)
    except ValueError as error:
        raise RemoteProtocolError(str(error), CloseCode.MALFORMED) from None


def event(name: str, argument: dict[str, Any]) -> str:
    """Write an event, as a packet of Engine.IO."""
    return f"{MESSAGE}2{strict_json.dumps([name, argument])}"


def acknowledgement(id: int, argument: dict[str, Any]) -> str:
    """Write the answer to an event that asked for one, as a packet of Engine.IO."""
    return f"{MESSAGE}3{id}{strict_json.dumps([argument])}"


def members(message: messages.ServerMessage) -> dict[str, Any]:
    """Return what a message says, without its type."""
    return attrs.asdict(message, recurse=False)


def to_frames(packets: bytes) -> bytes:
    """Write packets as frames of a WebSocket."""
    return b"".join(map(text_frame, packets.decode().split(SEPARATOR))) if packets else b""


def private_id(session: str) -> str:
    """Return a `pid` by which a client can be recognised as a session when it comes back.

    Each is another one: a client that is given the one that it had believes that it has missed
    nothing, and its page may not join again.
    """
    return f"{session}.{secrets.token_urlsafe(9)}"


def session_of(pid: object) -> str | None:
    """Return the session that a `pid` stands for, if it is one."""
    session = pid.rpartition(".")[0] if isinstance(pid, str) else ""
    try:
        return messages.name(session, "session")
    except ValueError:
        return None
