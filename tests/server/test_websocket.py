"""Frames in, messages out, and every way to close; over a socket pair."""

import itertools
import socket
import tracemalloc
from collections.abc import AsyncIterator
from functools import partial
from unittest.mock import Mock, patch

import attrs
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from sse_trio.server.outbox import FRAME_COST
from sse_trio.server.websocket import FRAMES, PING_FRAME, WebSocket, text_frame

from ..hub.fakes import make_timers
from ..support import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, client_frame

MAX_MESSAGE = 100
LIMIT = 1000

HELLO = client_frame(TEXT, b"hello")
NORMAL_CLOSE = client_frame(CLOSE, (1000).to_bytes(2, "big") + b"bye")


@attrs.define(eq=False)
class Peer:
    """The client of a `WebSocket`, which parses what comes with wsproto."""

    websocket: WebSocket
    theirs: socket.socket
    client: Connection = attrs.Factory(lambda: Connection(ConnectionType.CLIENT))

    def say(self, data: bytes) -> list[str | bytes]:
        return take_all(self.websocket, data)

    def say_byte_by_byte(self, data: bytes) -> list[str | bytes]:
        return [message for byte in data for message in self.say(bytes([byte]))]

    def hear(self) -> list[Event]:
        """Return what has come, with `END` for the end of the stream."""
        events: list[Event] = []
        while True:
            try:
                data = self.theirs.recv(65536)
            except BlockingIOError:
                return events
            if not data:
                return [*events, END]
            self.client.receive_data(data)
            events += self.client.events()


class End(Event):
    """The end of the stream."""


END = End()


@pytest.fixture
async def peer(nursery: trio.Nursery) -> AsyncIterator[Peer]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    websocket = WebSocket(
        ours,
        nursery.start_soon,
        limit=LIMIT,
        timeout=60,
        timers=make_timers(),
        max_message=MAX_MESSAGE,
    )
    yield Peer(websocket, theirs)
    websocket.abandon()
    ours.close()
    theirs.close()


def take_all(websocket: WebSocket, data: bytes) -> list[str | bytes]:
    messages = list(websocket.receive(data))
    while websocket.has_more:
        messages += websocket.receive(b"")
    return messages


def close_frame(code: int, reason: bytes = b"") -> bytes:
    return client_frame(CLOSE, code.to_bytes(2, "big") + reason)


STREAM = (
    HELLO
    + client_frame(PING, b"?")
    + client_frame(BINARY, b"\x00\xff")
    + client_frame(TEXT, "grün".encode()[:3], fin=False)
    + client_frame(PING)
    + client_frame(CONTINUATION, "grün".encode()[3:])
    + client_frame(TEXT)
)
MESSAGES = ["hello", b"\x00\xff", "grün", ""]


@pytest.mark.parametrize("split", range(len(STREAM) + 1))
async def test_messages_come_whole_however_the_bytes_were_split(peer: Peer, split: int) -> None:
    assert peer.say(STREAM[:split]) + peer.say(STREAM[split:]) == MESSAGES
    assert peer.hear() == [Pong(payload=b"?"), Pong(payload=b"")]


async def test_messages_come_whole_byte_by_byte(peer: Peer) -> None:
    assert peer.say_byte_by_byte(STREAM) == MESSAGES
    assert not peer.websocket.closing


