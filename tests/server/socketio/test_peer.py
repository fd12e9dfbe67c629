"""What the hub tells one client, in which order: on a WebSocket that is full, and on requests."""

import socket
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from sse_trio import Config
from sse_trio.core.cors import CorsHeaders
from sse_trio.core.messages import CloseCode, Terminate
from sse_trio.core.socketio import Refusal
from sse_trio.hub.letters import Letter
from sse_trio.hub.member import State
from sse_trio.server.replies import Reply
from sse_trio.server.socketio.dialect import Dialect
from sse_trio.server.socketio.peer import Line, Request, SocketPeer
from sse_trio.server.socketio.session import Session
from sse_trio.server.websocket import WebSocket

from ...hub.fakes import Parts, make_timers

LIMIT = 100_000
BIG = 50_000
TERMINATION = Letter(Terminate("u1", 1, "login", None))
ANSWER = '40{"sid":"S"}'


def spawn_nothing(*_: object) -> None:
    raise AssertionError("nothing here needs a task")


@attrs.define(eq=False)
class OneLine:
    """The server's end of a connection, and the client's."""

    websocket: WebSocket
    theirs: socket.socket

    def drop(self) -> None:
        raise AssertionError("nothing here drops it")

    async def heard(self, last: str) -> list[str]:
        """Read packets until the last one."""
        client, packets, text = Connection(ConnectionType.CLIENT), [], ""
        while last not in packets:
            await trio.lowlevel.wait_readable(self.theirs)
            client.receive_data(self.theirs.recv(65536))
            for event in client.events():
                assert isinstance(event, TextMessage)
                text += event.data
                if event.message_finished:
                    packets.append(text)
                    text = ""
        return packets


@pytest.fixture
async def line(nursery: trio.Nursery) -> AsyncIterator[OneLine]:
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    websocket = WebSocket(
        ours, nursery.start_soon, limit=LIMIT, timeout=60, timers=make_timers(), max_message=100
    )
    yield OneLine(websocket, theirs)
    websocket.abandon()
    ours.close()
    theirs.close()


def begin() -> tuple[Session[Request, Line], SocketPeer]:
    session: Session[Request, Line] = Session(version=4, limit=LIMIT)
    return session, SocketPeer(session, Dialect(Config(authkey="key"), 4), spawn_nothing)


async def test_a_termination_does_not_take_away_that_the_page_has_connected(line: OneLine) -> None:
    """Before that its client would keep the event back, for ever."""
    session, peer = begin()
    session.attach(line)
    big = "4" + "x" * BIG
    assert peer.say(big)
    assert peer.say(ANSWER, keep=True)
    assert peer.say("42[]")
    assert peer.offer_last(TERMINATION)
    assert peer.say("42[]")
    heard = await line.heard("41")
    assert heard[:2] == [big, ANSWER]
    assert heard[2].startswith('42["terminate",')
    assert heard[3:] == ["41"]


async def test_nor_does_it_if_the_page_goes_over_to_its_websocket(line: OneLine) -> None:
    session, peer = begin()
    assert peer.say(ANSWER, keep=True)
    assert peer.say("42[]")
    big = "4" + "x" * BIG
    assert line.websocket.send(b"\x81\x7e" + len(big).to_bytes(2, "big") + big.encode())
    for effect in session.attach(line):
        peer.perform(effect)
    assert peer.offer_last(TERMINATION)
    heard = await line.heard("41")
    assert heard[:3] == [big, ANSWER, "42[]"]
    assert heard[3].startswith('42["terminate",')


@attrs.define
class OneGet:
    """A GET."""

    cors: CorsHeaders = ()
    body: bytes | None = None

    def answer(self, answer: Reply | Refusal) -> None:
        self.body = answer.body


@pytest.mark.parametrize("is_on_websocket", [True, False])
async def test_one_that_is_superseded_and_closed_is_told_not_to_come_back(
    line: OneLine, is_on_websocket: bool
) -> None:
    """The fan-out will not reach it any more, and any other close would bring it back."""
    session, peer = begin()
    if is_on_websocket:
        session.attach(line)
    membership = Parts(lambda: 0, Config(authkey="key"), slice=1).membership
    member = membership.arrive(peer, "a")
    member.state = State.SUPERSEDED
    membership.close(member, CloseCode.PROTOCOL_ERROR, "why")
    assert member.state is State.CLOSING
    assert peer.say("42[]")
    if is_on_websocket:
        assert await line.heard("41") == ["41"]
        assert not line.websocket.closing
    else:
        get = OneGet()
        for effect in session.get(get):
            peer.perform(effect)
        assert get.body == b"41"
