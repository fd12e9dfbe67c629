"""The property the whole server stands for, by steps and over real sockets.

A notify ends exactly the members of its room whose session is not the sender's; and
whoever has been superseded is ended again at the door, however often it comes back.
"""

import json
from collections.abc import Callable, Container, Generator, Iterator
from typing import Any
from unittest.mock import patch

import attrs
import hypothesis.strategies as st
import pytest
import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from trio.testing import MockClock
from trio_websocket import ConnectionClosed

import sse_trio
from sse_trio.core.notify import CONFIGURED, LAST_JOINED, Notify, Release
from sse_trio.core.rooms import Rooms
from sse_trio.hub.member import Ending, Member, Outcome, State

from ..model import LAST, Model, Seen, Tab
from ..server.socketio.clients import on_requests, on_websocket, target
from ..streams import listening, say
from ..support import KEY, caused_by_assertion, open_peer, request
from .fakes import FakePeer, Parts

ROOMS = ["u1", "u2"]
SESSIONS = ["s1", "s2", "s3", "s4"]

CONFIG = sse_trio.Config(
    authkey=KEY,
    heartbeat_interval=25,
    heartbeat_timeout=60,
    linger=5,
    max_connections_per_room=1000,
)

rooms = st.sampled_from(ROOMS)
sessions = st.sampled_from(SESSIONS)
senders = st.sampled_from([*SESSIONS, None, LAST])
# Mostly nobody.
ends = st.just(frozenset[str]()) | st.frozensets(sessions, max_size=2)
# Mostly as configured.
limits = st.none() | st.sampled_from([None, 1, 2, 3])
# How far a fan-out comes in the step that decides: its first step is always part of that.
first_steps = st.integers(1, 9)


