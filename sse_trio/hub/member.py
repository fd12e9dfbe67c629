"""A member, and the outcome of the notify that ended it."""

import enum
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import AbstractContextManager
from typing import Protocol

import attrs
import trio

from ..core.tickets import Ticket
from ..ledger import Commit, Proposal
from ..ledger.proposals import DONE, NOWHERE, Elsewhere
from ..values import frozen
from .letters import Letter

CancelAfter = Callable[[float], AbstractContextManager[object]]
"""Cancels its block after so many seconds."""


class Peer(Protocol):
    """What the hub needs of a member's connection; nothing here waits."""

    def offer(self, message: Letter) -> bool:
        """Send or queue; False if neither can be."""
        ...

    def offer_beat(self, message: Letter) -> bool:
        """Do the same with a heartbeat, and with a ping, which the peer always answers."""
        ...

    def offer_last(self, message: Letter) -> bool:
        """Send this next, and drop everything that waits."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Send that the server closes."""
        ...

    def abort(self) -> None:
        """End the connection at once."""
        ...


class State(enum.Enum):
    """The state of a WebSocket, which only moves downwards in this list."""

    ARRIVING = "connected, has not joined"
    CONNECTED = "has not joined, and has no deadline for it"
    JOINED = "a living member"
    SUPERSEDED = "out of its room, about to be sent the termination"
    TERMINATED = "was sent the termination, has not answered"
    CLOSING = "was sent a close, or has sent its own"
    GONE = "no connection"


@attrs.define(eq=False)
class Outcome:
    """The outcome of a notify, or of a release. The counts change while members answer."""

    room: str = attrs.field(repr=False)
    epoch: int
    """The epoch that this notify made; of a release, the epoch that the room had."""
    sender: str | None = attrs.field(default=None, repr=False)
    """The session that stays."""
    ticket: str | None = attrs.field(default=None, repr=False)
    """What the sender's page joins with; None if there is no sender, or no key to sign."""
    token: str | None = attrs.field(default=None, repr=False)
    """The same login's proof for the application, which no page ever sees."""
    _ended: Collection[str] = attrs.field(default=(), repr=False)
    """The sessions that have ended by it."""
    _terminated: int = 0
    _acked: int = 0
    elsewhere: Elsewhere = attrs.field(default=NOWHERE, repr=False)
    """What other nodes have done about it."""
    proposal: Proposal = attrs.field(default=DONE, repr=False)
    """Where several nodes share a ledger: how far it has come."""
    durable: bool = attrs.field(default=False, repr=False)
    """Whether the ledger has it."""
    told: bool = attrs.field(default=False, init=False, repr=False)
    """Whether the termination was sent to all members that must get it."""
    # Waits for so many seconds, by the clock that the members' deadlines use.
    _cancel_after: CancelAfter = attrs.field(default=trio.move_on_after, repr=False)
    # One for the fan-out itself, so that nothing is finished before all terminations are sent.
    _unfinished: int = attrs.field(default=1, init=False, repr=False)
    # Made when the first task waits. For most outcomes none does.
    _progress: trio.Event | None = attrs.field(default=None, init=False, repr=False)

    @property
    def ended(self) -> tuple[str, ...]:
        """The sessions that have ended by it."""
        return tuple(self._ended)

    @property
    def terminated(self) -> int:
        """Members that were sent the termination, on all nodes."""
        return self._terminated + self.elsewhere.terminated

    @property
    def acked(self) -> int:
        """Of those, the ones that acknowledged it or closed."""
        return self._acked + self.elsewhere.acked

    @property
    def terminated_here(self) -> int:
        """Members of this node that were sent the termination."""
        return self._terminated

    @property
    def acked_here(self) -> int:
        """Of those, the ones that acknowledged it or closed."""
        return self._acked

    @property
    def finished(self) -> bool:
        """Whether the counts of this node will not change any more."""
        return self._unfinished == 0

    @property
    def nodes(self) -> int:
        """How many other nodes have carried it out."""
        return self.elsewhere.nodes

    @property
    def lapsed(self) -> int:
        """How many other nodes were expelled instead: they vouch for no session."""
        return self.elsewhere.lapsed

    @property
    def pending(self) -> int:
        """Members that were sent the termination, and neither acknowledged nor closed."""
        return self.terminated - self.acked

    async def acknowledged(self, timeout: float) -> bool:  # noqa: ASYNC109
        """Wait until every member acknowledged or closed; True if they all did.

        Returns False after `timeout` seconds, or when the last one was cut for not
        answering within `linger`.
        """
        with self._cancel_after(timeout):
            # First for the others: as long as a task waits for their counts, they are up to date.
            await self.elsewhere.settled()
            await self._wait_until(lambda: self.finished)
        return self.pending == 0

    async def wait_until_told(self) -> None:
        """Wait until the termination was sent to all members that must get it."""
        await self._wait_until(lambda: self.told)

    def note_ended(self, sessions: Iterable[str]) -> None:
        """Note which sessions it has ended, if that is not known yet."""
        # A dict keeps their order: to sort ten thousand would delay others for 3 ms.
        self._ended = dict.fromkeys((*self._ended, *sessions))

    def note_sent(self, count: int) -> None:
        """Note that so many more members were sent the termination."""
        self._terminated += count
        self._unfinished += count

    def note_all_sent(self) -> None:
        """Note that it will not be sent to more members."""
        self.told = True
        self._unfinished -= 1
        self._wake()

    def note_finished(self, *, acked: bool) -> None:
        """Note that one of them acknowledged, or was cut."""
        self._acked += acked
        self._unfinished -= 1
        if self.finished:
            self._wake()

    async def _wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until `is_so` is true; after each `_wake` it is asked again."""
        await trio.lowlevel.checkpoint()
        while not is_so():
            if self._progress is None:
                self._progress = trio.Event()
            await self._progress.wait()

    def _wake(self) -> None:
        if self._progress is not None:
            self._progress.set()
            self._progress = None


@frozen(eq=False)
class Unmeasured:
    """A join whose room has to be read, or written, before its verdict is known."""

    ticket: Ticket | None = attrs.field(repr=False)


@attrs.define(eq=False, weakref_slot=False)
class Member:
    """One WebSocket. `room`, `session` are set by the join; times are the hub's clock."""

    peer: Peer = attrs.field(repr=False)
    address: str = attrs.field(repr=False)
    heard: float
    state: State = State.ARRIVING
    room: str = attrs.field(default="", repr=False)
    session: str = attrs.field(default="", repr=False)
    holds: bool = False
    """Whether the peer understands `Hold`."""
    held: bool = False
    """Whether it got `Hold`, and not `Joined` again since."""
    next_beat: float = 0.0
    admission: Commit | Unmeasured | None = attrs.field(default=None, repr=False)
    """What has to be durable before the member gets `Joined`."""
    outcome: Outcome | None = None
    """Of what has ended it."""

    @property
    def unmeasured(self) -> Unmeasured | None:
        """Its join, if it is not admitted yet: it claims nothing until then."""
        if self.state is State.JOINED and isinstance(self.admission, Unmeasured):
            return self.admission
        return None


@frozen
class Ending:
    """A decided notify, or another end of sessions: its outcome, and the rest of the fan-out."""

    outcome: Outcome
    members: list[Member]
    telling: Generator[int, None, None]


Spawn = Callable[..., None]
"""A nursery's ``start_soon``."""
