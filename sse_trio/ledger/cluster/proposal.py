"""A swap that is proposed to an engine that nodes share."""

import trio

from ...errors import LedgerError
from ..proposals import Elsewhere, Lost, Repeated, Result, Swap, Won
from .reach import Reach, Reaches


class Proposal:
    """A swap that waits for the engine's decision; see `proposals.Proposal`."""

    def __init__(self, swap: Swap, node: str, reaches: Reaches) -> None:
        self.swap = swap
        self.decided: Result | None = None
        self._node = node
        self._seq = 0
        self._is_alone = False
        self._reaches = reaches
        self._reach: Reach | None = None
        self._error: str | None = None
        self._known = trio.Event()

    @property
    def done(self) -> bool:
        """Whether it is durable by now, and carried out on every node."""
        if self._reach is not None:
            return self._reach.is_everywhere
        return self._is_nowhere_else

    async def decision(self) -> Result:
        """Return the result.

        Raises:
            LedgerError: that cannot be known for the moment.
        """
        await self._known.wait()
        if self.decided is None:
            assert self._error is not None, "it is decided, or has failed"
            raise LedgerError(self._error)
        return self.decided

    async def durable(self) -> None:
        """Return when it is decided: an engine's decision is durable.

        Raises:
            LedgerError: that cannot be known for the moment.
        """
        await self.decision()

    async def everywhere(self) -> Elsewhere:
        """Return when every other node has carried it out, or is no longer registered.

        For a `Repeated` one, that is the original; a lost one has nothing to carry out.

        Raises:
            LedgerError: what was decided cannot be known for the moment.
        """
        result = await self.decision()
        if self._is_nowhere_else:
            return Elsewhere()
        if isinstance(result, Repeated):
            entry = result.writer, result.seq
        else:
            entry = self._node, self._seq
        if self._reach is None:
            self._reach = self._reaches.follow(*entry, self.swap.room)
        await self._reach.everywhere()
        return self._reach

    @property
    def _is_nowhere_else(self) -> bool:
        """Whether other nodes have nothing to carry out."""
        return isinstance(self.decided, Lost) or (self._is_alone and isinstance(self.decided, Won))

    def decide(self, result: Result, seq: int, *, is_alone: bool) -> None:
        """Note the result, and whether there are other nodes; no task is woken yet."""
        self.decided = result
        self._seq = seq
        self._is_alone = is_alone

    def fail(self, error: str) -> None:
        """Note why the result will not be known here, and wake the tasks that wait."""
        self._error = error
        self.wake()

    def wake(self) -> None:
        """Wake the tasks that wait."""
        self._known.set()