class Hub(RuleBasedStateMachine):
    """The server's real synchronous steps beside the model, with time as an argument."""

    tabs = Bundle("tabs")
    config = CONFIG
    slice = 1

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.model = Model(self.config.max_sessions, self.config.max_remembered_sessions)
        self.parts = Parts(lambda: self.now, self.config, slice=self.slice)
        self.membership = self.parts.membership
        self.real: dict[Tab, tuple[Member, FakePeer]] = {}
        self.running: list[tuple[Generator[int, None, None], list[Tab]]] = []
        self.outcomes: list[Outcome] = []
        self.told_at: dict[Tab, float] = {}

    @rule(target=tabs)
    def connect(self) -> Tab:
        return self._connect()

    def _connect(self) -> Tab:
        tab = Tab(len(self.model.tabs))
        peer = FakePeer()
        self.model.tabs.append(tab)
        self.real[tab] = (self.membership.arrive(peer, "192.0.2.1"), peer)
        return tab

    @rule(target=tabs, room=rooms, session=sessions, count=st.integers(1, 3))
    def open_tabs(self, room: str, session: str, count: int) -> MultipleResults[Tab]:
        opened = [self._connect() for _ in range(count)]
        for tab in opened:
            self._join(tab, room, session)
        return multiple(*opened)

    @rule(tab=tabs, room=rooms, session=sessions)
    def join(self, tab: Tab, room: str, session: str) -> None:
        self._join(tab, room, session)

    def _join(self, tab: Tab, room: str, session: str) -> None:
        member, _ = self.real[tab]
        if member.state is not State.ARRIVING:
            return
        text = json.dumps({"type": "join", "room": room, "session": session})
        self.parts.hearing.hear(member, [text])
        self.model.join(tab, room, Seen(session))
        if tab.deaf:  # not even `joined` could be sent
            tab.alive = False

    @rule(tab=tabs, room=rooms, session=sessions)
    def join_twice(self, tab: Tab, room: str, session: str) -> None:
        member, peer = self.real[tab]
        if member.state is State.JOINED:
            text = json.dumps({"type": "join", "room": room, "session": session})
            self.parts.hearing.hear(member, [text])
            assert peer.closes() == [4400]
            tab.alive = False

    @rule(tab=consumes(tabs))
    def leave(self, tab: Tab) -> None:
        self.membership.leave(self.real[tab][0], hung_up=True)
        tab.alive = False

    @rule(tab=tabs)
    def acknowledge(self, tab: Tab) -> None:
        member, peer = self.real[tab]
        if member.state is State.TERMINATED:
            self.parts.hearing.hear(member, ['{"type": "terminated", "epoch": 1}'])
            assert peer.closes() == [4001]

    @rule(tab=tabs)
    def fill_its_outbox(self, tab: Tab) -> None:
        tab.deaf = self.real[tab][1].full = True

    @rule(tab=tabs)
    def lose_its_connection(self, tab: Tab) -> None:
        # The kernel knows; the server will, when it next sends or receives.
        tab.deaf = self.real[tab][1].lost = True

    @rule(tab=tabs)
    def stay_in_touch(self, tab: Tab) -> None:
        member, _ = self.real[tab]
        if member.state is State.JOINED:
            self.parts.hearing.hear(member, ['{"type": "heartbeat"}'])
            if member.state is not State.JOINED:
                # It could not be answered.
                assert tab.deaf
                tab.alive = False

    @rule(room=rooms, sender=senders, end=ends, limit=limits, steps=first_steps)
    def notify(
        self, room: str, sender: Any, end: frozenset[str], limit: int | None, steps: int
    ) -> None:
        self._finish_fan_outs(room)
        sender_, end = LAST_JOINED if sender is LAST else sender, end - {sender}
        if limit is not None:
            limit = min(limit, self.config.max_remembered_sessions - 1)
        before = self._there(room)
        wanted = Notify(room=room, sender=sender_, end=end, max_sessions=limit or CONFIGURED)
        ending = self.parts.decide(wanted)
        self._ends(ending, self.model.notify(room, sender, end=end, limit=limit), steps)
        after = self.model.room(room).standing
        assert set(ending.outcome.ended) == before.difference(after)

    @rule(room=rooms, session=sessions, steps=first_steps)
    def release(self, room: str, session: str, steps: int) -> None:
        self._finish_fan_outs(room)
        before = self._there(room)
        ending = self.parts.decide(Release(room=room, session=session))
        self._ends(ending, self.model.release(room, session), steps)
        assert ending.outcome.ended == ((session,) if session in before else ())

    def _there(self, room: str) -> set[str]:
        """Return who stands in a room, or is there though it has been forgotten."""
        living = {tab.session for tab in self.model.living(room) if tab.session is not None}
        return living.union(self.model.room(room).standing)

    def _ends(self, ending: Ending, victims: list[Tab], steps: int) -> None:
        assert ending.outcome.epoch == self.model.epoch(ending.outcome.room)
        assert len(ending.members) == len(victims)
        self.running.append((ending.telling, victims))
        self.outcomes.append(ending.outcome)
        for _ in range(steps):
            next(ending.telling, None)

    @rule(steps=st.integers(1, 3))
    def go_on_with_a_fan_out(self, steps: int) -> None:
        for fan_out, _ in self.running[:1]:
            for _ in range(steps):
                next(fan_out, None)

    @rule(seconds=st.sampled_from([0.3, 4.0, 13.0, 25.0, 61.0]))
    def tick(self, seconds: float) -> None:
        self._finish_fan_outs()
        before = {tab: len(self.real[tab][1].got("heartbeat")) for tab in self.model.living()}
        self.now += seconds
        for _ in self.membership.run_due(self.now):
            pass
        for tab, beats in before.items():
            member, peer = self.real[tab]
            new = len(peer.got("heartbeat")) - beats
            assert new <= 1
            if member.state is not State.JOINED:
                # Time may end a living member for two reasons only.
                assert tab.deaf or self.now - member.heard >= CONFIG.heartbeat_timeout
                tab.alive = False
            elif seconds >= CONFIG.heartbeat_interval + 1:
                assert new == 1
        for tab in self.model.tabs:
            if self.real[tab][1].aborted and self.real[tab][0].state is not State.GONE:
                self.membership.leave(self.real[tab][0], hung_up=False)

    @precondition(lambda self: not self.membership.draining)
    @rule(sure=st.integers(0, 19))
    def drain(self, sure: int) -> None:
        if sure == 0:
            self._finish_fan_outs()
            for _ in self.membership.close_all_websockets():
                pass
            for tab in self.model.living():
                assert self.real[tab][1].closes() == [1001]
                tab.alive = False

    def _finish_fan_outs(self, room: str | None = None) -> None:
        """Run what is left of the fan-outs (of `room`: its notifies are serialised)."""
        for running in list(self.running):
            fan_out, victims = running
            if room is None or (victims and victims[0].room == room):
                for _ in fan_out:
                    pass
                self.running.remove(running)

    def _not_yet_told(self) -> set[Tab]:
        return {tab for _, victims in self.running for tab in victims}

    @invariant()
    def exactly_the_others_were_told_exactly_once(self) -> None:
        for tab in self.model.tabs:
            member, peer = self.real[tab]
            told = [message["epoch"] for message in peer.got("terminate")]
            if told != tab.expected:
                # A fan-out that has given way, or somebody who can't or won't be told.
                assert told == []
                assert tab in self._not_yet_told() or tab.deaf or member.state is State.GONE

    @invariant()
    def nobody_superseded_is_a_living_member(self) -> None:
        for tab in self.model.tabs:
            member, _ = self.real[tab]
            assert (member.state is State.JOINED) == tab.alive, (tab, member)
            if member.state is State.JOINED:
                assert self.model.ended_by(member.room, member.session) is None

    @invariant()
    def no_bound_of_memory_has_ended_anybody(self) -> None:
        self.model.check_memory()
        for room in self.model.history:
            assert self.membership.recognition.view(room).logins == set(
                self.model.room(room).logins
            )

    @invariant()
    def whoever_asks_is_told_what_a_join_is_told(self) -> None:
        for room in self.model.history:
            after, hub = self.model.room(room), self.membership.recognition
            told = [one.session for one in hub.sessions(room, present=()).sessions]
            assert set(told) == set(after.logins)
            assert len(told) == len(after.logins)
            for session in SESSIONS:
                verdict, ended = hub.check(room, session), after.ended_by(Seen(session))
                assert verdict.active == (session in after.logins)
                assert verdict.known == (verdict.active or ended is not None)
                assert verdict.active or verdict.epoch == ended

    @invariant()
    def the_registry_holds_the_living_and_no_empty_room(self) -> None:
        now = self.membership.statistics()
        assert now.members == len(self.model.living())
        assert now.rooms == len(self.model.rooms())
        for room in ROOMS:
            registered = set(self.membership.rooms.members(room))
            assert registered == {self.real[tab][0] for tab in self.model.living(room)}

    @invariant()
    def everyone_connected_has_something_to_come(self) -> None:
        connected = [m for m, _ in self.real.values() if m.state is not State.GONE]
        # Whoever is about to be told, or has been, is timed with those who were told beside it.
        alone = (State.ARRIVING, State.JOINED, State.CLOSING)
        assert all(m in self.parts.timers for m in connected if m.state in alone)
        assert self.membership.statistics().connections == len(connected)
        assert all(tab in self._not_yet_told() or self._is_timed(tab) for tab in self.real)

    def _is_timed(self, tab: Tab) -> bool:
        """Whether one who was told, and has not answered, was told at most `linger` ago."""
        member, _ = self.real[tab]
        if member.state is not State.TERMINATED:
            return member.state is not State.SUPERSEDED
        slot = CONFIG.linger / 32
        return self.now - self.told_at.setdefault(tab, self.now) <= CONFIG.linger + slot

    @invariant()
    def outcomes_add_up(self) -> None:
        for outcome in self.outcomes:
            told = sum(
                message["epoch"] == outcome.epoch
                for tab, (_, peer) in self.real.items()
                if tab.room == outcome.room
                for message in peer.got("terminate")
            )
            assert 0 <= outcome.acked <= outcome.terminated <= told
            assert outcome.pending == outcome.terminated - outcome.acked