BAD_FRAMES = {
    "unmasked": (client_frame(TEXT, b"x", masked=False), 1002),
    "the first reserved bit": (client_frame(TEXT, b"x", reserved=4), 1002),
    "the second reserved bit": (client_frame(TEXT, b"x", reserved=2), 1002),
    "the third reserved bit": (client_frame(TEXT, b"x", reserved=1), 1002),
    "a reserved opcode": (client_frame(0x3, b"x"), 1002),
    "a reserved control opcode": (client_frame(0xB), 1002),
    "a ping in two": (client_frame(PING, fin=False), 1002),
    "a long ping": (client_frame(PING, bytes(126)), 1002),
    "a continuation of nothing": (client_frame(CONTINUATION, b"x"), 1002),
    "a message within a message": (client_frame(TEXT, fin=False) + client_frame(TEXT), 1002),
    "a length of two bytes too many": (b"\x81\xfe\x00\x01" + bytes(4) + b"x", 1002),
    "a length of eight bytes too many": (b"\x81\xff" + bytes(7) + b"\x01" + bytes(4), 1002),
    "a length beyond all": (b"\x81\xff\x80" + bytes(7) + bytes(4), 1002),
    "invalid UTF-8": (client_frame(TEXT, b"\xff"), 1007),
    "a surrogate": (client_frame(TEXT, b"\xed\xa0\x80"), 1007),
    "UTF-8 that ends early": (client_frame(TEXT, b"\xc3"), 1007),
    "half a close code": (client_frame(CLOSE, b"\x03"), 1002),
    "close 999": (close_frame(999), 1002),
    "close 1005": (close_frame(1005), 1002),
    "close 1006": (close_frame(1006), 1002),
    "close 5000": (close_frame(5000), 1002),
    "a close with bad UTF-8": (close_frame(1000, b"\xff"), 1007),
}


def masked(frame: bytes, mask: bytes) -> bytes:
    """Write a frame whose mask was of zeros with another one."""
    header = {126: 4, 127: 10}.get(frame[1] & 0x7F, 2)
    payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(frame[header + 4 :]))
    return frame[:header] + mask + payload


payloads = st.one_of(
    st.text(max_size=12).map(str.encode),
    st.binary(max_size=5),
    st.sampled_from([124, 125, 126, 127, 300, 301]).map(lambda size: b"x" * size),
)
frames = st.builds(
    masked,
    st.one_of(
        payloads.map(partial(client_frame, TEXT)),
        st.just(client_frame(PONG)),
        st.builds(
            client_frame,
            st.sampled_from([CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, 0x3]),
            payloads,
            fin=st.booleans(),
            reserved=st.sampled_from([0, 0, 0, 4]),
        ),
        st.sampled_from([data for data, _ in BAD_FRAMES.values() if data[1] & 0x80]),
    ),
    st.binary(min_size=4, max_size=4),
)


@given(st.lists(frames | st.binary(max_size=3), max_size=8), st.lists(st.integers(0, 600)))
def test_the_usual_frames_are_read_as_wsproto_reads_them(
    frames: list[bytes], splits: list[int]
) -> None:
    """What is read without a parser is what a parser would have read; and answered so too."""
    stream = b"".join(frames)
    ends = [*sorted(splits), len(stream)]
    pieces = [stream[a:b] for a, b in itertools.pairwise([0, *ends])]

    def converse() -> tuple[list[list[str | bytes]], bytes, bool, bool]:
        sock = Mock()
        sock.send.side_effect = len
        websocket = WebSocket(sock, Mock(), limit=LIMIT, timeout=60, timers=Mock(), max_message=300)
        said = [take_all(websocket, piece) for piece in pieces]
        sent = b"".join(bytes(call.args[0]) for call in sock.send.mock_calls)
        return said, sent, websocket.closing, websocket.closed

    usual = converse()
    with patch("sse_trio.server.websocket._usual_frame", return_value=(None, 0)):
        assert converse() == usual


async def test_a_member_that_says_what_is_usual_has_no_parser(peer: Peer) -> None:
    """It would take 3 KiB."""
    with patch("sse_trio.server.websocket.Connection") as parser:
        said = peer.say(HELLO + client_frame(PONG) + client_frame(TEXT, b"\xc3\xbc") + HELLO)
        assert said == ["hello", "ü", "hello"]
    assert not parser.called


