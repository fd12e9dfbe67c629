"""An engine in memory: what nodes of one process share, in tests and simulations.

It does what PostgreSQL does, and is compared with it. Each call is one step of `MemoryDatabase`,
without an await, so that a simulator decides what happens before and after: it derives from
`MemoryEngine` and delays, loses an answer, or takes the database back to an earlier `snapshot`.
There is no clock in it: `clock` says the time, in Unix seconds.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

import attrs
import trio

from ...values import frozen
from ..proposals import Lost, Repeated, Result, Version, Versioned, Won
from ..sessions import KeyRow, SessionRow, Wanted
from .engine import (
    MAX_ENTRIES,
    MAX_ROOMS,
    Batch,
    Committed,
    Entry,
    Expelled,
    Identity,
    Node,
    Poll,
    Registered,
    Told,
    Write,
)
from .memory_tables import MemoryTables


@frozen
class Transaction:
    """A batch as it was committed."""

    entry: Entry
    won: Sequence[Write]
    versions: Mapping[str, Version | None] = attrs.field(repr=False)
    """What those that won have made of their rooms; None for one that was forgotten."""
    at: float


@frozen
class Snapshot:
    """The whole of a database, at one moment."""

    rooms: Mapping[str, Versioned] = attrs.field(repr=False)
    log: Mapping[tuple[str, int], Transaction] = attrs.field(repr=False)
    answers: Mapping[str, Repeated] = attrs.field(repr=False)
    nodes: Mapping[str, Node]
    told: Mapping[tuple[str, int, str, str], tuple[float, Told]]
    tables: MemoryTables
    committed: int
    highest: int


class MemoryDatabase:
    """What the nodes share. With `keep_history`, also every transaction, in `history`."""

    def __init__(self, clock: Callable[[], float], *, keep_history: bool = False) -> None:
        self.clock = clock
        self.identity = Identity("memory", 1)
        self.history: list[Transaction] | None = [] if keep_history else None
        self.committed = 0
        """How many transactions there were."""
        self.written = trio.Event()
        """Set, and replaced by another one, whenever there is something new."""
        self._rooms: dict[str, Versioned] = {}
        self._log: dict[tuple[str, int], Transaction] = {}
        self._answers: dict[str, Repeated] = {}
        self._nodes: dict[str, Node] = {}
        self._told: dict[tuple[str, int, str, str], tuple[float, Told]] = {}
        self.tables = MemoryTables()
        # The highest count of a room that was forgotten: virtual time may stand still meanwhile.
        self._highest = 0

    def snapshot(self) -> Snapshot:
        """Return what there is."""
        return Snapshot(
            self._rooms.copy(),
            self._log.copy(),
            self._answers.copy(),
            self._nodes.copy(),
            self._told.copy(),
            self.tables.copy(),
            self.committed,
            self._highest,
        )

    def fail_over(self, to: Snapshot | None = None) -> list[Transaction]:
        """Become another engine; with a snapshot, what was committed since is lost.

        Returns the transactions that are lost, if there is a history.
        """
        self.identity = attrs.evolve(self.identity, timeline=self.identity.timeline + 1)
        if to is None:
            return []
        self._rooms = dict(to.rooms)
        self._log = dict(to.log)
        self._answers = dict(to.answers)
        self._nodes = dict(to.nodes)
        self._told = dict(to.told)
        self.tables = to.tables.copy()
        self.committed = to.committed
        self._highest = to.highest
        if self.history is None:
            return []
        lost = self.history[to.committed :]
        del self.history[to.committed :]
        return lost

    def register(self, node: str, *, address: str, software: str) -> Registered:
        """See `Engine.register`."""
        position: dict[str, int] = {}
        for writer, seq in self._log:
            position[writer] = max(seq, position.get(writer, 0))
        if node in self._nodes or node in position:
            raise ValueError("the name of a node was used before")
        self._nodes[node] = Node(node, 0, {}, False, address, software)
        return Registered(position, self.identity, self.clock())

    def commit(self, batch: Batch) -> Committed:
        """See `Engine.commit`."""
        written = self._log.get((batch.writer, batch.seq))
        if written is None:
            written = self._write(batch)
        results = [self._result(write, written) for write in batch.writes]
        is_alone = self._nodes.keys() <= {batch.writer}
        return Committed(results, self.identity, self.clock(), is_alone)

    def _write(self, batch: Batch) -> Transaction:
        node = self._nodes.get(batch.writer)
        if node is None:
            raise Expelled
        if batch.renews:
            self._nodes[node.name] = attrs.evolve(node, beat=node.beat + 1)
        now = self.clock()
        won: list[Write] = []
        versions: dict[str, Version | None] = {}
        epochs: dict[str, int] = {}
        for write in batch.writes:
            answer = write.answer
            if self._version(write.room) != write.expected:
                continue
            if answer is not None:
                if answer.id in self._answers:
                    continue
                self._answers[answer.id] = Repeated(attrs.evolve(answer), batch.writer, batch.seq)
            won.append(write)
            versions[write.room] = self._swap(write, batch, now)
            epochs[write.room] = -1 if write.record is None else write.record.epoch
            if write.sessions is not None:
                self.tables.change(write.room, write.sessions)
        entry = Entry(batch.writer, batch.seq, epochs)
        written = Transaction(entry, won, versions, now)
        self._log[batch.writer, batch.seq] = written
        self.committed += 1
        if self.history is not None:
            self.history.append(written)
        self._tell()
        return written

    def _version(self, room: str) -> Version | None:
        found = self._rooms.get(room)
        return None if found is None else found.version

    def _swap(self, write: Write, batch: Batch, now: float) -> Version | None:
        """Write one room; return its new version."""
        old = 0 if write.expected is None else write.expected.count
        if write.record is None:
            self._rooms.pop(write.room, None)
            self._highest = max(self._highest, old)
            return None
        count = old + 1 if old else max(round(now * 1e6), self._highest + 1)
        version = Version(count, batch.writer, batch.seq)
        self._rooms[write.room] = Versioned(version, write.record)
        return version

    def _result(self, write: Write, written: Transaction) -> Result:
        """Say what has become of a write: whether it won was decided once."""
        if write.room in written.versions:
            return Won(written.versions[write.room])
        if write.answer is not None and write.answer.id in self._answers:
            return self._answers[write.answer.id]
        return Lost(self._rooms.get(write.room))

    def poll(
        self, node: str, position: Mapping[str, int], told: Collection[tuple[str, int]]
    ) -> Poll:
        """See `Engine.poll`."""
        news = sorted(key for key in self._log if key[1] > position.get(key[0], 0))
        entries = [self._log[key].entry for key in news[:MAX_ENTRIES]]
        rooms = [room for entry in entries if entry.writer != node for room in entry.rooms]
        counts = (
            each for (writer, seq, _, _), (_, each) in sorted(self._told.items())
            if (writer, seq) in told
        )  # fmt: skip
        return Poll(
            entries,
            [self._nodes[name] for name in sorted(self._nodes)],
            list(counts),
            self.identity,
            self.clock(),
            {room: self._rooms.get(room) for room in rooms} if len(rooms) <= MAX_ROOMS else {},
        )

    def anchored(self, position: Mapping[str, int]) -> bool:
        """See `Engine.anchored`."""
        return all(item in self._log for item in position.items() if item[1] > 0)

    def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        """See `Engine.report`."""
        if node not in self._nodes:
            raise Expelled
        self._nodes[node] = attrs.evolve(self._nodes[node], applied=dict(applied))
        for each in told:
            self._told[each.writer, each.seq, each.room, each.node] = (self.clock(), each)
        self._tell()

    def read(self, rooms: Collection[str]) -> tuple[Mapping[str, Versioned], Identity]:
        """See `Engine.read`."""
        return {room: self._rooms[room] for room in rooms if room in self._rooms}, self.identity

    def expel(self, node: str, beat: int) -> bool:
        """See `Engine.expel`."""
        found = self._nodes.get(node)
        if found is not None and found.beat == beat:
            del self._nodes[node]
        return node not in self._nodes

    def set_draining(self, node: str) -> None:
        """See `Engine.set_draining`."""
        if node in self._nodes:
            self._nodes[node] = attrs.evolve(self._nodes[node], draining=True)

    def deregister(self, node: str) -> None:
        """See `Engine.deregister`."""
        self._nodes.pop(node, None)

    def overdue(self, before: float, limit: int) -> Mapping[str, Version]:
        """See `Engine.overdue`."""
        found = sorted(
            (versioned.record.touched, room)
            for room, versioned in self._rooms.items()
            if versioned.record.touched < before
        )
        return {room: self._rooms[room].version for _, room in islice(found, limit)}

    def trim(self, before: float) -> None:
        """See `Engine.trim`."""
        self._answers = {i: kept for i, kept in self._answers.items() if kept.answer.at >= before}
        self._told = {key: kept for key, kept in self._told.items() if kept[0] >= before}
        last = {writer: seq for writer, seq in sorted(self._log) if writer in self._nodes}
        self._log = {
            key: written
            for key, written in self._log.items()
            if written.at >= before or last.get(key[0]) == key[1]
        }

    def _tell(self) -> None:
        self.written.set()
        self.written = trio.Event()


class MemoryEngine:
    """The database, as one node has it."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database
        self._written = database.written

    async def register(self, node: str, *, address: str, software: str) -> Registered:
        """See `Engine.register`."""
        await trio.lowlevel.checkpoint()
        return self.database.register(node, address=address, software=software)

    async def commit(self, batch: Batch) -> Committed:
        """See `Engine.commit`."""
        await trio.lowlevel.checkpoint()
        return self.database.commit(batch)

    async def poll(
        self, node: str, position: Mapping[str, int], told: Collection[tuple[str, int]]
    ) -> Poll:
        """See `Engine.poll`."""
        await trio.lowlevel.checkpoint()
        return self.database.poll(node, position, told)

    async def anchored(self, position: Mapping[str, int]) -> bool:
        """See `Engine.anchored`."""
        await trio.lowlevel.checkpoint()
        return self.database.anchored(position)

    async def hinted(self) -> None:
        """See `Engine.hinted`. What was written since the last time it returned counts."""
        await self._written.wait()
        self._written = self.database.written

    async def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        """See `Engine.report`."""
        await trio.lowlevel.checkpoint()
        self.database.report(node, applied, told)

    async def read(self, rooms: Collection[str]) -> tuple[Mapping[str, Versioned], Identity]:
        """See `Engine.read`."""
        await trio.lowlevel.checkpoint()
        return self.database.read(rooms)

    async def expel(self, node: str, beat: int) -> bool:
        """See `Engine.expel`."""
        await trio.lowlevel.checkpoint()
        return self.database.expel(node, beat)

    async def set_draining(self, node: str) -> None:
        """See `Engine.set_draining`."""
        await trio.lowlevel.checkpoint()
        self.database.set_draining(node)

    async def deregister(self, node: str) -> None:
        """See `Engine.deregister`."""
        await trio.lowlevel.checkpoint()
        self.database.deregister(node)

    async def overdue(self, before: float, limit: int) -> Mapping[str, Version]:
        """See `Engine.overdue`."""
        await trio.lowlevel.checkpoint()
        return self.database.overdue(before, limit)

    async def trim(self, before: float) -> None:
        """See `Engine.trim`."""
        await trio.lowlevel.checkpoint()
        self.database.trim(before)

    async def find_sessions(self, wanted: Wanted) -> tuple[Sequence[SessionRow], Identity]:
        """See `Engine.find_sessions`."""
        await trio.lowlevel.checkpoint()
        return self.database.tables.find(wanted), self.database.identity

    async def issuers(self) -> Collection[tuple[str, str]]:
        """See `Engine.issuers`."""
        await trio.lowlevel.checkpoint()
        return self.database.tables.issuers()

    async def see_sessions(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        """See `Engine.see_sessions`."""
        await trio.lowlevel.checkpoint()
        self.database.tables.see(contacts)

    async def read_keys(self) -> tuple[Sequence[KeyRow], Identity]:
        """See `Engine.read_keys`."""
        await trio.lowlevel.checkpoint()
        return self.database.tables.keys, self.database.identity

    async def rotate_keys(self, kid: str, secret: bytes, *, newest: str | None, most: int) -> bool:
        """See `Engine.rotate_keys`."""
        await trio.lowlevel.checkpoint()
        key = KeyRow(kid, secret, self.database.clock())
        return self.database.tables.rotate(key, newest=newest, most=most)

    async def replace_keys(self, kid: str, secret: bytes) -> None:
        """See `Engine.replace_keys`."""
        await trio.lowlevel.checkpoint()
        self.database.tables.replace(KeyRow(kid, secret, self.database.clock()))
