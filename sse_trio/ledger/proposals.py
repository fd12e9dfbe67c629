"""A change of one room, from its proposal to the moment when every node has carried it out.

    propose -> decided -> told here -> durable -> told everywhere

One process decides in the step that proposes. If several nodes share an engine, the engine decides
by comparing versions: the second proposal loses, and is drafted again from the present state.
"""

from collections.abc import Callable
from typing import Final, Protocol

import attrs
import trio

from ..core.logins import Record
from ..core.notify import Answer
from ..core.standing import Standing
from ..values import frozen
from .sessions import SessionChanges


@frozen
class Version:
    """Which writing of a room it is, where nodes share an engine."""

    count: int
    """It grows with each writing. Of a new room it begins with the engine's clock, in microseconds:
    so a room that was deleted and made again is newer than before."""
    writer: str
    """The node that wrote it."""
    seq: int
    """In which of its batches. With `writer`, it tells two writings of one `count` apart."""


@frozen
class Versioned:
    """A room's record as the engine has it."""

    version: Version
    record: Record


@frozen
class Won:
    """The change has been decided; `version` is what the room has from now on."""

    version: Version | None
    """None if one process decides, which has no rival; and for a room that was deleted."""


@frozen
class Lost:
    """The room was not as expected; `current` is its present record, None if there is none."""

    current: Versioned | None


@frozen
class Repeated:
    """The answer's `id` is taken: this is its outcome, by a batch of `writer`."""

    answer: Answer
    writer: str
    seq: int


Result = Won | Lost | Repeated

# If one process decides, every proposal has won by then.
WON: Final = Won(None)


class Counts(Protocol):
    """How many members this node has terminated for an entry. It changes until it is finished."""

    @property
    def terminated_here(self) -> int:
        """Members that were sent the termination."""
        ...

    @property
    def acked_here(self) -> int:
        """Of those, the ones that acknowledged it or closed."""
        ...

    @property
    def finished(self) -> bool:
        """Whether neither will change any more."""
        ...


@attrs.frozen(eq=False)
class Swap:
    """A change that is proposed: `standing` in the place of what was read as `expected`."""

    room: str = attrs.field(repr=False)
    standing: Standing | None = attrs.field(repr=False)
    """A draft, which must not change before it is decided. None: the room is to be deleted."""
    expected: Version | None = None
    """None: the room is new to the engine; or there are no versions, where one process decides."""
    answer: Answer | None = attrs.field(default=None, repr=False)
    """It becomes durable together with the standing."""
    won: Callable[[Version | None], Counts | None] | None = attrs.field(default=None, repr=False)
    """Called with the new version in the step that learns of the decision, even if no task waits
    for it: it makes the draft the room's standing, terminates members, and may return their
    counts."""

    sessions: SessionChanges | None = attrs.field(default=None, repr=False)
    """What it does to the rows of `sse_trio.auth`, where nodes share an engine."""

    def carry_out(self) -> None:
        """Call `won`: for a ledger that one process writes, which decides when it is proposed."""
        if self.won is not None:
            self.won(None)


class Elsewhere:
    """What other nodes have done about a change. The counts grow while their members answer."""

    nodes: int
    """How many other nodes have carried it out."""
    lapsed: int
    """How many were expelled instead: they vouch for no session."""
    terminated: int
    """Their members that were sent the termination."""
    acked: int
    """Of those, the ones that acknowledged it or closed."""

    def __init__(self, nodes: int = 0, lapsed: int = 0) -> None:
        self.nodes = nodes
        self.lapsed = lapsed
        self.terminated = self.acked = 0

    async def settled(self) -> None:
        """Wait until no count will change any more."""
        await trio.lowlevel.checkpoint()


# Where there are no other nodes.
NOWHERE: Final = Elsewhere()


class Commit(Protocol):
    """A change that becomes durable. A cancelled wait for that does not undo it."""

    @property
    def done(self) -> bool:
        """Whether it is by now, so that no wait is needed; a proposal also on every node."""
        ...

    async def durable(self) -> None:
        """Return when it is.

        Raises:
            LedgerError: it could not be made durable so far.
        """
        ...


class Proposal(Commit, Protocol):
    """A swap on its way."""

    @property
    def decided(self) -> Result | None:
        """The result; None while that is not known."""
        ...

    async def decision(self) -> Result:
        """Return the result.

        Raises:
            LedgerError: that cannot be known for the moment. It may be decided later.
        """
        ...

    async def everywhere(self) -> Elsewhere:
        """Return when every other node has carried it out, or was expelled.

        Raises:
            LedgerError: that cannot be known.
        """
        ...


class LocalProposal:
    """A proposal to a ledger that one process writes: it wins, and becomes durable later.

    A subclass adds `done` and `durable`.
    """

    decided = WON

    async def decision(self) -> Won:
        """Return at once, after a checkpoint."""
        await trio.lowlevel.checkpoint()
        return WON

    async def everywhere(self) -> Elsewhere:
        """Return at once, after a checkpoint: there are no other nodes."""
        await trio.lowlevel.checkpoint()
        return NOWHERE


class Done(LocalProposal):
    """A change that needs no wait: it is as durable as it can be."""

    done = True

    async def durable(self) -> None:
        """Return at once, after a checkpoint."""
        await trio.lowlevel.checkpoint()


DONE: Final = Done()
