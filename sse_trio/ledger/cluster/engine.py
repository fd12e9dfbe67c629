"""What several nodes need of the database that they share: the *engine*.

A node writes in batches, and its batches are numbered: 1, 2, 3, … without a gap. One batch is one
transaction. It changes rooms by compare-and-swap, and leaves one entry in the log, which names the
rooms that it has changed. All nodes read the log. The engine compares versions, and knows no rule
about sessions.

Each call below is one exchange with the engine. A node makes at most one call of `commit` at a
time, and at most one of `poll`, `anchored`, `report` and `expel` together; `read` and the rest
may come at any time.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import attrs

from ...core.logins import Record
from ...core.notify import Answer
from ...values import frozen
from ..proposals import Result, Version, Versioned
from ..sessions import KeyRow, SessionChanges, SessionRow, Wanted


@frozen
class Identity:
    """Which engine it was: a failover changes the timeline."""

    system: str
    timeline: int


@frozen
class Write:
    """One room's compare-and-swap. At most one a room in a batch."""

    room: str = attrs.field(repr=False)
    expected: Version | None
    """The version that is to be replaced; None: there must be no such room."""
    record: Record | None
    """None: the room is to be deleted."""
    answer: Answer | None = None
    """Kept by its `id`, if the swap wins. An `id` that is taken makes the swap `Repeated`, also
    where it would have lost: what is repeated is told the same, whatever the room is by now."""
    sessions: SessionChanges | None = attrs.field(default=None, repr=False)
    """Carried out if the swap wins, in the same transaction: rows that end are removed, and then
    one is made, unless there is one of that id."""


@frozen
class Batch:
    """One transaction of a node."""

    writer: str
    seq: int
    """The writer's last one plus 1; the same again as long as it is in doubt."""
    writes: Sequence[Write]
    renews: bool = False
    """Whether the node's beat is counted up with it."""


@frozen
class Committed:
    """The result of a batch. It is durable, on the standby too if the engine waits for one."""

    results: Sequence[Result]
    """For each of its writes."""
    identity: Identity
    wall: float
    """The engine's clock, in Unix seconds."""
    is_alone: bool
    """Whether no other node was registered, or could register before the batch was durable: a node
    that registers later reads it at its start."""


@frozen
class Entry:
    """An entry of the log: the rooms that a batch has changed, each with its epoch from then on."""

    writer: str
    seq: int
    rooms: Mapping[str, int]
    """The epoch of a room that was forgotten is -1."""


@frozen
class Node:
    """A node as it is registered."""

    name: str
    beat: int
    applied: Mapping[str, int]
    """By writer, the last entry of the log that the node has applied."""
    draining: bool
    address: str
    software: str


@frozen
class Told:
    """What a node has done about one room of an entry: its counts of terminations."""

    writer: str
    seq: int
    room: str = attrs.field(repr=False)
    node: str
    terminated: int
    acked: int
    settled: bool
    """Whether the counts are final."""


@frozen
class Poll:
    """What a node learns in one reading of the log."""

    entries: Sequence[Entry]
    """Those beyond the position, by writer and then by number; at most `MAX_ENTRIES`."""
    nodes: Sequence[Node]
    """As they were registered in the same snapshot."""
    told: Sequence[Told]
    """Of the batches that were asked about."""
    identity: Identity
    wall: float
    rooms: Mapping[str, Versioned | None] = attrs.field(factory=dict, repr=False)
    """The rooms that the others' entries name, in the same snapshot; None for one that there is not
    any more. If they are more than `MAX_ROOMS`, it is empty: the node reads those that it needs."""


@frozen
class Registered:
    """The state with which a node begins."""

    position: Mapping[str, int]
    """By writer, the last entry at that moment: what came before, the node reads with the rooms."""
    identity: Identity
    wall: float


MAX_ENTRIES = 10_000
MAX_ROOMS = 16


class EngineError(Exception):
    """The engine could not be reached, or has failed; a `commit` is in doubt then."""


class Expelled(Exception):
    """The node is not registered (any more): the engine accepts nothing from it."""


class Engine(Protocol):
    """The database, as one node has it. Every method raises `EngineError`.

    Cancelled, a method returns at once; what it has begun at the engine goes on there.
    """

    async def register(self, node: str, *, address: str, software: str) -> Registered:
        """Register a node under a name that was never used, with beat 0.

        If this fails, it is not known whether the node is registered: use another name next time.
        """
        ...

    async def commit(self, batch: Batch) -> Committed:
        """Write a batch, or find that it was written already; never cancel it at the engine.

        If a batch of the same number was written, its results are returned: `Won` for those that
        won, and for the others as it is now. So a batch is sent again until it is known whether it
        was written.

        Raises:
            Expelled: the node is not registered, and this batch was not written and never will be.
        """
        ...

    async def poll(
        self, node: str, position: Mapping[str, int], told: Collection[tuple[str, int]]
    ) -> Poll:
        """Read the log for a node, beyond `position` (by writer; 0 for one that is not in it).

        `told` are batches, by writer and number, whose counts of terminations are asked for.
        """
        ...

    async def anchored(self, position: Mapping[str, int]) -> bool:
        """Whether the log has each of these entries: if not, the engine has lost commits."""
        ...

    async def hinted(self) -> None:
        """Return when another node may have written something. It may never return."""
        ...

    async def report(self, node: str, applied: Mapping[str, int], told: Sequence[Told]) -> None:
        """Report what a node has applied, and its counts; both become visible together.

        This need not be durable.

        Raises:
            Expelled: the node is not registered.
        """
        ...

    async def read(self, rooms: Collection[str]) -> tuple[Mapping[str, Versioned], Identity]:
        """Read these rooms; those that there are not are left out."""
        ...

    async def expel(self, node: str, beat: int) -> bool:
        """Remove a node whose beat is still this one; False if it is another by now.

        True also if somebody else has removed it. When this has returned True, nothing of that
        node is committed any more.
        """
        ...

    async def set_draining(self, node: str) -> None:
        """Let others see that a node is about to leave."""
        ...

    async def deregister(self, node: str) -> None:
        """Remove a node that leaves by itself."""
        ...

    async def overdue(self, before: float, limit: int) -> Mapping[str, Version]:
        """Return rooms that were last touched before that moment, the longest untouched first."""
        ...

    async def trim(self, before: float) -> None:
        """Delete answers, entries of the log and counts that are older, in Unix seconds.

        The last entry of a registered writer stays.
        """
        ...

    async def find_sessions(self, wanted: Wanted) -> tuple[Sequence[SessionRow], Identity]:
        """Return the rows that are asked for, in no order."""
        ...

    async def issuers(self) -> Collection[tuple[str, str]]:
        """Return the providers and types of application of all sessions."""
        ...

    async def see_sessions(self, contacts: Mapping[str, tuple[float, str]]) -> None:
        """Write when sessions were last seen, in Unix seconds, and by which `kid`; never earlier.

        A session that another node is writing at that moment is left out.
        """
        ...

    async def read_keys(self) -> tuple[Sequence[KeyRow], Identity]:
        """Return the keys of `sse_trio.auth`, the newest first."""
        ...

    async def rotate_keys(self, kid: str, secret: bytes, *, newest: str | None, most: int) -> bool:
        """Add a key, made now, if the newest is the one of that `kid`; None: there is none.

        The oldest of more than `most` keys are removed. False if another one is the newest.
        """
        ...

    async def replace_keys(self, kid: str, secret: bytes) -> None:
        """Remove all keys, and add one, made now."""
        ...
