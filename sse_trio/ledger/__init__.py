"""What must outlive the process: each room's standing, and the answers to idempotency ids.

The rules are in `core.standing` and work on memory only. Every change is drafted there and proposed
to the ledger, and a notify is answered only when the change is durable. A ledger is read once,
before the first join.
"""

import socket
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import Protocol, runtime_checkable

from ..config import Config
from ..core.logins import Record
from ..core.notify import Answer
from .cluster.changes import Changes
from .cluster.statistics import Statistics
from .cluster.tables import Tables
from .memory import MemoryLedger
from .proposals import Commit, LocalProposal, Proposal, Swap, Versioned
from .sqlite import SqliteLedger

__all__ = [
    "Changes",
    "Commit",
    "Ledger",
    "LocalProposal",
    "MemoryLedger",
    "Proposal",
    "SharedLedger",
    "SqliteLedger",
    "Swap",
    "open_ledger",
]


class Ledger(Protocol):
    """Durable storage of facts, in the order in which they are proposed."""

    @property
    def ready(self) -> bool:
        """Whether the next commit will probably succeed."""
        ...

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        """Return every room's last record, the longest unused first; and the answers.

        Raises:
            LedgerError: what is stored cannot be read.
        """
        ...

    def propose(self, swap: Swap) -> Proposal:
        """Replace the room's standing by a draft, or delete the room; store the answer.

        Both become durable together, and not before earlier proposals. A change that could not be
        made durable is not dropped: it is tried again.
        """
        ...

    def pending(self, room: str) -> Proposal | None:
        """Return the proposal of the room's last change; None if it is durable."""
        ...


@runtime_checkable
class SharedLedger(Ledger, Protocol):
    """A ledger that other nodes write too, so that memory is only a cache of it."""

    @property
    def tables(self) -> Tables:
        """The rows of `sse_trio.auth`."""
        ...

    @property
    def vouches(self) -> bool:
        """Whether cached rooms may be relied on at this moment: the lease is valid."""
        ...

    def wall(self) -> float:
        """Return the time that all nodes share, in Unix seconds."""
        ...

    async def read(self, rooms: Collection[str]) -> Mapping[str, Versioned]:
        """Read these rooms; rooms that do not exist are left out.

        Raises:
            LedgerError: they cannot be read, or the reading is not valid.
        """
        ...

    async def lapsed(self) -> None:
        """Return when the node no longer vouches: members must be put on hold."""
        ...

    async def restored(self) -> None:
        """Return when the node vouches again."""
        ...

    def changes(self) -> AsyncIterator[Changes]:
        """Yield what other nodes have changed, for ever, once the last changes are applied."""
        ...

    async def drain(self) -> None:
        """Let others see that the node is about to leave.

        Return when they see it, and this node has applied all that they had changed before: so none
        of them counts it as lapsed.
        """
        ...

    def statistics(self) -> Statistics:
        """Return this node's counts, and its state now."""
        ...


def open_ledger(config: Config) -> AbstractAsyncContextManager[Ledger]:
    """Open the ledger that `config` names.

    Raises:
        LedgerError: on entering, if that is not possible.
    """
    if path := config.ledger_path:
        return SqliteLedger.open(path)
    if config.is_shared:
        return _open_shared(config)
    return nullcontext(MemoryLedger())


@asynccontextmanager
async def _open_shared(config: Config) -> AsyncIterator[Ledger]:
    # What one process alone needs does not import this.
    from .cluster.context import Settings
    from .cluster.ledger import ClusterLedger
    from .postgres import open_engine

    settings = Settings(
        lease=config.lease,
        ticket_lifetime=config.ticket_lifetime,
        address=f"{socket.gethostname()}:{config.port}",
        software=f"sse_trio {version('sse-trio')}",
    )
    async with (
        open_engine(config.ledger, lease=config.lease, feed_url=config.ledger_feed) as engine,
        ClusterLedger.open(engine, settings) as ledger,
    ):
        yield ledger