@pytest.mark.parametrize(
    ("next_frame", "answers"),
    [
        (client_frame(PING), [Pong(payload=b"")]),
        (NORMAL_CLOSE, [CloseConnection(code=1000, reason="bye"), END]),
        (client_frame(TEXT, reserved=4), [CloseConnection(code=1002, reason=""), END]),
        (
            client_frame(TEXT, bytes(MAX_MESSAGE + 1)),
            [CloseConnection(code=1009, reason="more than 100 bytes")],
        ),
    ],
)
async def test_a_message_is_answered_before_what_comes_behind_it(
    peer: Peer, next_frame: bytes, answers: list[Event]
) -> None:
    for message in peer.websocket.receive(HELLO + next_frame):
        assert isinstance(message, str)
        assert peer.websocket.send(text_frame(message))
    assert peer.hear() == [TextMessage(data="hello"), *answers]


async def test_what_comes_behind_a_refused_message_is_not_heard(peer: Peer) -> None:
    received = []
    for message in peer.websocket.receive(HELLO + HELLO + client_frame(PING)):
        received.append(message)
        peer.websocket.close(4400, "")
    assert received == ["hello"]
    assert peer.hear() == [CloseConnection(code=4400, reason="")]


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(("data", "code"), BAD_FRAMES.values(), ids=BAD_FRAMES)
async def test_a_bad_frame_is_the_end(
    peer: Peer, data: bytes, code: int, byte_by_byte: bool
) -> None:
    say = peer.say_byte_by_byte if byte_by_byte else peer.say
    assert say(data) == []
    # Nothing of what the peer sent is quoted.
    assert peer.hear() == [CloseConnection(code=code, reason=""), END]
    assert peer.websocket.closing
    assert peer.websocket.closed
    assert peer.say(HELLO) == []
    peer.websocket.close(1001, "")
    assert not peer.websocket.send(PING_FRAME)


async def test_a_bad_frame_while_closing_is_the_end_as_well(peer: Peer) -> None:
    peer.websocket.close(4001, "")
    assert peer.say(client_frame(TEXT, masked=False)) == []
    assert peer.hear() == [CloseConnection(code=4001, reason=""), END]
    assert peer.websocket.closed


@pytest.mark.parametrize("pieces", [1, 3])
@pytest.mark.parametrize("letter", ["x", "ü"])
async def test_the_limit_is_exact_and_in_bytes(peer: Peer, letter: str, pieces: int) -> None:
    def message(text: str) -> bytes:
        data = text.encode()
        size = len(data) // pieces + 1
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        return b"".join(
            client_frame(CONTINUATION if i else TEXT, part, fin=i == len(parts) - 1)
            for i, part in enumerate(parts)
        )

    longest = letter * (MAX_MESSAGE // len(letter.encode()))
    assert peer.say(message(longest) + message(longest)) == [longest, longest]
    assert peer.say(message(longest + "!")) == []
    assert peer.hear() == [CloseConnection(code=1009, reason="more than 100 bytes")]
    assert peer.websocket.closing
    # The handshake of the close is still to be finished.
    assert peer.say(HELLO) == []
    assert not peer.websocket.closed
    assert peer.say(close_frame(1009)) == []
    assert peer.websocket.closed
    assert peer.hear() == [END]


async def test_a_frame_too_big_is_refused_before_it_is_there(peer: Peer) -> None:
    huge = b"\x81\xff" + (2**62).to_bytes(8, "big") + bytes(4)
    assert peer.say(huge + bytes(MAX_MESSAGE)) == []
    assert not peer.websocket.closing
    assert peer.say(b"\0") == []
    assert peer.websocket.closing


@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        (NORMAL_CLOSE, CloseConnection(code=1000, reason="bye")),
        (close_frame(4999), CloseConnection(code=4999, reason="")),
        (client_frame(CLOSE), CloseConnection(code=1005, reason="")),
    ],
)
async def test_a_close_is_answered_in_kind(
    peer: Peer, sent: bytes, answered: CloseConnection
) -> None:
    assert peer.say(sent + HELLO) == []
    assert peer.hear() == [answered, END]
    assert peer.websocket.closed
    assert peer.say(NORMAL_CLOSE) == []


