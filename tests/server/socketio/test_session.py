"""One session of Engine.IO: each rule by itself, and all of them in every order."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sse_trio.server.socketio.effects import Accept, Answer, Deliver, Drop, Ended, Refuse, Send
from sse_trio.server.socketio.engine_packets import EnginePacket, parse_packet_untrusted
from sse_trio.server.socketio.session import CHUNK_COST, Session

LIMIT = 10_000

HUNG_UP, CUT = Ended(hung_up=True), Ended(hung_up=False)


def packet(text: str) -> EnginePacket:
    return parse_packet_untrusted(text)


def begin(version: int = 4, limit: int = LIMIT) -> Session[Any, Any]:
    return Session(version=version, limit=limit)


def upgraded() -> Session[Any, Any]:
    session = begin()
    session.try_websocket("w")
    session.message("w", packet("2probe"))
    assert session.message("w", packet("5")) == []
    return session


# -- requests ----------------------------------------------------------------------------


def test_a_get_takes_all_that_waits() -> None:
    session = begin()
    assert session.send(b"4a") == []
    assert session.send(b"4b") == []
    assert session.get(1) == [Answer(1, b"4a\x1e4b")]
    assert session.waiting == 0


def test_a_get_is_held_until_there_is_something() -> None:
    session = begin()
    assert session.get(1) == []
    assert session.send(b"4a") == [Answer(1, b"4a")]
    assert session.send(b"4b") == []


def test_a_second_get_ends_the_session() -> None:
    session = begin()
    session.get(1)
    assert session.get(2) == [Answer(1, b"1"), CUT, Refuse(2)]
    assert session.get(3) == [Refuse(3)]


def test_a_held_get_whose_connection_ends_ends_the_session() -> None:
    session = begin()
    session.get(1)
    assert session.get_lost(2) == []
    assert session.get_lost(1) == [HUNG_UP]
    assert session.get_lost(1) == []


def test_a_post_delivers_what_the_client_says() -> None:
    session = begin()
    said = [packet("4a"), EnginePacket(packet("4").kind, b"b"), packet("3")]
    assert session.post(1, said) == [Accept(1), Deliver("a"), Deliver(b"b")]


@pytest.mark.parametrize("text", ["0", "5", "6"])
def test_what_means_nothing_is_ignored(text: str) -> None:
    assert begin().post(1, [packet(text), packet("4a")]) == [Accept(1), Deliver("a")]


@pytest.mark.parametrize(("version", "text"), [(4, "2"), (3, "3")])
def test_a_heartbeat_in_the_wrong_direction_ends_the_session(version: int, text: str) -> None:
    session = begin(version)
    session.get(1)
    assert session.post(2, [packet("4a"), packet(text), packet("4b")]) == [
        *(Deliver("a"), Refuse(2)),
        *(Answer(1, b"1"), CUT),
    ]


def test_a_client_of_version_3_is_answered_its_pings() -> None:
    session = begin(3)
    assert session.post(1, [packet("2")]) == [Accept(1)]
    assert session.get(2) == [Answer(2, b"3")]
    session.get(3)
    assert session.post(4, [packet("2")]) == [Accept(4), Answer(3, b"3")]


def test_a_client_that_closes_has_its_get_answered() -> None:
    session = begin()
    session.get(1)
    assert session.post(2, [packet("1"), packet("4a")]) == [Accept(2), Answer(1, b"6"), HUNG_UP]
    assert session.post(3, []) == [Refuse(3)]
    other = begin()
    assert other.post(1, [packet("1")]) == [Accept(1), HUNG_UP]


def test_a_post_of_something_else_ends_the_session() -> None:
    session = begin()
    session.get(1)
    assert session.refuse(2) == [Refuse(2), Answer(1, b"1"), CUT]
    assert session.refuse(3) == [Refuse(3)]
    # One that comes too late harms nobody.
    done = upgraded()
    assert done.refuse(1) == [Refuse(1)]
    assert done.send(b"4a") == [Send("w", b"4a")]


# -- the change to a WebSocket -----------------------------------------------------------


def test_an_upgrade() -> None:
    session = begin()
    session.get(1)
    assert session.try_websocket("w") == []
    assert session.message("w", packet("2probe")) == [Send("w", b"3probe"), Answer(1, b"6")]
    assert session.get(2) == [Answer(2, b"6")]
    session.send(b"4a")
    assert session.get(3) == [Answer(3, b"4a")]
    session.send(b"4b")
    session.send(b"4c")
    assert session.message("w", packet("5")) == [Send("w", b"4b\x1e4c")]
    assert session.websocket == "w"
    assert session.send(b"4d") == [Send("w", b"4d")]
    assert session.get(4) == [Refuse(4)]
    assert session.post(5, [packet("4a")]) == [Refuse(5)]
    assert session.message("w", packet("4x")) == [Deliver("x")]


def test_a_get_is_held_until_the_probe() -> None:
    session = begin()
    session.try_websocket("w")
    assert session.get(1) == []
    assert session.send(b"4a") == [Answer(1, b"4a")]
    assert session.message("w", packet("2probe")) == [Send("w", b"3probe")]


@pytest.mark.parametrize("text", ["4a", "2", "5", "1", "2prob", None])
def test_without_a_probe_there_is_no_upgrade(text: str | None) -> None:
    session = begin()
    session.try_websocket("w")
    assert session.message("w", text if text is None else packet(text)) == [Drop("w")]
    assert session.message("w", packet("2probe")) == []
    assert session.get(1) == []
    assert session.try_websocket("v") == []


@pytest.mark.parametrize("text", ["4a", "2probe", "1", None])
def test_behind_the_probe_comes_the_upgrade(text: str | None) -> None:
    session = begin()
    session.try_websocket("w")
    session.message("w", packet("2probe"))
    assert session.message("w", text if text is None else packet(text)) == [Drop("w")]
    assert session.get(1) == []


def test_a_trial_that_takes_too_long() -> None:
    session = begin()
    session.try_websocket("w")
    session.message("w", packet("2probe"))
    assert session.trial_over("v") == []
    assert session.trial_over("w") == [Drop("w")]
    assert session.trial_over("w") == []
    assert session.get(1) == []
    done = upgraded()
    assert done.trial_over("w") == []


def test_a_trial_that_breaks_off_leaves_the_session_as_it_was() -> None:
    session = begin()
    session.get(1)
    session.try_websocket("w")
    session.message("w", packet("2probe"))
    assert session.websocket_lost("w") == []
    assert session.get(2) == []
    assert session.try_websocket("v") == []
    assert session.message("v", packet("5")) == [Drop("v")]


def test_there_is_one_websocket() -> None:
    session = begin()
    session.try_websocket("w")
    assert session.try_websocket("v") == [Drop("v")]
    done = upgraded()
    assert done.try_websocket("v") == [Drop("v")]
    assert done.message("v", packet("4a")) == []
    assert done.websocket_lost("v") == []
    assert done.send(b"4a") == [Send("w", b"4a")]


# -- a WebSocket -------------------------------------------------------------------------


def test_a_session_may_begin_on_a_websocket() -> None:
    session = begin()
    session.send(b"0{}")
    assert session.attach("w") == [Send("w", b"0{}")]
    assert session.message("w", packet("4a")) == [Deliver("a")]
    assert session.websocket_lost("w") == [HUNG_UP]
    cut = upgraded()
    assert cut.websocket_lost("w", hung_up=False) == [CUT]


@pytest.mark.parametrize("text", ["2", "1", None])
def test_a_websocket_that_closes_or_says_what_it_must_not(text: str | None) -> None:
    session = upgraded()
    said = text if text is None else packet(text)
    assert session.message("w", said) == [Drop("w"), HUNG_UP if text == "1" else CUT]
    assert session.message("w", packet("4a")) == []
    assert session.try_websocket("v") == [Drop("v")]


def test_version_3_on_a_websocket() -> None:
    session = begin(3)
    session.attach("w")
    assert session.message("w", packet("2")) == [Send("w", b"3")]


# -- the end -----------------------------------------------------------------------------


def test_what_comes_last_drops_what_waits_but_for_what_is_kept() -> None:
    session = begin()
    session.send(b"4kept", keep=True)
    session.send(b"4dropped")
    assert session.send_last(b"4last\x1e41") == []
    assert session.waiting == len(b"4kept4last\x1e41") + 2 * CHUNK_COST
    assert session.send(b"4no") is None
    assert session.send_last(b"4no") is None
    assert session.get(1) == [Answer(1, b"4kept\x1e4last\x1e41")]
    assert session.get(2) == []
    assert session.post(3, [packet("1")]) == [Accept(3), Answer(2, b"6"), HUNG_UP]


def test_a_wrong_post_does_not_take_away_what_comes_last() -> None:
    session = begin()
    session.send_last(b"4last\x1e41")
    assert session.post(1, [packet("2")]) == [Refuse(1)]
    assert session.refuse(2) == [Refuse(2)]
    assert session.get(3) == [Answer(3, b"4last\x1e41")]
    assert session.refuse(4) == [Refuse(4), Ended(hung_up=False)]


def test_what_comes_last_goes_over_to_the_websocket() -> None:
    session = begin()
    session.try_websocket("w")
    session.message("w", packet("2probe"))
    session.send_last(b"41")
    assert session.message("w", packet("5")) == [Send("w", b"41", keep=True)]


def test_what_is_kept_goes_over_to_the_websocket_as_such() -> None:
    session = begin()
    session.try_websocket("w")
    session.message("w", packet("2probe"))
    session.send(b"4kept", keep=True)
    session.send(b"4a")
    assert session.message("w", packet("5")) == [Send("w", b"4kept\x1e4a", keep=True)]
    assert session.send(b"4b") == [Send("w", b"4b")]


def test_version_3_is_not_answered_behind_the_last() -> None:
    session = begin(3)
    session.attach("w")
    session.send_last(b"41")
    assert session.message("w", packet("2")) == []


def test_so_much_may_wait() -> None:
    session = begin(limit=2 * (CHUNK_COST + 10))
    assert session.send(bytes(10)) == []
    assert session.send(bytes(11)) is None
    assert session.send(bytes(10)) == []
    assert session.send(b"") is None
    assert session.send_last(bytes(99)) == []
    assert session.get(1) == [Answer(1, bytes(99))]


def test_what_does_not_wait_has_no_limit() -> None:
    session = begin(limit=0)
    session.get(1)
    assert session.send(b"4a") == [Answer(1, b"4a")]
    other = begin(limit=0)
    other.attach("w")
    assert other.send(b"4a") == [Send("w", b"4a")]


def test_the_server_closes() -> None:
    session = begin()
    session.try_websocket("w")
    session.get(1)
    assert session.close() == [Drop("w"), Answer(1, b"1")]
    waits = begin()
    waits.send(b"4a")
    assert waits.close() == []
    assert waits.send(b"4b") is None
    assert waits.get(1) == [Answer(1, b"4a\x1e1")]
    assert waits.get(2) == [Refuse(2)]
    assert waits.post(3, [packet("1")]) == [Accept(3), HUNG_UP]
    assert upgraded().close() == []


def test_the_end_is_the_end() -> None:
    session = begin()
    session.send(b"4a")
    session.try_websocket("w")
    assert session.end() == [Drop("w"), CUT]
    assert session.end() == session.close() == []
    assert session.send(b"4b") is session.send_last(b"4c") is None
    assert session.get(1) == [Refuse(1)]
    assert session.post(2, []) == [Refuse(2)]
    assert session.try_websocket("v") == [Drop("v")]
    held = begin()
    held.get(1)
    assert held.end() == [Answer(1, b"1"), CUT]
    assert upgraded().end() == [Drop("w"), CUT]


# -- every order -------------------------------------------------------------------------

CONTROL = {b"1", b"6", b"3", b"3probe"}


class Orders(RuleBasedStateMachine):
    """A session, and what its client has been told by it, whatever came in which order."""

    def __init__(self) -> None:
        super().__init__()
        self.session: Session[int, str] = Session(version=4, limit=LIMIT)
        self.count = 0
        self.sent: list[bytes] = []
        self.kept: set[bytes] = set()
        self.last: bytes | None = None
        self.told: list[bytes] = []
        self.closing = self.closed = False
        self.held: int | None = None
        self.unanswered: set[int] = set()
        self.open: set[str] = set()
        self.trial: str | None = None
        self.ended = False
        self.said: list[str] = []
        self.heard: list[str] = []

    def number(self) -> int:
        self.count += 1
        return self.count

    def do(self, effects: list[Any] | None) -> None:
        for effect in effects or []:
            assert not self.ended or isinstance(effect, Refuse | Drop), "nothing behind the end"
            match effect:
                case Answer():
                    self.unanswered.remove(effect.request)
                    self.held = None
                    self.tell(effect.packets)
                case Accept() | Refuse():
                    self.unanswered.remove(effect.request)
                case Send():
                    assert effect.websocket in self.open
                    self.tell(effect.packets)
                case Drop():
                    self.open.remove(effect.websocket)
                case Deliver():
                    self.heard.append(str(effect.message))
                case Ended():
                    self.ended = True
                case _:
                    raise AssertionError(effect)

    def tell(self, packets: bytes) -> None:
        for told in packets.split(b"\x1e"):
            assert not (self.closed and told not in CONTROL), "nothing behind a close"
            if told not in CONTROL:
                self.told.append(told)
            self.closed |= told == b"1"

    # -- what the server does

    @rule(keep=st.booleans())
    def send(self, *, keep: bool) -> None:
        packet = b"4%d" % self.number()
        effects = self.session.send(packet, keep=keep)
        if effects is not None:
            self.sent.append(packet)
            if keep:
                self.kept.update(self.sent)
            self.do(effects)

    @rule()
    def send_last(self) -> None:
        packet = b"4last%d" % self.number()
        effects = self.session.send_last(packet)
        if effects is not None:
            assert self.last is None
            self.sent.append(packet)
            self.last = packet
            self.do(effects)

    @precondition(lambda self: self.count > 15)
    @rule()
    def close(self) -> None:
        self.closing = True
        self.do(self.session.close())

    @precondition(lambda self: self.count > 15)
    @rule()
    def end(self) -> None:
        self.do(self.session.end())

    # -- what the client does

    @rule()
    def get(self) -> None:
        request = self.number()
        self.unanswered.add(request)
        previous, self.held = self.held, request
        self.do(self.session.get(request))
        assert previous not in self.unanswered

    @precondition(lambda self: self.held is not None and self.count > 15)
    @rule()
    def lose_get(self) -> None:
        assert self.held is not None
        lost, self.held = self.held, None
        self.unanswered.discard(lost)
        self.do(self.session.get_lost(lost))
        assert self.ended

    @rule(texts=st.lists(st.sampled_from(["4", "4", "3"]), max_size=3))
    def post(self, texts: list[str]) -> None:
        self.post_all([text + str(self.number()) if text == "4" else text for text in texts])

    @precondition(lambda self: self.count > 15)
    @rule(texts=st.lists(st.sampled_from(["4x", "2", "1"]), max_size=3))
    def post_wrong(self, texts: list[str]) -> None:
        self.post_all(texts)

    def post_all(self, texts: list[str]) -> None:
        request = self.number()
        self.unanswered.add(request)
        is_heard = not self.ended and self.session.websocket is None
        if is_heard:
            good = [*texts, "1"]
            cut = next(i for i, text in enumerate(good) if text in ("1", "2"))
            self.said += [text[1:] for text in texts[:cut] if text[0] == "4"]
        self.do(self.session.post(request, list(map(packet, texts))))
        assert request not in self.unanswered

    @precondition(lambda self: len(self.open) < 3)
    @rule()
    def open_websocket(self) -> None:
        websocket = f"w{self.number()}"
        self.open.add(websocket)
        self.do(self.session.try_websocket(websocket))

    @precondition(lambda self: self.open)
    @rule(text=st.sampled_from(["2probe", "2probe", "5", "5", "4", "3"]), data=st.data())
    def say(self, text: str, data: st.DataObject) -> None:
        websocket = data.draw(st.sampled_from(sorted(self.open)))
        said = text + str(self.number()) if text == "4" else text
        if text == "4" and self.session.websocket == websocket:
            self.said.append(said[1:])
        self.do(self.session.message(websocket, packet(said)))

    @precondition(lambda self: self.open and self.count > 10)
    @rule(how=st.sampled_from([Session.trial_over, Session.websocket_lost]), data=st.data())
    def lose_websocket(self, how: Callable[..., list[Any]], data: st.DataObject) -> None:
        websocket = data.draw(st.sampled_from(sorted(self.open)))
        if how is Session.websocket_lost:
            self.open.remove(websocket)
        self.do(how(self.session, websocket))

    # -- what is always so

    @invariant()
    def nothing_is_twice_or_out_of_order(self) -> None:
        assert self.told == [each for each in self.sent if each in set(self.told)]

    @invariant()
    def nothing_is_lost(self) -> None:
        waits = [each for each in self.sent if each not in self.told]
        if self.last is not None:
            waits = [each for each in waits if each in self.kept or each == self.last]
        if not self.ended:
            assert not (waits and (self.held is not None or self.session.websocket is not None))
            assert bool(waits) is bool(self.session.waiting) or self.closing

    @invariant()
    def nothing_comes_behind_the_last(self) -> None:
        assert self.last not in self.told or self.told[-1] == self.last

    @invariant()
    def what_is_held_is_one(self) -> None:
        assert self.unanswered <= {self.held}
        assert not (self.ended and self.unanswered)

    @invariant()
    def what_is_said_is_heard(self) -> None:
        assert self.heard == self.said


TestOrders = Orders.TestCase
