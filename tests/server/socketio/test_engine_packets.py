"""Packets of Engine.IO, by the examples of its documents, by each other, and against garbage."""

import base64
import contextlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sse_trio.server.socketio.engine_packets import (
    MAX_PACKETS,
    SEPARATOR,
    EnginePacket,
    Kind,
    encode_body,
    parse_binary_body_untrusted,
    parse_body_untrusted,
    parse_packet_untrusted,
    utf16_units,
)

from ...strategies import texts

MESSAGE = Kind.MESSAGE

# No client has the separator in a text: JSON has it in an escaped form.
packets = st.builds(
    EnginePacket, st.sampled_from(Kind), texts.map(lambda text: text.replace(SEPARATOR, ""))
)
binary = st.builds(EnginePacket, st.just(MESSAGE), st.binary())


def write(packet: EnginePacket, version: int) -> str:
    """Write a packet as a client does where it has only text."""
    if isinstance(packet.data, bytes):
        return ("b4" if version == 3 else "b") + base64.b64encode(packet.data).decode()
    return packet.kind.value + packet.data


@pytest.mark.parametrize("digit", "0123456")
def test_a_packet_is_a_digit_and_its_data(digit: str) -> None:
    assert parse_packet_untrusted(f"{digit}data") == EnginePacket(Kind(digit), "data")
    assert parse_packet_untrusted(digit) == EnginePacket(Kind(digit), "")


@pytest.mark.parametrize("text", ["", "7", "x", "b", "\N{ARABIC-INDIC DIGIT FOUR}", "-1"])
def test_anything_else_is_no_packet(text: str) -> None:
    with pytest.raises(ValueError, match=r"^unknown type of packet$"):
        parse_packet_untrusted(text)


# engine.io-protocol, v4-current.md and v3.md.
EXAMPLES = [
    (4, "4hello\x1e2\x1e4world", ["4hello", "2", "4world"]),
    (4, "4hello\x1ebAQIDBA==", ["4hello", b"\1\2\3\4"]),
    (4, "2", ["2"]),
    (3, "6:4hello2:4\u20ac", ["4hello", "4\u20ac"]),
    (3, "2:4\u20ac10:b4AQIDBA==", ["4\u20ac", b"\1\2\3\4"]),
    (3, "1:21:3", ["2", "3"]),
    # A character beyond the first 65536 counts twice, as in JavaScript.
    (3, "3:4\U0001f60e2:4x", ["4\U0001f60e", "4x"]),
    (3, "3:4\U0001f60e3:4\u20ac\u20ac", ["4\U0001f60e", "4\u20ac\u20ac"]),
    (3, "", []),
]


@pytest.mark.parametrize(("version", "body", "expected"), EXAMPLES)
def test_a_body_of_the_documents(version: int, body: str, expected: list[str | bytes]) -> None:
    assert parse_body_untrusted(body.encode(), version) == [
        EnginePacket(MESSAGE, packet)
        if isinstance(packet, bytes)
        else EnginePacket(Kind(packet[0]), packet[1:])
        for packet in expected
    ]


WRONG = [
    (4, b"\xff", "not UTF-8"),
    (4, b"", "unknown type of packet"),
    (4, b"4a\x1e", "unknown type of packet"),
    (4, b"4a\x1e9", "unknown type of packet"),
    (4, b"b!", "not base64"),
    (4, b"bAQ", "not base64"),
    (4, "b\u20ac".encode(), "not base64"),
    (3, b"\xff", "not UTF-8"),
    (3, b"4hello", "a packet has no length"),
    (3, b":4", "a packet has no length"),
    (3, b"-1:4", "a packet has no length"),
    (3, b"1x:4", "a packet has no length"),
    (3, "\N{ARABIC-INDIC DIGIT ONE}:4".encode(), "a packet has no length"),
    (3, b"1234567890:4", "a packet has no length"),
    (3, b"999999999:4", "a packet is cut short"),
    (3, b"3:4a", "a packet is cut short"),
    (3, b"1:4x", "a packet has no length"),
    (3, b"0:", "unknown type of packet"),
    (3, "2:4\U0001f60e1:2".encode(), "a packet ends in the middle of a character"),
    (3, b"3:b4!", "not base64"),
    (3, b"2:bx", "unknown type of packet"),
]