async def test_both_close_at_once(peer: Peer) -> None:
    peer.websocket.close(4001, "logged in elsewhere")
    peer.websocket.close(1001, "too late")
    assert peer.websocket.closing
    assert not peer.websocket.closed
    assert peer.say(NORMAL_CLOSE) == []
    assert peer.websocket.closed
    assert peer.hear() == [CloseConnection(code=4001, reason="logged in elsewhere"), END]


@pytest.mark.parametrize(("letter", "kept"), [("x", 123), ("ü", 61)])
async def test_a_reason_is_cut_between_characters(peer: Peer, letter: str, kept: int) -> None:
    peer.websocket.close(4400, letter * 200)
    assert peer.hear() == [CloseConnection(code=4400, reason=letter * kept)]


async def test_who_pings_and_never_reads_is_owed_the_latest_pong_alone(peer: Peer) -> None:
    """RFC 6455, section 5.5.3."""
    ping = client_frame(PING, bytes(125))
    while not peer.websocket.waiting:
        assert peer.say(ping) == []
    waiting = peer.websocket.waiting
    for count in range(1000):
        peer.say(client_frame(PING, b"%d" % count))
        assert peer.websocket.waiting <= waiting + 127 + FRAME_COST
    assert not peer.websocket.closing
    *pongs, last = [event for _ in range(20) for event in await settled(peer)]
    assert set(pongs) == {Pong(payload=bytes(125))}
    assert last == Pong(payload=b"999")


async def settled(peer: Peer) -> list[Event]:
    """Read, and let the flush task go on."""
    await wait_all_tasks_blocked()
    return peer.hear()


async def test_endless_empty_fragments_leave_nothing_behind(peer: Peer) -> None:
    peer.say(client_frame(TEXT, fin=False))
    fragments = client_frame(CONTINUATION, fin=False) * 100
    peer.say(fragments)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(50):
        assert peer.say(fragments) == []
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 5000
    assert peer.say(client_frame(CONTINUATION, b"end")) == ["end"]


KINDS = {
    "texts": client_frame(TEXT, b"!"),
    "pongs": client_frame(PONG),
    "pings": client_frame(PING),
    "empty fragments": client_frame(CONTINUATION, fin=False),
    "pongs with something in them": client_frame(PONG, b"?"),
    "texts in two": client_frame(TEXT, b"a", fin=False) + client_frame(CONTINUATION, b"b"),
}


@pytest.mark.parametrize("frame", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("behind", [0, 1, FRAMES - 1, FRAMES, 5 * FRAMES + 3])
async def test_a_few_frames_at_a_time(peer: Peer, frame: bytes, behind: int) -> None:
    if frame == KINDS["empty fragments"]:
        peer.say(client_frame(TEXT, fin=False))
    messages = list(peer.websocket.receive(frame * behind))
    steps = 1
    while peer.websocket.has_more:
        messages += peer.websocket.receive(b"")
        steps += 1
    frames = behind * (2 if frame == KINDS["texts in two"] else 1)
    # The last step may find that there is nothing left.
    assert frames / FRAMES <= steps <= frames / FRAMES + 1
    is_text = frame in (KINDS["texts"], KINDS["texts in two"])
    assert len(messages) == behind * is_text


async def test_after_the_end_nothing_is_kept(peer: Peer) -> None:
    peer.say(client_frame(TEXT, masked=False))
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(50):
        assert peer.say(bytes(10_000)) == []
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 5000


async def test_frames_are_made_once_for_all(peer: Peer) -> None:
    assert peer.websocket.send(text_frame("grün") + PING_FRAME)
    assert peer.hear() == [TextMessage(data="grün"), Ping(payload=b"")]
