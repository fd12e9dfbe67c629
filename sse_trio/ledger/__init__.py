"""What must outlive the process: each room's standing.

The rules live in `core.standing` and work on memory alone. A ledger is told every
standing that a notify changed, and a notify is answered only after the ledger has it.
"""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Protocol

from ..config import Config
from ..core.standing import Record
from .memory import MemoryLedger

__all__ = ["Ledger", "MemoryLedger", "open_ledger"]


class Ledger(Protocol):
    """Durable storage of standings."""

    @property
    def ready(self) -> bool:
        """Whether `advance` can be expected to succeed."""
        ...

    async def load(self) -> Iterable[tuple[str, Record]]:
        """Return every room's last record, the longest untouched first."""
        ...

    async def advance(self, room: str, record: Record) -> None:
        """Make `record` the room's last one; return when it is durable.

        Calls for one room come in order. To be cancelled while waiting does not undo it.

        Raises:
            LedgerError: it could not be made durable.
        """
        ...


def open_ledger(config: Config) -> AbstractAsyncContextManager[Ledger]:
    """Open the ledger that `config` names."""
    assert config.ledger == "memory:", "Config knows no other kind"
    return nullcontext(MemoryLedger(max_rooms=config.max_remembered_rooms))
