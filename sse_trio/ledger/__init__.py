"""What must outlive the process: each room's standing, and the answers to idempotency ids.

The rules live in `core.standing` and work on memory alone. Every change is drafted there and
proposed to the ledger, and a notify is answered only when that is durable. A ledger is asked
what it remembers once, before anybody joins.
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from ..config import Config
from ..core.logins import Record
from ..core.notify import Answer
from .memory import MemoryLedger
from .proposals import Commit, LocalProposal, Proposal, Swap
from .sqlite import SqliteLedger

__all__ = [
    "Commit",
    "Ledger",
    "LocalProposal",
    "MemoryLedger",
    "Proposal",
    "SqliteLedger",
    "Swap",
    "open_ledger",
]


class Ledger(Protocol):
    """Durable storage of facts, in the order in which they are proposed."""

    @property
    def ready(self) -> bool:
        """Whether a commit can be expected to succeed."""
        ...

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        """Return every room's last record, the longest untouched first; and the answers.

        Raises:
            LedgerError: what is stored cannot be read.
        """
        ...

    def propose(self, swap: Swap) -> Proposal:
        """Put a draft in the place of the room's standing, or forget the room; keep the answer.

        Both become durable together, and not before what was proposed earlier. What could not
        be made durable is not dropped: it is tried again.
        """
        ...

    def pending(self, room: str) -> Proposal | None:
        """Return what the room's last change is still waiting for; None if it is durable."""
        ...


def open_ledger(config: Config) -> AbstractAsyncContextManager[Ledger]:
    """Open the ledger that `config` names.

    Raises:
        LedgerError: on entering, if that cannot be.
    """
    if path := config.ledger_path:
        return SqliteLedger.open(path)
    return nullcontext(MemoryLedger())
