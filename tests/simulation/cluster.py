"""A simulated cluster: real hubs with their real ledgers, around a hostile engine, and their pages.

Everything that is seen from outside goes into a `History`. Nodes can be stopped, killed, started,
drained and cut off; the engine can restart, be away, fail over, and lose commits.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from random import Random
from typing import Any

import attrs
import jwt
import trio

from sse_trio import Config, Conflict, Draining, LedgerError, LimitReached
from sse_trio.core.messages import ServerMessage, encode
from sse_trio.hub.hub import Hub
from sse_trio.hub.letters import Letter
from sse_trio.hub.member import Member, State
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import Transaction
from sse_trio.ledger.sessions import OfRoom, SessionRow

from ..support import KEY
from .clocks import Process, SimulatedClock, Simulation
from .engine import Database, HostileEngine, Sea, Way, Weather
from .history import (
    Answered,
    Called,
    Committed,
    Drained,
    Event,
    Failed,
    Fault,
    History,
    Killed,
    Lost,
    Registered,
    Removed,
    Reported,
    Said,
    Settled,
)

LEASE = 2.0

CONFIG = Config(
    authkey=KEY,
    ledger="postgresql://simulated",
    lease=LEASE,
    hold=5.0,
    join_patience=4.0,
    heartbeat_interval=1.0,
    heartbeat_timeout=60.0,
)

# Of a member: how it is told, and what is seen of that.
_SEEN = {"joined": "joined", "heartbeat": "beat", "hold": "hold", "terminate": "terminate"}


def _unique(room: str, session: str) -> str:
    """Return the id of a session: a store of all rooms has it once."""
    return f"{session} of {room}"


def _row(room: str, session: str) -> SessionRow:
    """Return what the application keeps of a login; its swap sets when it was."""
    return SessionRow(
        id=session, user=room, name="", provider="", room=room, kind="", app_type="",
        epoch=0, created=0.0, seen=0.0, kid="", user_agent="", address="",
    )  # fmt: skip


def _encode(message: ServerMessage) -> bytes:
    return encode(message).encode()


@attrs.frozen
class Makers:
    """Of what a node is made: a test gives it something broken here."""

    hub: Callable[..., Hub] = Hub
    engine: Callable[[Sea], HostileEngine] = HostileEngine
    ledger: type[ClusterLedger] = ClusterLedger
    database: type[Database] = Database
    holds: bool | None = None
    """What the server takes its pages for: None, what they are."""


class Page:
    """A browser's page, joined at one node; it answers what it is asked, a moment later."""

    def __init__(
        self, node: "Node", number: int, room: str, session: str, *, proof: int | None, holds: bool
    ) -> None:
        self.node = node
        self.number = number
        self.room = room
        self.session = session
        self.proof = proof
        self.holds = holds
        self.member: Member | None = None

    def offer(self, letter: Letter) -> bool:
        what = json.loads(letter.encoded(_encode))["type"]
        if what in _SEEN:
            self._note(_SEEN[what])
        if what == "terminate":
            self._answer({"type": "terminated", "epoch": 0})
        elif what == "heartbeat":
            self._answer(None)
        return True

    offer_beat = offer_last = offer

    def close(self, code: int, reason: str) -> None:
        self._note("closed")
        self.node.later(self._leave)

    def abort(self) -> None:
        self.close(0, "")

    def hang_up(self) -> None:
        """Close, as the browser does."""
        self._note("closed")
        self.node.process.send(self._leave)

    def _note(self, what: str) -> None:
        cluster = self.node.cluster
        said = Said(
            cluster.now, self.node.name, self.number, self.room, self.session, what,
            self.proof, understands_hold=self.holds,
        )  # fmt: skip
        self.node.note(said)

    def _answer(self, message: dict[str, Any] | None) -> None:
        words = [] if message is None else [json.dumps(message)]
        self.node.later(partial(self._say, words))

    def _say(self, words: list[str]) -> None:
        if self.member is not None and self.member.state is not State.GONE:
            self.node.hub.hearing.hear(self.member, words)

    def _leave(self) -> None:
        if self.member is not None:
            self.node.hub.membership.leave(self.member, hung_up=True)


