"""A ledger that lasts as long as the process.

For embedders who can live with that, and for tests. Handing the same `MemoryLedger` to
a second server is what a restart on the same file is for a durable one.
"""

from collections.abc import Iterable

import trio

from ..core.logins import Record
from ..core.notify import REMEMBERED_NOTIFIES, Answer


class Done:
    """The commit of what is as durable as it will ever be."""

    done = True

    async def wait(self) -> None:
        """Return at once, after a checkpoint."""
        await trio.lowlevel.checkpoint()


DONE = Done()


class MemoryLedger:
    """Keeps each room's last record, and the latest answers."""

    def __init__(self) -> None:
        # Oldest first, as dicts keep them.
        self._records: dict[str, Record] = {}
        self._answers: dict[str, Answer] = {}

    @property
    def ready(self) -> bool:
        """Memory is always there."""
        return True

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        """Return what was noted, oldest first."""
        await trio.lowlevel.checkpoint()
        return list(self._records.items()), list(self._answers.values())

    def note(self, room: str, record: Record | None, answer: Answer | None = None) -> Done:
        """Keep `record` and `answer`."""
        self._records.pop(room, None)
        if record is not None:
            self._records[room] = record
        if answer is not None:
            self._answers.pop(answer.id, None)
            self._answers[answer.id] = answer
            while len(self._answers) > REMEMBERED_NOTIFIES:
                del self._answers[next(iter(self._answers))]
        return DONE

    def pending(self, _: str) -> None:
        """Nothing ever waits."""
        return