# As many as the profile says: what is broken on purpose below is found by the sixth.
EXAMPLES = settings(stateful_step_count=40, deadline=None)
# A mutant is only to be caught: nobody reads its smallest example.
CATCH = settings(EXAMPLES, max_examples=3000, phases=[Phase.generate], derandomize=True)


def test_by_steps() -> None:
    run_state_machine_as_test(Hub, settings=EXAMPLES)


class ForgetfulHub(Hub):
    """It remembers as little as it may."""

    config = attrs.evolve(CONFIG, max_remembered_sessions=2)


def test_by_steps_where_hardly_anything_is_remembered() -> None:
    run_state_machine_as_test(ForgetfulHub, settings=EXAMPLES)


class HubOfTwo(Hub):
    """Two sessions of a room stand, and three members are told in one go."""

    config = attrs.evolve(CONFIG, max_sessions=2)
    slice = 3


def test_by_steps_where_two_sessions_stand() -> None:
    run_state_machine_as_test(HubOfTwo, settings=EXAMPLES)


# -- over real sockets ---------------------------------------------------------------------

Script = list[tuple[str, str, Any]]

scripts = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["join", "listen", "emit", "poll"]), rooms, sessions),
        st.tuples(st.just("leave"), rooms, sessions),
        st.tuples(st.just("notify"), rooms, senders),
    ),
    max_size=25,
)


