"""The promise: nobody superseded survives sleep, races or a crash.

    When a notify has been answered with 200, no session that it ended is ever admitted again.

A state machine drives the real hub, in virtual time and on a ledger that commits when it
is told to: browsers come at any moment with any ticket ever signed, notifies are made
several at once and twice, the ledger fails, the server crashes before, between and after
its commits and is started again on what was durable by then, or on nothing.
"""

import json
from collections.abc import Callable, Collection, Iterable
from functools import partial
from threading import Event as ThreadEvent
from threading import Thread
from typing import Any, ClassVar, TypeVar

import attrs
import hypothesis.strategies as st
import jwt
import pytest
import trio
from hypothesis import Phase, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from trio.testing import MockClock, wait_all_tasks_blocked

import sse_trio
from sse_trio import Swap
from sse_trio.core.logins import Record
from sse_trio.core.notify import LAST_JOINED, Answer, Notify, Release
from sse_trio.hub.hub import Hub
from sse_trio.hub.member import Member, Outcome, State

from ..model import LAST, Event, Model, Notified, Seen, Tab
from ..support import KEY, caused_by_assertion
from .fakes import FakePeer, HeldLedger, Note

T = TypeVar("T")

CONFIG = sse_trio.Config(authkey=KEY, max_connections_per_room=1000)

rooms = st.sampled_from(["u1", "u2"])
SESSIONS = ("s1", "s2", "s3", "s4")
sessions = st.sampled_from(SESSIONS)
senders = st.sampled_from([*SESSIONS, None, LAST])
ids = st.sampled_from([None, None, "i1", "i2"])
# Mostly nobody.
ends = st.just(frozenset[str]()) | st.frozensets(sessions, max_size=2)
counts = st.integers(0, 6)


class Loop:
    """A Trio program in a thread, in virtual time: each step is done to the end of its effects."""

    def __init__(self) -> None:
        self._clock = MockClock()
        self._ready = ThreadEvent()
        self._thread = Thread(target=trio.run, args=(self._main,), kwargs={"clock": self._clock})
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self.nursery:
            self._ready.set()
            await trio.sleep_forever()

    def do(self, step: Callable[[], T]) -> T:
        async def run() -> T:
            self._clock.jump(0.01)
            result = step()
            await wait_all_tasks_blocked()
            return result

        return trio.from_thread.run(run, trio_token=self._token)

    def close(self) -> None:
        trio.from_thread.run_sync(self.nursery.cancel_scope.cancel, trio_token=self._token)
        self._thread.join()


@attrs.define(eq=False)
class Request:
    """A notify or release under way."""

    wanted: Notify | Release
    expected: int | type[Exception] | None = None
    """Its epoch, or how it is refused, once it has been decided."""
    event: Event | None = None
    """What it did to its room."""
    ends: set[str] = attrs.Factory(set)
    """The sessions that are over when it has been answered."""
    result: Outcome | Exception | None = None


@attrs.define(eq=False)
class Visit:
    """A tab's connection."""

    tab: Tab
    member: Member
    peer: FakePeer
    note: Note | None = None
    """What has to be durable before it is told that it has joined."""
    welcome: bool = False
    """Whether it has to have been told."""
    proved: bool = False
    """Whether it came with a ticket."""


@attrs.frozen
class Durable:
    """What is known to the disk: a room's history, and the requests with an id."""

    history: dict[str, list[Event]] = attrs.Factory(dict)
    ids: dict[str, Request] = attrs.Factory(dict)


