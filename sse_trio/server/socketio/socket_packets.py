"""Packets of Socket.IO, versions 4 and 5: each is a message of Engine.IO.

A packet may be followed by messages in binary, its attachments; then it takes its place when the
last one has come. Nothing here is sent in binary.
(https://github.com/socketio/socket.io, docs/socket.io-protocol)
"""

import enum
import json
import re
from typing import Any, Final

import attrs

from ... import strict_json
from ...core.messages import CONTROL
from ...fields import RESERVED_EVENTS
from ...values import frozen

MAX_ATTACHMENTS: Final = 10
"""Of one packet, as in socket.io-parser 4.2.6."""

MAX_NAMESPACE: Final = 256


class Kind(enum.Enum):
    """What a packet is for; its value is the digit."""

    CONNECT = "0"
    DISCONNECT = "1"
    EVENT = "2"
    ACK = "3"
    CONNECT_ERROR = "4"
    BINARY_EVENT = "5"
    BINARY_ACK = "6"


_PACKET: Final = re.compile(
    r"([0-6])(?:([0-9]{1,9})-)?(?:(/[^,]*)(?:,|\Z))?([0-9]{1,15})?(.*)", re.DOTALL
)

UNREADABLE: Final = object()
"""The argument of an event whose JSON a browser may write, and the hub does not read.

Such are half a character, or deep nesting. Pages send events that are meant for others.
"""

_BINARY: Final = (Kind.BINARY_EVENT, Kind.BINARY_ACK)


@frozen
class SocketPacket:
    """A packet. `data` is None if it has none; `id` is what it wants to be answered with."""

    kind: Kind
    namespace: str = "/"
    data: Any = attrs.field(default=None, repr=False)
    id: int | None = None
    attachments: int = 0


def encode(packet: SocketPacket) -> str:
    """Write a packet, but for its attachments."""
    parts = [packet.kind.value]
    if packet.kind in _BINARY:
        parts.append(f"{packet.attachments}-")
    if packet.namespace != "/":
        parts.append(f"{packet.namespace},")
    if packet.id is not None:
        parts.append(str(packet.id))
    if packet.data is not None:
        parts.append(strict_json.dumps(packet.data))
    return "".join(parts)


def parse_untrusted(text: str) -> SocketPacket:
    """Read a packet that a client may send, but for its attachments.

    Raises:
        ValueError: it is none. The text can be shown.
    """
    found = _PACKET.fullmatch(text)
    if found is None:
        raise ValueError("unknown type of packet")
    kind = Kind(found[1])
    if (found[2] is not None) is not (kind in _BINARY):
        raise ValueError("attachments belong to a binary packet, and to no other")
    attachments = int(found[2] or 0)
    if attachments > MAX_ATTACHMENTS:
        raise ValueError(f"more than {MAX_ATTACHMENTS} attachments")
    # Clients 2.x put a query behind the name.
    namespace = (found[3] or "/").partition("?")[0]
    if len(namespace) > MAX_NAMESPACE:
        raise ValueError(f"a namespace must have at most {MAX_NAMESPACE} characters")
    if CONTROL.search(namespace):
        raise ValueError("a namespace must not hold control characters")
    data = _read_data_untrusted(kind, found[5]) if found[5] else None
    packet = SocketPacket(kind, namespace, data, int(found[4]) if found[4] else None, attachments)
    _check(packet)
    return packet


def _read_data_untrusted(kind: Kind, text: str) -> Any:
    """Read a packet's JSON. Of an event that only browsers take for JSON, its name is read."""
    try:
        return strict_json.loads_untrusted(text)
    except ValueError as error:
        try:
            data = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise error from None
        is_event = kind in (Kind.EVENT, Kind.BINARY_EVENT) and isinstance(data, list) and data
        if not is_event or strict_json.has_lone_surrogates(str(data[0])):
            raise
        return [data[0], UNREADABLE]


def _refuse(constant: str) -> None:
    raise ValueError("not JSON: a constant that is none")


def _check(packet: SocketPacket) -> None:
    data = packet.data
    match packet.kind:
        case Kind.CONNECT:
            is_right = data is None or isinstance(data, dict)
        case Kind.DISCONNECT:
            is_right = data is None
        case Kind.EVENT | Kind.BINARY_EVENT:
            is_right = isinstance(data, list) and bool(data) and _is_name(data[0])
        case Kind.ACK | Kind.BINARY_ACK:
            is_right = isinstance(data, list) and packet.id is not None
        case _:
            is_right = False  # only a server sends an error
    if not is_right:
        raise ValueError("a packet has data that does not belong to its type")


def _is_name(value: object) -> bool:
    if isinstance(value, str):
        return value not in RESERVED_EVENTS
    return isinstance(value, int | float) and not isinstance(value, bool)


class Decoder:
    """Makes packets of messages. Attachments are counted, and dropped."""

    def __init__(self) -> None:
        self._packet: SocketPacket | None = None
        self._missing = 0

    def receive_untrusted(self, message: str | bytes) -> SocketPacket | None:
        """Take the next message; return the packet that it completes.

        Raises:
            ValueError: it is not what had to come. The text can be shown.
        """
        if self._packet is None:
            if isinstance(message, bytes):
                raise ValueError("an attachment belongs to no packet")
            packet = parse_untrusted(message)
            if not packet.attachments:
                return packet
            self._packet, self._missing = packet, packet.attachments
            return None
        if isinstance(message, str):
            raise ValueError("an attachment is missing")
        self._missing -= 1
        if self._missing:
            return None
        packet, self._packet = self._packet, None
        return packet
