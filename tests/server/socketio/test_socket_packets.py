"""Packets of Socket.IO, by the examples of its documents, by each other, and against garbage."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.fields import RESERVED_EVENTS
from sse_trio.server.socketio.socket_packets import (
    MAX_ATTACHMENTS,
    MAX_NAMESPACE,
    Decoder,
    Kind,
    SocketPacket,
    encode,
    parse_untrusted,
)

from ...strategies import json_objects, json_values, texts

PLACEHOLDER = {"_placeholder": True, "num": 0}

# socket.io-protocol, v5-current.md.
EXAMPLES = [
    ("0", SocketPacket(Kind.CONNECT)),
    ('0{"token":"123"}', SocketPacket(Kind.CONNECT, data={"token": "123"})),
    ("0/admin,", SocketPacket(Kind.CONNECT, "/admin")),
    ('0/admin,{"token":"123"}', SocketPacket(Kind.CONNECT, "/admin", {"token": "123"})),
    ("1/admin,", SocketPacket(Kind.DISCONNECT, "/admin")),
    ("1", SocketPacket(Kind.DISCONNECT)),
    ('2["foo"]', SocketPacket(Kind.EVENT, data=["foo"])),
    ('2/admin,["bar"]', SocketPacket(Kind.EVENT, "/admin", ["bar"])),
    ('212["foo"]', SocketPacket(Kind.EVENT, data=["foo"], id=12)),
    ("3/admin,13[]", SocketPacket(Kind.ACK, "/admin", [], 13)),
    (
        '51-["baz",{"_placeholder":true,"num":0}]',
        SocketPacket(Kind.BINARY_EVENT, data=["baz", PLACEHOLDER], attachments=1),
    ),
    (
        '61-/admin,456[{"_placeholder":true,"num":0}]',
        SocketPacket(Kind.BINARY_ACK, "/admin", [PLACEHOLDER], 456, 1),
    ),
]


@pytest.mark.parametrize(("text", "packet"), EXAMPLES)
def test_a_packet_of_the_documents(text: str, packet: SocketPacket) -> None:
    assert parse_untrusted(text) == packet
    assert encode(packet) == text


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        # Clients 2.x: no comma is needed where nothing follows, and a query stands behind the name.
        ("0/admin", SocketPacket(Kind.CONNECT, "/admin")),
        ("0/admin?a=b&c=d,", SocketPacket(Kind.CONNECT, "/admin")),
        ("0/?a=b,", SocketPacket(Kind.CONNECT, "/")),
        ("2[7]", SocketPacket(Kind.EVENT, data=[7])),
        ('50-["a"]', SocketPacket(Kind.BINARY_EVENT, data=["a"])),
        ('2["a\\n",{"b":[null]}]', SocketPacket(Kind.EVENT, data=["a\n", {"b": [None]}])),
    ],
)
def test_another_packet(text: str, packet: SocketPacket) -> None:
    assert parse_untrusted(text) == packet


WRONG = [
    "0/a\x1e41,",
    "2" + "[" * 100_000,
    *["", "7", "x", "\N{ARABIC-INDIC DIGIT TWO}[]"],
    *['4"no"', '4{"message":"no"}', "4"],
    *["0[]", '0"a"', "0abc", "1{}", "1[]"],
    *["2", "2{}", "2[]", "2null", "2[null]", "2[true]", "2[[]]", "2[{}]", "2abc[]", '2"a"'],
    *[f'2["{name}"]' for name in sorted(RESERVED_EVENTS)],
    *["3[]", "3", "31", "31{}"],
    *['21-["a"]', '5["a"]', '5-["a"]', f'5{MAX_ATTACHMENTS + 1}-["a"]', '5-1-["a"]'],
    *['2["\\ud800"]', '2["a",NaN]', '2["a"', '2["a"]x'],
    *['2/admin["a"]', '2admin,["a"]'],
]


@pytest.mark.parametrize("text", WRONG)
def test_anything_else_is_no_packet(text: str) -> None:
    with pytest.raises(ValueError) as raised:
        parse_untrusted(text)
    assert str(raised.value).isascii()


def test_the_longest_namespace() -> None:
    longest = "/" + "a" * (MAX_NAMESPACE - 1)
    assert parse_untrusted(f"0{longest},").namespace == longest
    with pytest.raises(ValueError, match=r"^a namespace must have at most 256 characters$"):
        parse_untrusted(f"0{longest}a,")


def test_the_longest_numbers() -> None:
    assert parse_untrusted(f'2{10**14}["a"]').id == 10**14
    with pytest.raises(ValueError, match=r"^not JSON"):
        parse_untrusted(f'2{10**15}["a"]')
    with pytest.raises(ValueError, match=r"^more than 10 attachments$"):
        parse_untrusted(f'5{10**8}-["a"]')
    with pytest.raises(ValueError, match=r"^attachments belong"):
        parse_untrusted(f'5{10**9}-["a"]')


def test_a_packet_whose_data_is_secret_does_not_show_it() -> None:
    assert "123" not in repr(parse_untrusted('0{"token":"123"}'))


namespaces = st.just("/") | st.text("abc/-", max_size=9).map("/".__add__)
ids = st.integers(0, 10**15 - 1)
events = st.tuples(texts.filter(lambda name: name not in RESERVED_EVENTS)).flatmap(
    lambda name: st.lists(json_values, max_size=3).map(lambda more: [*name, *more])
)
sent = st.one_of(
    st.builds(SocketPacket, st.just(Kind.CONNECT), namespaces, st.none() | json_objects),
    st.builds(SocketPacket, st.just(Kind.DISCONNECT), namespaces),
    st.builds(SocketPacket, st.just(Kind.EVENT), namespaces, events, st.none() | ids),
    st.builds(SocketPacket, st.just(Kind.ACK), namespaces, st.lists(json_values), ids),
    st.builds(
        SocketPacket,
        st.just(Kind.BINARY_EVENT),
        namespaces,
        events,
        st.none() | ids,
        st.integers(0, MAX_ATTACHMENTS),
    ),
)


@given(sent)
def test_what_is_written_is_read(packet: SocketPacket) -> None:
    assert parse_untrusted(encode(packet)) == packet


@given(texts | st.text('0123456-/,[]{}"a:\ud800'))
def test_garbage_is_refused_and_nothing_else(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_untrusted(text).kind.value == text[0]


def decode(*messages: str | bytes) -> list[SocketPacket | None]:
    decoder = Decoder()
    return [decoder.receive_untrusted(message) for message in messages]


def test_a_packet_takes_its_place_when_its_attachments_have_come() -> None:
    binary = SocketPacket(Kind.BINARY_EVENT, data=["a"], attachments=2)
    event = SocketPacket(Kind.EVENT, data=["b"])
    assert decode('52-["a"]', b"1", b"2", '2["b"]', '52-["a"]', b"", b"") == [
        *(None, None, binary),
        event,
        *(None, None, binary),
    ]


def test_attachments_come_behind_their_packet_and_nowhere_else() -> None:
    with pytest.raises(ValueError, match=r"^an attachment belongs to no packet$"):
        decode(b"1")
    with pytest.raises(ValueError, match=r"^an attachment belongs to no packet$"):
        decode('51-["a"]', b"1", b"2")
    with pytest.raises(ValueError, match=r"^an attachment is missing$"):
        decode('52-["a"]', b"1", '2["b"]')


@given(st.lists(st.sampled_from(['2["a"]', '51-["a"]', b"x", "41", ""]), max_size=9))
def test_a_decoder_gives_packets_or_refuses(messages: list[Any]) -> None:
    decoder = Decoder()
    for message in messages:
        try:
            packet = decoder.receive_untrusted(message)
        except ValueError:
            break
        assert packet is None or packet.data == ["a"]