class Node:
    """One hub, in a process of its own. What it does once it is `dead` is seen by nobody."""

    hub: Hub
    ledger: ClusterLedger
    process: Process

    def __init__(self, cluster: "Cluster", name: str, clock: SimulatedClock) -> None:
        self.cluster = cluster
        self.name = name
        self.clock = clock
        self.dead = False
        self.ready = False
        self.pages: list[Page] = []
        self._names = count(1)
        self._draining = trio.Event()
        self.engine = cluster.makers.engine(cluster.sea)

    def start(self) -> None:
        self.process = self.cluster.simulation.start(self._main, self.clock, self._attach)

    def _attach(self, process: Process) -> None:
        self.process = self.engine.process = process

    async def _main(self) -> None:
        while not self._draining.is_set():
            try:
                await self._serve()
            except LedgerError:
                await trio.sleep(1)

    async def _serve(self) -> None:
        settings = Settings(lease=LEASE, ticket_lifetime=CONFIG.ticket_lifetime)
        random = self.cluster.random.random
        async with (
            self.cluster.makers.ledger.open(
                self.engine,
                settings,
                clock=self.clock.current_time,
                local=self.clock.unix,
                jitter=random,
                new_name=lambda: f"{self.name}.{next(self._names)}",
            ) as self.ledger,
            trio.open_nursery() as self.nursery,
        ):
            spawn = self.nursery.start_soon
            config = self.cluster.config
            self.hub = self.cluster.makers.hub(config, self.ledger, spawn, jitter=random)
            spawn(self.hub.run_timers)
            spawn(self.hub.run_cluster)
            spawn(self._begin)
            await self._draining.wait()
            self.ready = False
            await self._leave()
            self.nursery.cancel_scope.cancel()

    async def _begin(self) -> None:
        """Take calls as soon as the ledger is loaded, as the server does."""
        await self.ledger.load()
        self.ready = not self._draining.is_set()

    async def _leave(self) -> None:
        await self.ledger.drain()
        self.hub.drain()
        await self.hub.decisions.finished()
        await self.hub.close_all_websockets(by=trio.current_time() + 1.0)

    # -- what is seen of it, and done to it -------------------------------------------------

    @property
    def vouches(self) -> bool:
        return self.ready and not self.dead and self.ledger.vouches

    def note(self, event: Event) -> None:
        if not self.dead:
            self.cluster.history.events.append(event)

    def later(self, step: Callable[[], object]) -> None:
        """Have it take a step when a message has come to it."""
        delay = self.cluster.random.uniform(0.001, 0.05)
        self.cluster.simulation.after(delay, lambda: self.process.send(step))

    def join(self, room: str, session: str, ticket: str | None, *, holds: bool) -> None:
        if ticket is None:
            session = _unique(room, session)
            proof, words = None, {"type": "join", "room": room, "session": session}
        else:
            claims = jwt.decode(ticket, options={"verify_signature": False})
            room, session, proof = claims["room"], claims["session"], claims["epoch"]
            words = {"type": "join", "ticket": ticket}
        number = next(self.cluster.numbers)
        page = Page(self, number, room, session, proof=proof, holds=holds)
        self.pages.append(page)
        self.process.send(partial(self._join, page, json.dumps(words)))

    def _join(self, page: Page, words: str) -> None:
        if not self.ready:
            return
        takes_for = self.cluster.makers.holds
        holds = page.holds if takes_for is None else takes_for
        page.member = member = self.hub.membership.arrive(page, "192.0.2.1", holds=holds)
        self.hub.hearing.hear(member, [words])
        if member.admission is not None:
            self.nursery.start_soon(self.hub.admit, member)

    def notify(self, room: str, sender: str | None, id: str | None) -> None:
        sender = None if sender is None else _unique(room, sender)
        self.process.send(partial(self._begin_notify, room, sender, id))

    def _begin_notify(self, room: str, sender: str | None, id: str | None) -> None:
        if self.ready:
            number = next(self.cluster.numbers)
            self.note(Called(self.cluster.now, self.name, number, room, sender, id))
            self.nursery.start_soon(self._notify, number, room, sender, id)

    async def _notify(self, number: int, room: str, sender: str | None, id: str | None) -> None:
        cluster = self.cluster
        try:
            row = None if sender is None else _row(room, sender)
            outcome = await self.hub.notify(room, sender=sender, id=id, row=row)
        except LimitReached:
            self.note(Answered(cluster.now, number, None))
        except (LedgerError, Draining):
            self.note(Failed(cluster.now, number))
        except Conflict:
            self.note(Failed(cluster.now, number, is_conflict=True))
        else:
            vouching = frozenset(node.name for node in cluster.nodes if node.vouches)
            self.note(Answered(cluster.now, number, outcome.epoch, vouching))
            if outcome.ticket is not None and not self.dead:
                cluster.tickets.append(outcome.ticket)

    def release(self, room: str, session: str) -> None:
        """Have a session log out."""
        self.process.send(partial(self._begin_release, room, _unique(room, session)))

    def _begin_release(self, room: str, session: str) -> None:
        if self.ready:
            self.nursery.start_soon(self._release, room, session)

    async def _release(self, room: str, session: str) -> None:
        with suppress(LedgerError, Draining):
            await self.hub.release(room, session)

    def ask(self, room: str, session: str) -> None:
        self.process.send(partial(self._ask, room, _unique(room, session)))

    def _ask(self, room: str, session: str) -> None:
        if not self.ready or not self.hub.recognition.knows(room):
            return
        verdict = self.hub.check(room, session)
        cached = self.hub.recognition.cached(room)
        version = None if cached is None else cached.version
        if verdict.active or verdict.known:
            what = "yes" if verdict.active else "no"
            now, name = self.cluster.now, self.name
            self.note(Said(now, name, 0, room, session, what, version=version))

    def stop(self, seconds: float) -> None:
        """Stop the process, as SIGSTOP does."""
        self.process.stopped = True
        self.cluster.simulation.after(seconds, self._go_on)

    def _go_on(self) -> None:
        self.process.stopped = self.dead

    def mend(self) -> None:
        """Let all messages through in time, unless it is dead."""
        if not self.dead:
            self.engine.way = Way.BOTH
            self.engine.lag_there = self.engine.lag_back = 0.0

    def kill(self) -> None:
        if not self.dead:
            self.note(Killed(self.cluster.now, self.name))
            self.dead = self.process.stopped = True
            self.engine.leave()

    def drain(self) -> None:
        self.note(Drained(self.cluster.now, self.name))
        self.process.send(self._draining.set)


