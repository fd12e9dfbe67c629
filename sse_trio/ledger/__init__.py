"""What must outlive the process: each room's standing, and the answers to idempotency ids.

The rules live in `core.standing` and work on memory alone. A ledger is told of every fact
as it is decided, and a notify is answered only after the ledger has it. It is asked what it
remembers once, before anybody joins.
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from ..config import Config
from ..core.logins import Record
from ..core.notify import Answer
from .memory import MemoryLedger
from .sqlite import SqliteLedger

__all__ = ["Commit", "Ledger", "MemoryLedger", "SqliteLedger", "open_ledger"]


class Commit(Protocol):
    """When what was noted is durable."""

    @property
    def done(self) -> bool:
        """Whether it is by now, and nobody need wait."""
        ...

    async def wait(self) -> None:
        """Return when it is. To be cancelled while waiting does not undo it.

        Raises:
            LedgerError: it could not be made durable so far.
        """
        ...


class Ledger(Protocol):
    """Durable storage of facts, in the order in which they are noted."""

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

    def note(self, room: str, record: Record | None, answer: Answer | None = None) -> Commit:
        """Make `record` the room's last one, or forget the room; with it, keep `answer`.

        Both become durable together, and not before what was noted earlier. What could not
        be made durable is not dropped: it is tried again.
        """
        ...

    def pending(self, room: str) -> Commit | None:
        """Return what the room's last record is still waiting for; None if it is durable."""
        ...


def open_ledger(config: Config) -> AbstractAsyncContextManager[Ledger]:
    """Open the ledger that `config` names.

    Raises:
        LedgerError: on entering, if that cannot be.
    """
    if path := config.ledger_path:
        return SqliteLedger.open(path)
    return nullcontext(MemoryLedger())
