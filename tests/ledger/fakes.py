"""A ledger's file that can be caught at what it does."""

import threading
from typing import Protocol, TypeVar

from sse_trio import Config, Swap
from sse_trio.core.logins import Record
from sse_trio.core.notify import Answer
from sse_trio.core.standing import Standing
from sse_trio.ledger.sqlite_file import LedgerFile

P_co = TypeVar("P_co", covariant=True)

# Real seconds, for a thread to do what it has been started for.
DEADLINE = 20


class Watched(LedgerFile):
    """Says when a statement that reads is running, and holds it until told to go on."""

    def watch(self) -> None:
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self._reader.set_progress_handler(self._progress, 1)

    def _progress(self) -> int:
        self.reading.set()
        return 0 if self.go_on.wait(DEADLINE) else 1


class Proposes(Protocol[P_co]):
    """A ledger whose proposals are of the type `P_co`."""

    def propose(self, swap: Swap) -> P_co: ...


def propose(
    ledger: Proposes[P_co], room: str, record: Record | None, answer: Answer | None = None
) -> P_co:
    """Propose that this is the room's record, or that the room is forgotten."""
    standing = None if record is None else Standing.restore(Config(), record)
    return ledger.propose(Swap(room, standing, answer=answer))
