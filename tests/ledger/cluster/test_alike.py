"""The engine in memory and the one in PostgreSQL, step by step: each result of both is the same."""

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sse_trio.ledger.cluster.engine import Batch, Engine, Expelled, Poll, Registered, Told, Write
from sse_trio.ledger.proposals import Lost, Version, Won
from sse_trio.ledger.sessions import OfRoom, SessionChanges

from ...postgres import Server
from .engines import MemoryCluster, in_postgres
from .test_engines import answer, record, session

NODES, ROOMS, IDS = ("a", "b", "c"), ("u1", "u2", "ü", "u\\"), ("x", "y")
NEVER, ALWAYS = 0.0, 1e12

nodes, rooms, ids = map(st.sampled_from, (NODES, ROOMS, IDS))
# What a writer expects: what is true, what was, what another room has, or nothing.
expected = st.sampled_from(("current", "current", "older", "other", "none"))
records = st.none() | st.builds(record, st.integers(1, 3), st.sampled_from((1.0, 2.5, 9e5)))
sessions = st.sampled_from(("s1", "s2", "s3"))
named = st.builds("{}{}".format, rooms, sessions)
moments = st.sampled_from((1.0, 2.5, 3.0))
changed = st.builds(
    SessionChanges,
    created=st.none()
    | st.builds(session, sessions, epoch=st.integers(1, 3), created=moments, seen=moments),
    ended=st.lists(sessions, max_size=2),
    kept=st.lists(sessions, max_size=2),
    epoch=st.integers(0, 4),
    ended_below=st.integers(0, 4),
    notified=moments,
    latest=moments,
)
swaps = st.tuples(rooms, expected, records, st.none() | ids, st.none() | changed)
batches = st.lists(swaps, max_size=4, unique_by=lambda swap: swap[0])
told = st.lists(
    st.builds(
        Told, nodes, st.integers(1, 2), rooms, nodes, st.just(1), st.integers(0, 1), st.booleans()
    ),
    max_size=2,
    unique_by=lambda each: (each.writer, each.seq, each.room, each.node),
)
positions = st.dictionaries(nodes, st.integers(0, 3))
steps: SearchStrategy[tuple[Any, ...]] = (
    st.tuples(st.just("register"), nodes)
    | st.tuples(st.just("commit"), nodes, batches, st.booleans())
    | st.tuples(st.just("commit"), nodes, batches, st.booleans())
    | st.tuples(st.just("again"), nodes)
    | st.tuples(st.just("poll"), nodes, positions, st.lists(st.tuples(nodes, st.integers(1, 2))))
    | st.tuples(st.just("anchored"), positions)
    | st.tuples(st.just("report"), nodes, positions, told)
    | st.tuples(st.just("expel"), nodes, st.integers(0, 2))
    | st.tuples(st.just("set_draining"), nodes)
    | st.tuples(st.just("deregister"), nodes)
    | st.tuples(st.just("overdue"), st.sampled_from((2.0, 3.0, ALWAYS)), st.integers(1, 3))
    | st.tuples(st.just("trim"), st.sampled_from((NEVER, 1000.5, ALWAYS)))
    | st.tuples(st.just("see_sessions"), st.dictionaries(named, st.tuples(moments, ids)))
)


@attrs.define(eq=False)
class Both:
    """The two engines, and what their writers have done so far."""

    real: Engine
    model: Engine
    memory: MemoryCluster
    versions: dict[str, list[Version]] = attrs.Factory(dict)
    last: dict[str, Batch] = attrs.Factory(dict)

    async def ask(self, call: Callable[[Engine], Awaitable[Any]]) -> Any:
        """Return the result of both; the clock and the name of the engine are its own."""
        real = await outcome(call, self.real)
        # So new rooms count from the same moment.
        self.memory.now = getattr(real, "wall", self.memory.now)
        model = await outcome(call, self.model)
        assert same(real) == same(model)
        return real

    async def take(self, kind: str, *arguments: Any) -> None:
        if kind == "register":
            (node,) = arguments
            registered = await self.ask(lambda e: e.register(node, address="x:1", software="1"))
            if isinstance(registered, Registered):
                self.last.pop(node, None)
        elif kind == "commit":
            await self.commit(*arguments)
        elif kind == "again":
            if (batch := self.last.get(arguments[0])) is not None:
                await self.ask(lambda e: e.commit(batch))
        else:
            await self.ask(lambda e: getattr(e, kind)(*arguments))

    async def commit(self, node: str, swaps: list[tuple[Any, ...]], renews: bool) -> None:
        writes = [
            Write(
                room,
                self.expected(room, which),
                record,
                named and answer(named, room),
                changed and in_room(room, changed),
            )
            for room, which, record, named, changed in swaps
        ]
        last = self.last.get(node)
        batch = Batch(node, 1 if last is None else last.seq + 1, writes, renews)
        committed = await self.ask(lambda e: e.commit(batch))
        if committed is Expelled:
            return
        self.last[node] = batch
        for write, result in zip(writes, committed.results, strict=True):
            known = self.versions.setdefault(write.room, [])
            if isinstance(result, Won) and result.version is not None:
                known.append(result.version)
            elif isinstance(result, Lost) and result.current is not None:
                known.append(result.current.version)

    def expected(self, room: str, which: str) -> Version | None:
        known = self.versions.get(room, [])
        if which == "other":
            known = [version for each in self.versions.values() for version in each]
        if which == "older":
            known = known[:-1]
        return known[-1] if known and which != "none" else None


def in_room(room: str, changes: SessionChanges) -> SessionChanges:
    row = changes.created
    # What one room's login is called, no other room's is.
    own = row and attrs.evolve(row, id=f"{room}{row.id}", room=room)
    ended, kept = ([f"{room}{one}" for one in ones] for ones in (changes.ended, changes.kept))
    return attrs.evolve(changes, created=own, ended=ended, kept=kept)


async def outcome(call: Callable[[Engine], Awaitable[Any]], engine: Engine) -> Any:
    try:
        return await call(engine)
    except (Expelled, ValueError) as error:
        return type(error)


def same(result: Any) -> Any:
    if isinstance(result, Poll):
        result = attrs.evolve(
            result, entries=list(result.entries), nodes=list(result.nodes), told=list(result.told)
        )
    if hasattr(result, "wall"):
        result = attrs.evolve(result, wall=0, identity=None)
    return result


@given(st.lists(steps, min_size=5, max_size=30))
@settings(max_examples=40)
def test_they_are_alike(postgres: Server, taken: list[tuple[Any, ...]]) -> None:
    async def compare() -> None:
        memory = MemoryCluster()
        async with in_postgres(postgres, "alike") as cluster:
            both = Both(await cluster.engine(), await memory.engine(), memory)
            for node in NODES[:2]:
                await both.take("register", node)
            for step in taken:
                await both.take(*step)
            for room in ROOMS:
                found, _ = await both.real.read([room])
                assert found == (await both.model.read([room]))[0]
                rows, _ = await both.real.find_sessions(OfRoom(room))
                same_rows, _ = await both.model.find_sessions(OfRoom(room))
                assert set(rows) == set(same_rows)
            await both.take("poll", "a", {}, [(node, seq) for node in NODES for seq in (1, 2)])

    trio.run(compare)
