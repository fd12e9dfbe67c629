"""Nodes on an engine that can be away, slow, or lose its answers; and the hub of each."""

from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import attrs
import trio

from sse_trio.config import Config
from sse_trio.core.notify import Answer
from sse_trio.core.standing import Standing
from sse_trio.ledger.cluster.changes import Changes
from sse_trio.ledger.cluster.context import Context, Settings
from sse_trio.ledger.cluster.engine import (
    Batch,
    Committed,
    EngineError,
    Poll,
    Registered,
    Told,
)
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine
from sse_trio.ledger.proposals import Swap, Version, Versioned
from sse_trio.ledger.sessions import Wanted

T = TypeVar("T")

START = 1.7e9


def wall() -> float:
    return START + trio.current_time()


def database() -> MemoryDatabase:
    return MemoryDatabase(wall, keep_history=True)


class Faulty(MemoryEngine):
    """An engine that does, call by call, what its faults say."""

    def __init__(self, database: MemoryDatabase) -> None:
        super().__init__(database)
        self.away: set[str] = set()
        """Calls that fail and do nothing."""
        self.deaf: set[str] = set()
        """Calls that are carried out, but their answers are lost."""
        self.delays: dict[str, float] = {}
        """Seconds until a call is carried out."""
        self.replies: dict[str, float] = {}
        """Seconds from then until it answers."""
        self.calls: list[tuple[str, Any]] = []

    def of(self, name: str) -> list[Any]:
        """Return what calls of one kind were made with."""
        return [argument for called, argument in self.calls if called == name]

    async def _call(self, name: str, argument: object, call: Awaitable[T]) -> T:
        self.calls.append((name, argument))
        try:
            await trio.sleep(self.delays.get(name, 0))
            if name in self.away:
                raise EngineError(f"no {name}")
            result = await call
        finally:
            call.close()  # type: ignore[attr-defined]
        await trio.sleep(self.replies.get(name, 0))
        if name in self.deaf:
            raise EngineError(f"no answer to {name}")
        return result

    async def register(self, node: str, *, address: str, software: str) -> Registered:
        call = super().register(node, address=address, software=software)
        return await self._call("register", node, call)

    async def commit(self, batch: Batch) -> Committed:
        return await self._call("commit", batch, super().commit(batch))

    async def poll(
        self, node: str, position: Mapping[str, int], told: Collection[tuple[str, int]]
    ) -> Poll:
        call = super().poll(node, position, told)
        return await self._call("poll", (dict(position), list(told)), call)

    async def anchored(self, position: Mapping[str, int]) -> bool:
        return await self._call("anchored", dict(position), super().anchored(position))

    async def hinted(self) -> None:
        await self._call("hinted", None, super().hinted())

    async def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        call = super().report(node, applied, told)
        await self._call("report", (dict(applied), told), call)

    async def read(self, rooms: Collection[str]) -> Any:
        return await self._call("read", list(rooms), super().read(rooms))

    async def expel(self, node: str, beat: int) -> bool:
        return await self._call("expel", node, super().expel(node, beat))

    async def set_draining(self, node: str) -> None:
        await self._call("set_draining", node, super().set_draining(node))

    async def deregister(self, node: str) -> None:
        await self._call("deregister", node, super().deregister(node))

    async def overdue(self, before: float, limit: int) -> Mapping[str, Version]:
        return await self._call("overdue", before, super().overdue(before, limit))

    async def trim(self, before: float) -> None:
        await self._call("trim", before, super().trim(before))

    async def find_sessions(self, wanted: Wanted) -> Any:
        return await self._call("find_sessions", wanted, super().find_sessions(wanted))

    async def issuers(self) -> Collection[tuple[str, str]]:
        return await self._call("issuers", None, super().issuers())

    async def see_sessions(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        await self._call("see_sessions", contacts, super().see_sessions(contacts))

    async def read_keys(self) -> Any:
        return await self._call("read_keys", None, super().read_keys())

    async def rotate_keys(self, kid: str, secret: bytes, *, newest: str | None, most: int) -> bool:
        call = super().rotate_keys(kid, secret, newest=newest, most=most)
        return await self._call("rotate_keys", newest, call)

    async def replace_keys(self, kid: str, secret: bytes) -> None:
        await self._call("replace_keys", kid, super().replace_keys(kid, secret))


ALL = {"register", "commit", "poll", "anchored", "hinted", "report", "read", "expel"} | {
    *("set_draining", "deregister", "overdue", "trim", "find_sessions", "issuers", "see_sessions"),
    *("read_keys", "rotate_keys", "replace_keys"),
}


@attrs.define
class Count:
    """Whom a hub has told about an entry."""

    terminated_here: int = 0
    acked_here: int = 0
    finished: bool = True


@attrs.define(eq=False)
class Node:
    """A node with a hub that applies what it is given, unless it is stuck."""

    name: str
    engine: Faulty
    ledger: ClusterLedger
    got: list[Changes] = attrs.Factory(list)
    counts: dict[tuple[str, int, str], Count] = attrs.Factory(dict)
    is_stuck: bool = False

    async def apply(self) -> None:
        async for changes in self.ledger.changes():
            self.got.append(changes)
            if not self.is_stuck:
                changed = [(e.writer, e.seq, room) for e in changes.entries for room in e.rooms]
                changes.applied({c: self.counts[c] for c in changed if c in self.counts})

    @property
    def entries(self) -> list[tuple[str, int]]:
        """What it was told of others' entries."""
        return [(e.writer, e.seq) for changes in self.got for e in changes.entries]


def names(name: str) -> Iterator[str]:
    """Yield a name, and others when it is registered anew."""
    yield name
    count = 1
    while True:
        count += 1
        yield f"{name}{count}"


@asynccontextmanager
async def node(
    database: MemoryDatabase,
    name: str = "a",
    *,
    engine: Faulty | None = None,
    local: Any = wall,
    **settings: Any,
) -> AsyncIterator[Node]:
    """Run a node, by Trio's clock; it vouches when this begins."""
    engine = engine or Faulty(database)
    opened = ClusterLedger.open(
        engine,
        Settings(**{"lease": 6.0, **settings}),
        clock=trio.current_time,
        local=local,
        jitter=lambda: 1.0,
        new_name=names(name).__next__,
    )
    async with opened as ledger, trio.open_nursery() as nursery:
        node = Node(name, engine, ledger)
        nursery.start_soon(node.apply)
        await ledger.restored()
        yield node
        nursery.cancel_scope.cancel()


def context(engine: MemoryEngine) -> Context:
    """Return one for the tasks of a node that are tested alone."""
    return Context(engine, Settings(), clock=trio.current_time, local=wall, jitter=lambda: 1.0)


def standing(epoch: int = 1, touched: float = START) -> Standing:
    return Standing(Config(), epoch=epoch, touched=touched)


def answer(id: str, room: str = "u1") -> Answer:
    return Answer(id, room, "s1", "s1", 1, terminated=2, at=wall())


def swap(room: str = "u1", expected: Version | None = None, **more: Any) -> Swap:
    return Swap(room, standing(), expected, **{"won": lambda _: None, **more})


def stored(database: MemoryDatabase) -> Mapping[str, Versioned]:
    return database.snapshot().rooms


def registered(database: MemoryDatabase) -> set[str]:
    return set(database.snapshot().nodes)
