"""Packets of Engine.IO, and how several of them make the body of a request: versions 3 and 4.

On a WebSocket each packet is a message: a text of a digit and the data, or the bare bytes of a
binary message. The body of a request has any number of packets. Nothing here is sent in binary.
(https://github.com/socketio/socket.io, docs/engine.io-protocol)
"""

import base64
import binascii
import enum
import re
from collections.abc import Iterator
from typing import Final

import attrs

from ...values import frozen

MAX_PACKETS: Final = 64
"""In one body. A client has a few at most: an event, an answer to a ping."""

SEPARATOR: Final = "\x1e"
"""Between the packets of a body of version 4. JSON has this character only in an escaped form."""

_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")

# A body is shorter than 10^9, and so is each of its packets.
_LENGTH: Final = re.compile("([0-9]{1,9}):")


# Of a packet in a binary body: whether it is bytes, and its length, a byte for each digit.
_BINARY_HEAD: Final = re.compile(rb"([\0\1])([\0-\x09]{1,9})\xff")


class Kind(enum.Enum):
    """What a packet is for; its value is the digit."""

    OPEN = "0"
    CLOSE = "1"
    PING = "2"
    PONG = "3"
    MESSAGE = "4"
    UPGRADE = "5"
    NOOP = "6"


_KINDS: Final = {kind.value: kind for kind in Kind}


@frozen
class EnginePacket:
    """A packet; its data is bytes only in a message."""

    kind: Kind
    data: str | bytes = attrs.field(default="", repr=False)


def parse_packet_untrusted(text: str) -> EnginePacket:
    """Read one packet, which is not in binary.

    Raises:
        ValueError: it is none. The text can be shown.
    """
    kind = _KINDS.get(text[:1])
    if kind is None:
        raise ValueError("unknown type of packet")
    return EnginePacket(kind, text[1:])


def parse_body_untrusted(body: bytes, version: int) -> list[EnginePacket]:
    """Read the packets of a text body of Engine.IO 3 or 4.

    Raises:
        ValueError: it is none, or has more than `MAX_PACKETS`. The text can be shown.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    texts = text.split(SEPARATOR, MAX_PACKETS) if version > 3 else list(_split(text))
    if len(texts) > MAX_PACKETS:
        raise ValueError(f"more than {MAX_PACKETS} packets")
    return [_parse_in_body(text, "b4" if version == 3 else "b") for text in texts]


def parse_binary_body_untrusted(body: bytes) -> list[EnginePacket]:
    """Read the packets of a binary body, which only Engine.IO 3 has.

    Each has a byte that tells bytes from text, its length as a byte for each digit, the byte 255,
    and its data.

    Raises:
        ValueError: it is none, or has more than `MAX_PACKETS`. The text can be shown.
    """
    packets: list[EnginePacket] = []
    while body:
        if len(packets) == MAX_PACKETS:
            raise ValueError(f"more than {MAX_PACKETS} packets")
        found = _BINARY_HEAD.match(body)
        if found is None:
            raise ValueError("a packet has no length")
        end = found.end() + int("".join(map(str, found[2])))
        if end > len(body):
            raise ValueError("a packet is cut short")
        packet, body = body[found.end() : end], body[end:]
        if found[1] == b"\0":
            try:
                packets.append(parse_packet_untrusted(packet.decode()))
            except UnicodeDecodeError:
                raise ValueError("not UTF-8") from None
        elif packet[:1] == b"\x04":
            packets.append(EnginePacket(Kind.MESSAGE, packet[1:]))
        else:
            raise ValueError("unknown type of packet")
    return packets


def encode_body(packets: str, version: int) -> str:
    """Write a body with these packets, which come with a `SEPARATOR` between them."""
    if version > 3:
        return packets
    return "".join(f"{utf16_units(packet)}:{packet}" for packet in packets.split(SEPARATOR))


def utf16_units(text: str) -> int:
    """Return the length of a text as JavaScript counts it."""
    return len(text.encode("utf-16-le")) // 2


def _parse_in_body(text: str, binary: str) -> EnginePacket:
    if not text.startswith(binary):
        return parse_packet_untrusted(text)
    try:
        data = base64.b64decode(text.removeprefix(binary), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not base64") from None
    return EnginePacket(Kind.MESSAGE, data)


def _split(text: str) -> Iterator[str]:
    """Split a body of version 3, whose packets have their lengths before them, in UTF-16 units."""
    is_astral = _ASTRAL.search(text) is not None
    if is_astral:
        # One character for each unit.
        text = _ASTRAL.sub(lambda found: _halves(found[0]), text)
    begin, count = 0, 0
    while begin < len(text) and count <= MAX_PACKETS:
        found = _LENGTH.match(text, begin)
        if found is None:
            raise ValueError("a packet has no length")
        begin = found.end() + int(found[1])
        if begin > len(text):
            raise ValueError("a packet is cut short")
        packet = text[found.end() : begin]
        yield _whole(packet) if is_astral else packet
        count += 1


def _halves(character: str) -> str:
    units = character.encode("utf-16-be")
    return chr(int.from_bytes(units[:2], "big")) + chr(int.from_bytes(units[2:], "big"))


def _whole(text: str) -> str:
    try:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise ValueError("a packet ends in the middle of a character") from None
