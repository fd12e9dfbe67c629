"""A ledger that lasts as long as the process.

For embedders who can live with that, and for tests. Handing the same `MemoryLedger` to
a second server is what a restart on the same file is for a durable one.
"""

from collections import OrderedDict
from collections.abc import Iterable

import trio

from ..core.standing import Record


class MemoryLedger:
    """Keeps each room's last record, of at most `max_rooms` rooms."""

    def __init__(self, *, max_rooms: int = 1_000_000) -> None:
        self._max_rooms = max_rooms
        self._records: OrderedDict[str, Record] = OrderedDict()

    @property
    def ready(self) -> bool:
        """Memory is always there."""
        return True

    async def load(self) -> Iterable[tuple[str, Record]]:
        """Return every room's last record, the longest untouched first."""
        await trio.lowlevel.checkpoint()
        return list(self._records.items())

    async def advance(self, room: str, record: Record) -> None:
        """Keep `record`."""
        self._records[room] = record
        self._records.move_to_end(room)
        if len(self._records) > self._max_rooms:
            self._records.popitem(last=False)
        await trio.lowlevel.checkpoint()