class Browser:
    """A task that joins by a WebSocket, and writes down how it ended."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.scope = trio.CancelScope()
        self.answered = trio.Event()
        self.ended = trio.Event()
        self.told: list[int] = []
        self.code: int | None = None

    @property
    def login(self) -> dict[str, Any]:
        return {"room": self.tab.room, "session": self.tab.session}

    @property
    def join(self) -> dict[str, Any]:
        return {"type": "join", **self.login}

    async def run(self, hub: sse_trio.Hub) -> None:
        with self.scope:
            await self.talk(hub)
        self.answered.set()
        self.ended.set()

    async def talk(self, hub: sse_trio.Hub) -> None:
        async with open_peer(hub) as peer:
            await peer.send_message(json.dumps(self.join))
            try:
                while True:
                    if ack := self.take(json.loads(await peer.get_message())):
                        await peer.send_message(json.dumps(ack))
            except ConnectionClosed as closed:
                self.code = closed.reason.code if closed.reason else None

    def take(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Note a message; return the acknowledgement, if it asks for one."""
        self.answered.set()
        if message["type"] != "terminate":
            return None
        self.told.append(message["epoch"])
        return {"type": "terminated", "epoch": message["epoch"]}


class Listener(Browser):
    """A task that joins by a POST."""

    async def talk(self, hub: sse_trio.Hub) -> None:
        name = {"stream": f"stream {self.tab.number}"}
        async with listening(hub, self.join | name) as stream:
            while found := await stream.event():
                kind, members = found
                if kind == "close":
                    self.code = members["code"]
                elif ack := self.take(members):
                    assert (await say(hub, ack | name)).status == 204


class Emitter(Browser):
    """A task that joins by Socket.IO, on a WebSocket."""

    async def talk(self, hub: sse_trio.Hub) -> None:
        async with on_websocket(hub) as page:
            await page.say("40" + json.dumps(self.login))
            while packet := await page.hear():
                for answer in self.hear(packet):
                    await page.say(answer)

    def hear(self, packet: str) -> list[str]:
        """Note a packet of Socket.IO; return the answers."""
        if packet == "41":
            self.code = 4001  # by this a client knows that it is not to come back
            return ["1"]
        if packet == "2":
            return ["3"]
        if packet.startswith("42"):
            name, members = json.loads(packet[2:])
            self.take(members | {"type": name})
        return []


class Poller(Emitter):
    """A task that joins by Socket.IO, on requests."""

    async def talk(self, hub: sse_trio.Hub) -> None:
        async with on_requests(hub) as page:
            here = target(sid=page.sid)
            await request(hub, "POST", here, body=b"40" + json.dumps(self.login).encode())
            while (polled := await page.get()).status == 200:
                for packet in polled.body.decode().split("\x1e"):
                    for answer in self.hear(packet):
                        await request(hub, "POST", here, body=answer.encode())