class Promise(RuleBasedStateMachine):
    """The real hub beside the model; the disk is in the hands of the test."""

    config: ClassVar = CONFIG
    disk: ClassVar[type[HeldLedger]] = HeldLedger

    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.ledger = self.disk()
        self.tickets: list[str] = []
        self.over: dict[str, set[str]] = {}
        """What has been promised: the sessions of each room that an answered request ended."""
        self.welcomed: dict[str, set[str]] = {}
        """Those that were told, by a ledger that worked, that they have joined; or named."""
        self.durable = Durable()
        self.snapshots: dict[Note, Durable] = {}
        self.start()

    def teardown(self) -> None:
        self.loop.close()

    def start(self) -> None:
        """Start a server, with what is durable."""
        self.model = Model(self.config.max_sessions, self.config.max_remembered_sessions)
        self.model.history = {room: list(events) for room, events in self.durable.history.items()}
        self.ids = dict(self.durable.ids)
        self.visits: list[Visit] = []
        self.queues: dict[str, list[Request]] = {}
        self.loop.do(lambda: self.loop.nursery.start_soon(self._serve))

    async def _serve(self) -> None:
        async with trio.open_nursery() as self.process:
            spawn = self.process.start_soon
            self.hub = Hub(self.config, self.ledger, spawn, wall=trio.current_time)
            self.hub.restore(*await self.ledger.load())
            await self.hub.run_timers()

    # -- what happens -------------------------------------------------------------------

    @rule(room=rooms, session=sessions)
    def join(self, room: str, session: str) -> None:
        text = json.dumps({"type": "join", "room": room, "session": session})
        self._visit(text, room, Seen(session))

    @rule(room=rooms, session=sessions)
    def join_in_two_tabs(self, room: str, session: str) -> None:
        self.join(room, session)
        self.join(room, session)

    @precondition(lambda self: self.tickets)
    @rule(which=st.integers(0, 100))
    def join_with_any_ticket(self, which: int) -> None:
        ticket = self.tickets[which % len(self.tickets)]
        claims = jwt.decode(ticket, options={"verify_signature": False})
        text = json.dumps({"type": "join", "ticket": ticket})
        seen = Seen(claims["session"], claims["epoch"], claims["iat"])
        self._visit(text, claims["room"], seen)

    def _visit(self, text: str, room: str, seen: Seen) -> None:
        tab = Tab(len(self.model.tabs))
        self.model.tabs.append(tab)

        def connect() -> Visit:
            peer = FakePeer()
            member = self.hub.membership.arrive(peer, "192.0.2.1")
            self.hub.hearing.hear(member, [text])
            self.process.start_soon(self.hub.admit, member)
            return Visit(tab, member, peer, proved=seen.epoch is not None)

        visit = self.loop.do(connect)
        self.visits.append(visit)
        self.model.join(tab, room, seen)
        if tab.alive:
            visit.note = self.ledger.pending(room)
        self._catch_up()

    @rule(room=rooms, sender=senders, id=ids, end=ends)
    def notify(self, room: str, sender: Any, id: str | None, end: frozenset[str]) -> None:
        named, end = LAST_JOINED if sender is LAST else sender, end - {sender}
        self._request(Notify(room=room, sender=named, id=id and f"{room}-{id}", end=end))

    @rule(room=rooms, sender=senders, id=ids)
    def notify_twice_at_once(self, room: str, sender: Any, id: str | None) -> None:
        named = LAST_JOINED if sender is LAST else sender
        twice = Notify(room=room, sender=named, id=id and f"{room}-{id}")
        self._request(twice, twice)

    @rule(room=rooms, session=sessions)
    def release(self, room: str, session: str) -> None:
        self._request(Release(room=room, session=session))

    def _request(self, *wanted: Notify | Release) -> None:
        for request in map(Request, wanted):
            self.queues.setdefault(request.wanted.room, []).append(request)
            self.loop.do(partial(self.process.start_soon, self._run, request))
            self._catch_up()

    async def _run(self, request: Request) -> None:
        try:
            request.result = await self.hub.decisions.accept(request.wanted)
        except sse_trio.SseTrioError as error:
            request.result = error

    @rule(room=rooms, session=sessions)
    def sign_a_ticket(self, room: str, session: str) -> None:
        ticket = self.loop.do(lambda: self.hub.ticket(room, session))
        assert ticket is not None
        self.tickets.append(ticket)
        if self.model.room(room).is_provable(session):
            # Whoever ended it, and has forgotten that, is told by this that it stands.
            self.over.get(room, set()).discard(session)
        self.model.sign(room, session)
        self._catch_up()

    @rule(which=st.integers(0, 100))
    def acknowledge(self, which: int) -> None:
        told = [visit for visit in self.visits if visit.member.state is State.TERMINATED]
        if told:
            text = '{"type": "terminated", "epoch": 1}'
            member = told[which % len(told)].member
            self.loop.do(lambda: self.hub.hearing.hear(member, [text]))

    @rule(which=st.integers(0, 100))
    def leave(self, which: int) -> None:
        here = [visit for visit in self.visits if visit.member.state is not State.GONE]
        if here:
            visit = here[which % len(here)]
            self.loop.do(lambda: self.hub.membership.leave(visit.member, hung_up=True))
            visit.tab.alive = False

    # -- the disk, and the process ------------------------------------------------------

    @rule(count=counts)
    def commit(self, count: int) -> None:
        self._written(self.ledger.held[:count])
        self.loop.do(lambda: self.ledger.commit(count))
        self._catch_up()

    @rule()
    def commit_all(self) -> None:
        self.commit(len(self.ledger.held))

    @rule()
    def fail(self) -> None:
        self.loop.do(self.ledger.fail)
        self._catch_up()

    @rule(written=counts)
    def crash(self, written: int) -> None:
        """Between the decision and its commit, or between the commit and its answer."""
        self._written(self.ledger.write(written))
        self._die()
        self.ledger.crash()
        self.start()

    @precondition(lambda self: self.tickets)
    @rule(sure=st.integers(0, 4))
    def lose_the_ledger(self, sure: int) -> None:
        if sure == 0:
            self._die()
            self.ledger.burn()
            self.durable = Durable()
            # Nothing was promised of that. (What can be healed, the tickets heal.)
            self.over.clear()
            self.welcomed.clear()
            self.start()

    def _die(self) -> None:
        self.loop.do(lambda: self.process.cancel_scope.cancel())
        self.snapshots.clear()

    def _written(self, notes: list[Note]) -> None:
        for note in notes:
            snapshot = self.snapshots[note]
            self.durable.history.update(snapshot.history)
            self.durable.ids.update(snapshot.ids)

    # -- what has to come of it ---------------------------------------------------------

    def _catch_up(self) -> None:
        """Take the model to where the hub must be now."""
        for visit in self.visits:
            settled = visit.note is None or visit.note.done or visit.note.failed
            if visit.tab.alive and settled and not visit.welcome:
                visit.welcome = True
                if visit.note is None or visit.note.done:
                    self._knows(visit.tab.room or "", visit.tab.session)
        for room, queue in self.queues.items():
            while queue:
                request = queue[0]
                if request.expected is None:
                    self._decide(room, request)
                if request.result is None:
                    break
                self._check(room, queue.pop(0))
        for note in self.ledger.held:
            if note not in self.snapshots:
                history = {note.room: list(self.model.history.get(note.room, []))}
                ids = {note.answer.id: self.ids[note.answer.id]} if note.answer else {}
                self.snapshots[note] = Durable(history, ids)

    def _knows(self, room: str, session: str | None) -> None:
        if session is not None:
            self.welcomed.setdefault(room, set()).add(session)

    def _decide(self, room: str, request: Request) -> None:
        wanted = request.wanted
        now = self.loop.do(trio.current_time) - 0.01
        if isinstance(wanted, Release):
            request.ends = self._known(room, {wanted.session})
            self.model.release(room, wanted.session, now)
        else:
            earlier = self.ids.get(wanted.id or "")
            if earlier is not None:
                assert isinstance(earlier.wanted, Notify)
                is_same = (earlier.wanted.sender, earlier.wanted.end) == (
                    wanted.sender,
                    wanted.end,
                )
                is_good = is_same and self._is_good(room, earlier)
                request.expected = earlier.expected if is_good else sse_trio.Conflict
                request.event = earlier.event
                return
            sender = LAST if wanted.sender is LAST_JOINED else wanted.sender
            spared = self.model.last_joined(room, wanted.end) if sender is LAST else sender
            logins = self.model.room(room).logins.keys() - {spared, *wanted.end}
            full = self.config.at_limit == "refuse-new" and len(logins) >= self.model.limit
            if full and spared is not None:
                request.expected = sse_trio.LimitReached
                return
            request.ends = self._known(room, wanted.end)
            self.model.notify(room, sender, now, wanted.end)
            if wanted.id is not None:
                self.ids[wanted.id] = request
            if self.model.limit == 1 or spared is None:
                request.ends |= self.welcomed.get(room, set()) - {spared}
            self.over.setdefault(room, set()).discard(str(spared))
        request.expected = self.model.epoch(room)
        request.event = self.model.history[room][-1]

    def _known(self, room: str, sessions: Collection[str]) -> set[str]:
        """Those of the sessions that can be barred: the room knows them, or they are there."""
        here = {tab.session for tab in self.model.living(room)}
        return {one for one in sessions if one in here or self.model.room(room).known(one)}

    def _is_good(self, room: str, earlier: Request) -> bool:
        """Whether the login that an earlier notify announced stands."""
        event, epoch = earlier.event, earlier.expected
        assert isinstance(event, Notified)
        assert isinstance(epoch, int)
        login = event.sender and Seen(event.sender, epoch, event.time)
        return not login or self.model.room(room).ended_by(login) is None

    def _check(self, room: str, request: Request) -> None:
        """Compare how a request was answered with how it must be."""
        if isinstance(request.result, sse_trio.LedgerError):
            return
        if isinstance(request.result, Exception):
            assert isinstance(request.expected, type)
            assert isinstance(request.result, request.expected)
            return
        assert request.result is not None
        assert request.result.epoch == request.expected
        # What has been answered is durable.
        assert any(event is request.event for event in self.durable.history[room])
        self.over.setdefault(room, set()).update(request.ends)
        self._knows(room, request.result.sender)
        if request.result.ticket:
            self.tickets.append(request.result.ticket)

    @invariant()
    def everybody_was_told_what_they_must_be(self) -> None:
        for visit in self.visits:
            told = [message["epoch"] for message in visit.peer.got("terminate")]
            assert told == visit.tab.expected
            assert len(visit.peer.got("joined")) == visit.welcome
            assert (visit.member.state is State.JOINED) == visit.tab.alive

    @invariant()
    def nobody_whose_end_was_promised_is_alive(self) -> None:
        for visit in self.visits:
            # Where little is remembered, they alone are known again who can prove their login.
            is_known = self.config.max_remembered_sessions > len(SESSIONS) or visit.proved
            if visit.member.state is State.JOINED and is_known:
                assert visit.member.session not in self.over.get(visit.member.room, set())

    @invariant()
    def no_bound_of_memory_has_ended_anybody(self) -> None:
        self.model.check_memory()


