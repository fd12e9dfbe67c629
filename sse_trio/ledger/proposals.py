"""A change of one room, from its proposal to the moment when every node has carried it out.

    propose -> decided -> told here -> durable -> told everywhere

One process decides in the step that proposes. Where several nodes share an engine, the engine
decides, by comparing versions: who comes second has lost, and drafts anew from what is true now.
"""

from collections.abc import Callable
from typing import Final, Protocol

import attrs
import trio

from ..core.logins import Record
from ..core.notify import Answer
from ..core.standing import Standing
from .sessions import SessionChanges


@attrs.frozen
class Version:
    """Which writing of a room it is, where nodes share an engine."""

    count: int
    """It grows with each writing. Of a new room it begins with the engine's clock, in microseconds:
    so a room that was forgotten and made anew is newer than it was."""
    writer: str
    """The node that wrote it."""
    seq: int
    """In which of its batches. With `writer`, it tells two writings of one `count` apart."""


@attrs.frozen
class Versioned:
    """A room's record as the engine has it."""

    version: Version
    record: Record


@attrs.frozen
class Won:
    """The change has been decided; `version` is what the room has from now on."""

    version: Version | None
    """None where one process decides, for it has no rival; and for a room that was forgotten."""


@attrs.frozen
class Lost:
    """The room was not as expected; `current` is how it is, None if there is none."""

    current: Versioned | None


@attrs.frozen
class Repeated:
    """The answer's `id` is taken: this is what it came to, by a batch of `writer`."""

    answer: Answer
    writer: str
    seq: int


Result = Won | Lost | Repeated

# Where one process decides, whatever is proposed has won by then.
WON: Final = Won(None)


class Counts(Protocol):
    """Whom this node has told about an entry. It changes until it is finished."""

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
    """A draft, which nobody changes before it is decided. None: the room is to be forgotten."""
    expected: Version | None = None
    """None: the room is new to the engine; or there are no versions, where one process decides."""
    answer: Answer | None = attrs.field(default=None, repr=False)
    """It becomes durable together with the standing."""
    won: Callable[[Version | None], Counts | None] | None = attrs.field(default=None, repr=False)
    """Called with the new version in the step that learns of the decision, whoever waits for it:
    it makes the draft the room's standing, tells the members, and may say how many."""

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
    """How many were expelled instead: they admit and vouch for nobody."""
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
    """Something that becomes durable. To be cancelled while waiting for that does not undo it."""

    @property
    def done(self) -> bool:
        """Whether it is by now, and nobody need wait; a proposal also everywhere."""
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
        """What it has come to; None while that is not known."""
        ...

    async def decision(self) -> Result:
        """Return what it has come to.

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
    """A proposal to a ledger that one process writes: it wins, and is left to be made durable.

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
    """What is as durable as it will ever be."""

    done = True

    async def durable(self) -> None:
        """Return at once, after a checkpoint."""
        await trio.lowlevel.checkpoint()


DONE: Final = Done()
