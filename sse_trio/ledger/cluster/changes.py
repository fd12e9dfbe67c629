"""What the hub has to carry out because other nodes have decided it: one piece at a time."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import attrs
import trio

from ..proposals import Counts
from .engine import Entry

# Seconds until the hub is given once more what it has not applied.
AGAIN = 1.0


AllCounts = Mapping[tuple[str, int, str], Counts]
"""By writer and number of an entry, and by room."""


@attrs.frozen(eq=False)
class Changes:
    """What the hub has to apply: it reads the rooms, ends whoever does not stand, and tells them.

    After a resync it is not known which rooms have changed. Everything cached is to be dropped,
    every member to be put on hold, and its room to be read anew before it is joined again. That may
    take long: `applied` is to be called as soon as nothing is cached, and everybody on hold.
    """

    entries: Sequence[Entry] = ()
    """Those of others. Of the node itself only rooms that it has not carried out already: because
    the sweep has forgotten them, or `Swap.won` has failed."""
    resync: bool = False
    lost: bool = False
    """Whether the engine has lost commits: what was applied lately has to be proposed again."""
    _applied: Callable[["Changes", AllCounts], object] = attrs.field(
        default=lambda *_: None, repr=False
    )

    def applied(self, told: AllCounts | None = None) -> None:
        """Say that it is done, and whom it was told. Only then others count on it.

        The counts are looked at, and passed on, until they are finished. Called twice, or when the
        node has been expelled meanwhile, it does nothing.
        """
        self._applied(self, told or {})


class Offer:
    """The changes that the hub has not applied yet."""

    def __init__(self) -> None:
        self.current: Changes | None = None
        self._made = trio.Event()

    def make(self, changes: Changes) -> None:
        """Offer changes, in the place of any others."""
        self.current = changes
        self._made.set()
        self._made = trio.Event()

    def clear(self) -> None:
        """Note that they are applied, or no concern any more."""
        self.current = None

    async def iterate(self) -> AsyncIterator[Changes]:
        """Yield what is offered, for ever; and once more what was not applied, after a moment."""
        last: Changes | None = None
        while True:
            changes = self.current
            if changes is None:
                await self._made.wait()
            elif changes is last:
                last = None
                await trio.sleep(AGAIN)
            else:
                last = changes
                yield changes
