"""A ledger that lasts as long as the process.

For embedders who need no more, and for tests. To pass the same `MemoryLedger` to a second server is
like a restart on the same file.
"""

from collections.abc import Iterable

import trio

from ..core.logins import Record
from ..core.notify import REMEMBERED_NOTIFIES, Answer
from ..core.standing import Standing
from .proposals import DONE, Done, Swap


class MemoryLedger:
    """Keeps each room's standing, the very one that the hub has, and the latest answers."""

    def __init__(self) -> None:
        self._standings: dict[str, Standing] = {}
        # Oldest first, as dicts keep them.
        self._answers: dict[str, Answer] = {}

    @property
    def ready(self) -> bool:
        """Memory is always there."""
        return True

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        """Return the proposed rooms, the longest unused first."""
        await trio.lowlevel.checkpoint()
        rooms = sorted(self._standings.items(), key=lambda item: item[1].touched)
        return [(room, standing.record()) for room, standing in rooms], list(self._answers.values())

    def propose(self, swap: Swap) -> Done:
        """Keep the standing and the answer."""
        if swap.standing is None:
            self._standings.pop(swap.room, None)
        else:
            self._standings[swap.room] = swap.standing
        if (answer := swap.answer) is not None:
            self._answers.pop(answer.id, None)
            self._answers[answer.id] = answer
            while len(self._answers) > REMEMBERED_NOTIFIES:
                del self._answers[next(iter(self._answers))]
        swap.carry_out()
        return DONE

    def pending(self, _: str) -> None:
        """Nothing ever waits."""
        return