@pytest.mark.parametrize(("version", "body", "why"), WRONG)
def test_a_wrong_body(version: int, body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        parse_body_untrusted(body, version)


@pytest.mark.parametrize("version", [3, 4])
def test_a_body_has_so_many_packets_at_most(version: int) -> None:
    def body(count: int) -> bytes:
        return encode_body(SEPARATOR.join(["2"] * count), version).encode()

    assert len(parse_body_untrusted(body(MAX_PACKETS), version)) == MAX_PACKETS
    for count in (MAX_PACKETS + 1, MAX_PACKETS + 2):
        with pytest.raises(ValueError, match=r"^more than 64 packets$"):
            parse_body_untrusted(body(count), version)


@pytest.mark.parametrize("version", [3, 4])
@given(st.lists(packets | binary, min_size=1, max_size=6))
@example([EnginePacket(MESSAGE, "\U0001f60e")])
def test_what_is_written_is_read(version: int, sent: list[EnginePacket]) -> None:
    text = SEPARATOR.join(write(packet, version) for packet in sent)
    assert parse_body_untrusted(encode_body(text, version).encode(), version) == sent


@given(texts)
def test_the_length_is_javascripts(text: str) -> None:
    assert utf16_units(text) == sum(2 if ord(character) > 0xFFFF else 1 for character in text)


def binary_body(*sent: EnginePacket) -> bytes:
    """Write a body as clients 2.x do if they emit binary."""
    body = b""
    for packet in sent:
        is_text = isinstance(packet.data, str)
        data = write(packet, 3).encode() if is_text else b"\x04" + bytes(packet.data)  # type: ignore[arg-type]
        digits = bytes(map(int, str(len(data))))
        body += (b"\0" if is_text else b"\1") + digits + b"\xff" + data
    return body


def test_a_binary_body_of_the_documents() -> None:
    assert parse_binary_body_untrusted(
        b"\x00\x06\xff4hello" + b"\x01\x05\xff\x04\x01\x02\x03\x04"
    ) == [EnginePacket(MESSAGE, "hello"), EnginePacket(MESSAGE, b"\1\2\3\4")]


@given(st.lists(packets | binary, max_size=6))
@example([EnginePacket(MESSAGE, bytes(100)), EnginePacket(MESSAGE, "\u20ac")])
def test_a_binary_body_is_read(sent: list[EnginePacket]) -> None:
    assert parse_binary_body_untrusted(binary_body(*sent)) == sent


WRONG_BINARY = [
    (b"\0", "a packet has no length"),
    (b"\0\1", "a packet has no length"),
    (b"\0\xff2", "a packet has no length"),
    (b"\2\1\xff2", "a packet has no length"),
    (b"\0\x0a\xff2", "a packet has no length"),
    (b"\0" + b"\1" * 10 + b"\xff2", "a packet has no length"),
    (b"\xff\1\xff2", "a packet has no length"),
    (b"\0\2\xff2", "a packet is cut short"),
    (b"\0\1\xff\xff", "not UTF-8"),
    (b"\0\0\xff", "unknown type of packet"),
    (b"\1\0\xff", "unknown type of packet"),
    (b"\1\1\xff4", "unknown type of packet"),
]


@pytest.mark.parametrize(("body", "why"), WRONG_BINARY)
def test_a_wrong_binary_body(body: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        parse_binary_body_untrusted(body)


def test_a_binary_body_with_the_longest_length() -> None:
    with pytest.raises(ValueError, match=r"^a packet is cut short$"):
        parse_binary_body_untrusted(b"\0" + b"\1" * 9 + b"\xff2")


def test_a_binary_body_has_so_many_packets_at_most() -> None:
    one = binary_body(EnginePacket(Kind.PING))
    assert len(parse_binary_body_untrusted(one * MAX_PACKETS)) == MAX_PACKETS
    with pytest.raises(ValueError, match=r"^more than 64 packets$"):
        parse_binary_body_untrusted(one * (MAX_PACKETS + 1))


garbage = st.binary() | st.text("0123456789:b4\x1e\U0001f60e").map(str.encode)


@given(garbage, st.sampled_from([3, 4]))
def test_garbage_is_refused_and_nothing_else(body: bytes, version: int) -> None:
    with contextlib.suppress(ValueError):
        assert parse_body_untrusted(body, version) or version == 3
    with contextlib.suppress(ValueError):
        assert len(parse_binary_body_untrusted(body)) <= len(body)
