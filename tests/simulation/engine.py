"""A hostile engine: what lies between the nodes and the database that they share.

Each call is a message there and a message back. Either takes a time that is drawn, so answers
overtake one another. A message may get lost; then the node gets an error after a while, and does
not know whether what it has written was. A node can be cut off in either direction; the database
can restart, be away, fail over, and lose its last commits by that.

It does not show an old primary that takes commits beside the new one: fencing is the engine's.
"""

import enum
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from random import Random
from typing import Any, TypeVar

import attrs
import outcome
import trio

from sse_trio.ledger.cluster.engine import (
    Batch,
    Committed,
    EngineError,
    Identity,
    Poll,
    Registered,
    Told,
)
from sse_trio.ledger.cluster.memory import MemoryDatabase, Snapshot, Transaction
from sse_trio.ledger.proposals import Version, Versioned
from sse_trio.ledger.sessions import KeyRow, SessionRow, Wanted

from .clocks import Process, Simulation

T = TypeVar("T")

# How many of the last commits a failover can lose.
MAX_LOST = 8


class Database(MemoryDatabase):
    """The database, as an operator has it too."""

    def trim_log(self) -> None:
        """Delete all of the log that may be deleted, whoever has not read it."""
        answers = self._answers
        self.trim(self.clock())
        self._answers = answers


class Way(enum.Flag):
    """In which direction messages get through."""

    NONE = 0
    THERE = enum.auto()
    BACK = enum.auto()
    BOTH = THERE | BACK


@attrs.frozen
class Weather:
    """How bad the network is. Times are seconds."""

    fastest: float = 0.0002
    usual: float = 0.003
    slowest: float = 0.3
    slow: float = 0.02
    """How many of the messages take up to the slowest time."""
    lost: float = 0.0
    """How many get lost."""
    patience: float = 2.0
    """After which time a node is told that its connection is broken, at the latest."""


@attrs.define(eq=False)
class Sea:
    """The network around one database. All that is drawn is drawn from `random`."""

    simulation: Simulation
    database: Database
    random: Random
    weather: Weather = Weather()
    engines: list["HostileEngine"] = attrs.Factory(list)
    away: bool = False
    on_commit: Callable[[Transaction], object] = lambda _: None
    on_report: Callable[[str, Mapping[str, int]], object] = lambda *_: None
    on_removal: Callable[[str, bool], object] = lambda *_: None
    """Called with a node's name, and whether it was expelled."""
    on_register: Callable[[str], object] = lambda _: None
    _before: deque[Snapshot] = attrs.field(factory=lambda: deque(maxlen=MAX_LOST))

    def delay(self) -> float:
        """Draw how long a message takes."""
        weather = self.weather
        if self.random.random() < weather.slow:
            return self.random.uniform(weather.usual, weather.slowest)
        return self.random.uniform(weather.fastest, weather.usual)

    def is_lost(self) -> bool:
        """Draw whether a message gets lost."""
        return self.random.random() < self.weather.lost

    def commit(self, batch: Batch) -> Committed:
        before = self.database.snapshot()
        committed = self.database.commit(batch)
        if self.database.committed > before.committed:
            self._before.append(before)
            assert self.database.history is not None
            self.on_commit(self.database.history[-1])
            self.hint()
        return committed

    def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        self.database.report(node, applied, told)
        self.on_report(node, applied)
        self.hint()

    def register(self, node: str, *, address: str, software: str) -> Registered:
        registered = self.database.register(node, address=address, software=software)
        self.on_register(node)
        return registered

    def expel(self, node: str, beat: int) -> bool:
        is_gone = self.database.expel(node, beat)
        if is_gone:
            self.on_removal(node, True)
        return is_gone

    def deregister(self, node: str) -> None:
        self.database.deregister(node)
        self.on_removal(node, False)

    def hint(self) -> None:
        """Have every node that listens hear, some time later or never."""
        for engine in self.engines:
            if not self.is_lost():
                self.simulation.after(self.delay(), engine.hear)

    def restart(self) -> None:
        """Break all connections: what was on its way there is not done."""
        for engine in self.engines:
            engine.break_off()

    def fail_over(self, lose: int = 0) -> list[Transaction]:
        """Become another engine, without the last few commits; return those."""
        self.restart()
        if not lose or not self._before:
            self.database.fail_over()
            return []
        lose = min(lose, len(self._before))
        lost = self.database.fail_over(self._before[-lose])
        for _ in range(lose):
            self._before.pop()
        return lost


class _Call:
    """One exchange of a node with the database."""

    def __init__(self) -> None:
        self.is_broken = False
        self.answer: outcome.Outcome[Any] | None = None
        self.answered = trio.Event()

    def give(self, answer: outcome.Outcome[Any]) -> None:
        if self.answer is None:
            self.answer = answer
            self.answered.set()