# As many as the profile says: what is broken on purpose below is found by the fourth.
EXAMPLES = settings(stateful_step_count=40, deadline=None)
CATCH = settings(EXAMPLES, max_examples=1500, phases=[Phase.generate], derandomize=True)


class OfTwo(Promise):
    """Two sessions of a room stand."""

    config = attrs.evolve(CONFIG, max_sessions=2)


class RefusingNew(Promise):
    """One session of a room stands, and keeps others out."""

    config = attrs.evolve(CONFIG, at_limit="refuse-new")


class OfLittleMemory(Promise):
    """It remembers as little as it may."""

    config = attrs.evolve(CONFIG, max_remembered_sessions=2)


@pytest.mark.parametrize("machine", [Promise, OfTwo, RefusingNew, OfLittleMemory])
def test_the_promise(machine: type[Promise]) -> None:
    run_state_machine_as_test(machine, settings=EXAMPLES)


# -- and it can be broken ------------------------------------------------------------------


class Hasty(HeldLedger):
    """Says that it is done before it is."""

    def propose(self, swap: Swap) -> Note:
        note = super().propose(swap)
        note.settle()
        return note


class Forgetful(HeldLedger):
    """Keeps answers alone."""

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        _, answers = await super().load()
        return [], answers


class Repetitive(HeldLedger):
    """Keeps standings alone."""

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        records, _ = await super().load()
        return records, []


@pytest.mark.parametrize("disk", [Hasty, Forgetful, Repetitive])
def test_the_promise_needs_a_ledger_that_keeps_it(disk: type[HeldLedger]) -> None:
    broken = type("Broken", (Promise,), {"disk": disk})
    with pytest.raises(BaseException) as failure:
        run_state_machine_as_test(broken, settings=CATCH)
    assert caused_by_assertion(failure.value)