class Cluster:
    """Nodes around one database. All that is drawn is drawn from `random`."""

    def __init__(
        self,
        random: Random,
        *,
        config: Config = CONFIG,
        weather: Weather = Weather(),  # noqa: B008
        makers: Makers = Makers(),
    ) -> None:
        self.random = random
        self.config = config
        self.makers = makers
        self.simulation = Simulation()
        self.history = History(max_sessions=config.max_sessions, lease=LEASE)
        self.nodes: list[Node] = []
        self.tickets: list[str] = []
        self.numbers = count(1)
        database = makers.database(self.simulation.unix, keep_history=True)
        self.sea = Sea(self.simulation, database, random, weather)
        self.sea.on_commit = self._note_commit
        self.sea.on_report = lambda name, applied: self._note(Reported(self.now, name, applied))
        self.sea.on_removal = lambda *removed: self._note(Removed(self.now, *removed))
        self.sea.on_register = lambda name: self._note(Registered(self.now, name))
        if weather.lost:
            self._note(Fault(0.0, 1e9))

    @property
    def now(self) -> float:
        return self.simulation.now

    @property
    def alive(self) -> list[Node]:
        return [node for node in self.nodes if not node.dead and not node.process.ended]

    def _note(self, event: Event) -> None:
        self.history.events.append(event)

    def _note_commit(self, written: Transaction) -> None:
        entry = written.entry
        records = {write.room: write.record for write in written.won}
        ids = tuple(write.answer.id for write in written.won if write.answer is not None)
        find = self.sea.database.tables.find
        stored = {room: frozenset(row.id for row in find(OfRoom(room))) for room in records}
        self._note(Committed(self.now, entry.writer, entry.seq, records, ids, stored))

    def add_node(self) -> Node:
        """Start a node, with a clock that is a bit fast or slow, and off."""
        clock = SimulatedClock(
            self.simulation.read,
            rate=self.random.uniform(0.99, 1.01),
            offset=self.random.uniform(-20, 20),
        )
        node = Node(self, f"n{len(self.nodes)}", clock)
        self.nodes.append(node)
        node.start()
        return node

    def fault(self, seconds: float, node: Node | None = None) -> None:
        """Note that something is in the way from now on."""
        # What was written in doubt may be tried again a little later.
        until = self.now + seconds + 2.0
        self._note(Fault(self.now, until, None if node is None else node.name))

    def cut(self, node: Node, way: Way, seconds: float) -> None:
        """Let messages through in this way only."""
        self.fault(seconds)
        node.engine.way = way
        self.simulation.after(seconds, node.mend)

    def lag(self, node: Node, way: Way, seconds: float) -> None:
        """Have a node's commits, or the answers to them, come late for a while."""
        self.fault(seconds)
        lag = self.random.uniform(0.1, 0.4)
        if way is Way.THERE:
            node.engine.lag_there = lag
        else:
            node.engine.lag_back = lag
        self.simulation.after(seconds, node.mend)

    def be_away(self, seconds: float) -> None:
        """Have no engine for a while."""
        self.fault(seconds)
        self.sea.restart()
        self.sea.away = True
        self.simulation.after(seconds, lambda: setattr(self.sea, "away", False))

    def trim(self) -> None:
        """Delete all of the log that may be deleted, whoever has not read it."""
        self.fault(0.0)
        self.sea.database.trim_log()

    def fail_over(self, lose: int) -> None:
        """Have another engine, which may not have the last commits."""
        self.fault(1.0)
        for lost in self.sea.fail_over(lose):
            self._note(Lost(self.now, lost.entry.writer, lost.entry.seq))

    def settle(self, seconds: float) -> None:
        """Have no more faults, let everything come to rest, and note how it is then."""
        self.sea.weather = attrs.evolve(self.sea.weather, lost=0.0)
        self.simulation.run(seconds)
        stored, _ = self.sea.database.read(self.history.rooms())
        versions = {room: versioned.version for room, versioned in stored.items()}
        cached = {}
        for node in self.alive:
            if node.ready:
                rooms = {page.room for page in node.pages if _is_joined(page)}
                standings = {room: node.hub.recognition.cached(room) for room in rooms}
                cached[node.name] = {
                    room: standing.version if standing else None
                    for room, standing in standings.items()
                }
        self._note(Settled(self.now, versions, cached))

    def close(self) -> None:
        """End all processes."""
        for node in self.nodes:
            node.dead = True
        self.sea.away = True
        self.simulation.close()


def _is_joined(page: Page) -> bool:
    return page.member is not None and page.member.state is State.JOINED


@contextmanager
def simulated(random: Random, nodes: int = 3, **more: Any) -> Iterator[Cluster]:
    """Run a cluster, and end it."""
    cluster = Cluster(random, **more)
    try:
        for _ in range(nodes):
            cluster.add_node()
        cluster.simulation.run(1.0)
        yield cluster
    finally:
        cluster.close()