class HostileEngine:
    """The database, as one node has it, over a bad network."""

    def __init__(self, sea: Sea) -> None:
        self.way = Way.BOTH
        self.lag_there = self.lag_back = 0.0
        """Seconds by which commits are late, and the answers to them."""
        self.process: Process | None = None
        """Set before anything is called."""
        self._sea = sea
        self._database = sea.database
        self._calls: set[_Call] = set()
        self._heard = trio.Event()
        sea.engines.append(self)

    def leave(self) -> None:
        """Be as if there was no node any more: it was killed."""
        self.way = Way.NONE
        self._sea.engines.remove(self)

    def hear(self) -> None:
        """Have the node hear a hint."""
        if Way.BACK in self.way:
            self._send(self._heard.set)

    def break_off(self) -> None:
        """Have all calls fail that are under way."""
        for call in list(self._calls):
            call.is_broken = True
            self._fail(call, "the connection was broken")

    async def _call(self, do: Callable[[], T], there: float = 0.0, back: float = 0.0) -> T:
        sea, call = self._sea, _Call()
        self._calls.add(call)
        if sea.away:
            sea.simulation.after(sea.delay(), partial(self._fail, call, "there is no engine"))
        else:
            sea.simulation.after(sea.delay() + there, partial(self._arrive, call, do, back))
            late = sea.weather.patience * sea.random.uniform(0.5, 1.0)
            sea.simulation.after(late, partial(self._fail, call, "no answer"))
        try:
            await call.answered.wait()
        finally:
            self._calls.discard(call)
        assert call.answer is not None
        return call.answer.unwrap()  # type: ignore[no-any-return]

    def _arrive(self, call: _Call, do: Callable[[], T], back: float) -> None:
        """Carry out a call at the database, unless it does not get there."""
        sea = self._sea
        if call.is_broken or sea.away or Way.THERE not in self.way or sea.is_lost():
            return
        answer = outcome.capture(do)
        if not sea.is_lost():
            sea.simulation.after(sea.delay() + back, partial(self._return, call, answer))

    def _return(self, call: _Call, answer: outcome.Outcome[T]) -> None:
        if Way.BACK in self.way:
            self._send(partial(call.give, answer))

    def _fail(self, call: _Call, why: str) -> None:
        if call in self._calls:
            self._send(partial(call.give, outcome.Error(EngineError(why))))

    def _send(self, step: Callable[[], object]) -> None:
        if self.process is not None:
            self.process.send(step)

    async def register(self, node: str, *, address: str, software: str) -> Registered:
        do = partial(self._sea.register, node, address=address, software=software)
        return await self._call(do)

    async def commit(self, batch: Batch) -> Committed:
        do = partial(self._sea.commit, batch)
        return await self._call(do, self.lag_there, self.lag_back)

    async def poll(
        self, node: str, position: Mapping[str, int], told: Collection[tuple[str, int]]
    ) -> Poll:
        return await self._call(partial(self._database.poll, node, dict(position), list(told)))

    async def anchored(self, position: Mapping[str, int]) -> bool:
        return await self._call(partial(self._database.anchored, dict(position)))

    async def hinted(self) -> None:
        await self._heard.wait()
        self._heard = trio.Event()

    async def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        await self._call(partial(self._sea.report, node, dict(applied), list(told)))

    async def read(self, rooms: Collection[str]) -> tuple[Mapping[str, Versioned], Identity]:
        return await self._call(partial(self._database.read, list(rooms)))

    async def expel(self, node: str, beat: int) -> bool:
        return await self._call(partial(self._sea.expel, node, beat))

    async def set_draining(self, node: str) -> None:
        await self._call(partial(self._database.set_draining, node))

    async def deregister(self, node: str) -> None:
        await self._call(partial(self._sea.deregister, node))

    async def overdue(self, before: float, limit: int) -> Mapping[str, Version]:
        return await self._call(partial(self._database.overdue, before, limit))

    async def trim(self, before: float) -> None:
        await self._call(partial(self._database.trim, before))

    async def find_sessions(self, wanted: Wanted) -> tuple[Sequence[SessionRow], Identity]:
        database = self._database
        return await self._call(lambda: (database.tables.find(wanted), database.identity))

    async def issuers(self) -> Collection[tuple[str, str]]:
        return await self._call(self._database.tables.issuers)

    async def see_sessions(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        await self._call(partial(self._database.tables.see, contacts))

    async def read_keys(self) -> tuple[Sequence[KeyRow], Identity]:
        return await self._call(lambda: (self._database.tables.keys, self._database.identity))

    async def rotate_keys(self, kid: str, secret: bytes, *, newest: str | None, most: int) -> bool:
        key = KeyRow(kid, secret, self._database.clock())
        rotate = partial(self._database.tables.rotate, key, newest=newest, most=most)
        return await self._call(rotate)

    async def replace_keys(self, kid: str, secret: bytes) -> None:
        key = KeyRow(kid, secret, self._database.clock())
        await self._call(partial(self._database.tables.replace, key))
