"""What was seen of a simulated cluster, from outside: a list of events in the order they happened.

Nothing here is what a node believes. It is what a node said to its members and callers, what the
database committed, and what the simulator did.
"""

from collections.abc import Iterator, Mapping
from typing import TypeVar

import attrs

from sse_trio.core.logins import Login, Record

E = TypeVar("E")


@attrs.frozen
class Called:
    """A notify was made at a node."""

    time: float
    node: str
    number: int
    room: str
    sender: str | None
    id: str | None = None


@attrs.frozen
class Answered:
    """It was answered: with an epoch, or refused because the room is full."""

    time: float
    number: int
    epoch: int | None
    vouching: frozenset[str] = frozenset()
    """The nodes that were within their lease at this moment."""

    @property
    def refused(self) -> bool:
        return self.epoch is None


@attrs.frozen
class Failed:
    """It was answered that it is not known what came of it; or that it cannot be."""

    time: float
    number: int
    is_conflict: bool = False
    """Its id was used for something else, or its login has ended since."""


@attrs.frozen
class Said:
    """A node told a member something, or answered a question about its session."""

    time: float
    node: str
    member: int
    room: str
    session: str
    what: str
    """`joined`, `beat`, `hold`, `terminate`, `closed`; or, asked for a verdict, `yes` or `no`."""
    proof: int | None = None
    """The epoch of the ticket that it came with."""
    version: object = None
    """Of a verdict: which standing of the room it was judged by."""
    understands_hold: bool = True


@attrs.frozen
class Committed:
    """A transaction of the database."""

    time: float
    writer: str
    seq: int
    records: Mapping[str, Record | None]
    """By room; None where the room was forgotten."""
    ids: tuple[str, ...] = ()
    stored: Mapping[str, frozenset[str]] = attrs.field(factory=dict)
    """By room, the sessions that the application's store has after it."""


@attrs.frozen
class Lost:
    """A failover has taken a transaction back."""

    time: float
    writer: str
    seq: int


@attrs.frozen
class Registered:
    """A node was registered under a name, which is `node.number`."""

    time: float
    name: str


@attrs.frozen
class Removed:
    """It is registered no more: it was expelled, or has left."""

    time: float
    name: str
    was_expelled: bool = False


@attrs.frozen
class Killed:
    """A node is gone, and so is everything that it knew."""

    time: float
    node: str


@attrs.frozen
class Reported:
    """A node has reported how far it has applied the log."""

    time: float
    name: str
    applied: Mapping[str, int]


@attrs.frozen
class Fault:
    """Between these times something kept a node, or all, from the database."""

    time: float
    until: float
    node: str | None = None


@attrs.frozen
class Drained:
    """A node was asked to leave."""

    time: float
    node: str


@attrs.frozen
class Settled:
    """How it was when there had been no fault for long."""

    time: float
    stored: Mapping[str, object]
    """By room, the version in the database."""
    cached: Mapping[str, Mapping[str, object]]
    """By node and room."""


Event = (
    Called
    | Answered
    | Failed
    | Said
    | Committed
    | Lost
    | Registered
    | Removed
    | Killed
    | Reported
    | Fault
    | Drained
    | Settled
)


@attrs.frozen
class Notify:
    """A notify and its answer, with their places in the history."""

    called: Called
    called_at: int
    answered: Answered
    answered_at: int


def node_of(name: str) -> str:
    """Return the node that was registered under a name."""
    return name.rpartition(".")[0]


@attrs.define
class History:
    """All that happened, and the configured limit of a room."""

    events: list[Event] = attrs.Factory(list)
    max_sessions: int = 1
    lease: float = 6.0

    def of(self, kind: type[E]) -> Iterator[tuple[int, E]]:
        """Yield all events of one kind, with their places."""
        for at, event in enumerate(self.events):
            if isinstance(event, kind):
                yield at, event

    def notifies(self) -> list[Notify]:
        """Return those that were answered, in the order of their answers."""
        called = {event.number: (at, event) for at, event in self.of(Called)}
        return [
            Notify(called[event.number][1], called[event.number][0], event, at)
            for at, event in self.of(Answered)
        ]

    def accepted(self) -> list[Notify]:
        return [one for one in self.notifies() if not one.answered.refused]

    def lost(self) -> dict[tuple[str, int], int]:
        """Return the transactions that were taken back, and where in the history."""
        return {(event.writer, event.seq): at for at, event in self.of(Lost)}

    def records(self, room: str, *, kept: bool = False) -> list[tuple[int, Record | None]]:
        """Return what was committed of a room, in order; perhaps only what was `kept`."""
        lost = self.lost() if kept else {}
        return [
            (at, event.records[room])
            for at, event in self.of(Committed)
            if room in event.records and (event.writer, event.seq) not in lost
        ]

    def rooms(self) -> set[str]:
        return {room for _, event in self.of(Committed) for room in event.records}

    def record_of(self, notify: Notify) -> tuple[int, Record] | None:
        """Return what an accepted notify has made of its room, and where that was committed.

        Others may have been committed at the same epoch: a release, while a notify is repeated,
        which an `id` tells apart; or what was lost again, or came before the notify.
        """
        called, lost = notify.called, self.lost()
        best: tuple[tuple[bool, ...], tuple[int, Record]] | None = None
        for at, event in self.of(Committed):
            record = event.records.get(called.room)
            if at > notify.answered_at or record is None or record.epoch != notify.answered.epoch:
                continue
            is_kept = (event.writer, event.seq) not in lost
            rank = called.id in event.ids, at > notify.called_at, is_kept
            if best is None or rank > best[0]:
                best = rank, (at, record)
        return best and best[1]

    def record_at(self, room: str, at: int) -> Record | None:
        """Return what the database had of a room at a place of the history."""
        lost = self.lost()
        last: Record | None = None
        for index, event in self.of(Committed):
            is_gone = lost.get((event.writer, event.seq), at) < at
            if index < at and room in event.records and not is_gone:
                last = event.records[room]
        return last

    def members(self, at: int) -> dict[int, Said]:
        """Return what each member was told last, by then, about its own state.

        Those of a node that was killed by then are left out.
        """
        last: dict[int, Said] = {}
        for event in self.events[:at]:
            if isinstance(event, Said) and event.what in ("joined", "hold", "terminate", "closed"):
                last[event.member] = event
            elif isinstance(event, Killed):
                last = {n: said for n, said in last.items() if said.node != event.node}
        return last

    def joined(self, at: int) -> list[Said]:
        """Return the members that take themselves for joined."""
        return [said for said in self.members(at).values() if said.what == "joined"]


def ended_in(record: Record) -> set[str]:
    """Return the sessions that a record says have ended."""
    return {session for session, login in record.logins.items() if login.ended is not None}


def named_in(record: Record) -> dict[str, Login]:
    """Return the sessions that hold a place in a record."""
    return {session: login for session, login in record.logins.items() if login.holds}