KINDS = {"join": Browser, "listen": Listener, "emit": Emitter, "poll": Poller}


async def play(script: Script) -> None:
    """Run a script against a server with real connections; every claim is checked at its end."""
    model = Model()
    browsers: list[Browser] = []
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            hub: sse_trio.Hub = await nursery.start(
                sse_trio.serve, sse_trio.Config(port=0, authkey=KEY, socketio=True)
            )
            for action, room, who in script:
                if action in KINDS:
                    browser = KINDS[action](Tab(len(browsers)))
                    model.tabs.append(browser.tab)
                    model.join(browser.tab, room, Seen(who))
                    browsers.append(browser)
                    nursery.start_soon(browser.run, hub)
                    await browser.answered.wait()
                elif action == "leave":
                    for browser in browsers:
                        if browser.tab in model.living(room) and browser.tab.session == who:
                            browser.scope.cancel()
                            browser.tab.alive = False
                            await browser.ended.wait()
                else:
                    model.notify(room, who)
                    outcome = await hub.notify(room, sender=LAST_JOINED if who is LAST else who)
                    assert outcome.epoch == model.epoch(room)
            for browser in browsers:
                if not browser.tab.alive:
                    await browser.ended.wait()
                    assert browser.told == browser.tab.expected
                    assert browser.code == (4001 if browser.told else None)
            # One more round trip, and the living have still heard nothing.
            for browser in browsers:
                if browser.tab.alive:
                    assert browser.told == []
                    assert not browser.ended.is_set()
            assert hub.statistics().members == len(model.living())
            assert hub.statistics().rooms == len(model.rooms())
            nursery.cancel_scope.cancel()


def over_sockets(how: settings) -> None:
    @settings(how, suppress_health_check=[HealthCheck.too_slow])
    @given(scripts)
    def claim(script: Script) -> None:
        # Whoever waits in vain, in a mutant, waits in virtual time.
        trio.run(play, script, clock=MockClock(autojump_threshold=0))

    claim()


def test_over_real_sockets() -> None:
    over_sockets(settings(max_examples=150, deadline=None))


# -- and both can fail ---------------------------------------------------------------------


def spare_nobody(registry: Rooms[Any], room: str, spared: Container[str]) -> list[Any]:
    return registry.members(room)


def spare_by_socket(registry: Rooms[Any], room: str, spared: Container[str]) -> list[Any]:
    places = zip(registry.sessions(room), registry.members(room), strict=True)
    first = dict(reversed([place for place in places if place[0] in spared]))
    return [member for member in registry.members(room) if member not in first.values()]


def wrong_room(registry: Rooms[Any], room: str, spared: Container[str]) -> list[Any]:
    other = ROOMS[1 - ROOMS.index(room)]
    places = zip(registry.sessions(other), registry.members(other), strict=True)
    return [member for session, member in places if session not in spared]


def evict_by(mutation: Callable[..., list[Any]]) -> Callable[..., Iterator[Any]]:
    """Take out of the rooms whom a mutation names."""

    def evict(registry: Rooms[Any], room: str, spared: Container[str]) -> Iterator[Any]:
        for member in mutation(registry, room, spared):
            registry.leave(member.room, member)
            yield member

    return evict


MUTATIONS = [spare_nobody, spare_by_socket, wrong_room]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_by_steps_notices(mutation: Callable[..., list[Any]]) -> None:
    with patch.object(Rooms, "evict", evict_by(mutation)), pytest.raises(BaseException) as failure:
        run_state_machine_as_test(Hub, settings=CATCH)
    assert caused_by_assertion(failure.value)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_over_real_sockets_notices(mutation: Callable[..., list[Any]]) -> None:
    with patch.object(Rooms, "evict", evict_by(mutation)), pytest.raises(BaseException) as failure:
        over_sockets(CATCH)
    assert caused_by_assertion(failure.value)
