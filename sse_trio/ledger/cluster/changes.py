"""Decisions of other nodes that the hub has to carry out: one piece at a time."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import attrs
import trio

from ...values import frozen
from ..proposals import Counts, Versioned
from .engine import Entry

# Seconds until the hub gets again what it has not applied.
AGAIN = 1.0


AllCounts = Mapping[tuple[str, int, str], Counts]
"""By writer and number of an entry, and by room."""


@frozen(eq=False)
class Changes:
    """Changes that the hub has to apply: it reads their rooms, and terminates members.

    Rooms that came with the changes need not be read.

    After a resync it is not known which rooms have changed. Then drop every cached room, put every
    member on hold, and read its room again before it gets `Joined`. That may take long, so call
    `applied` as soon as no room is cached and all members are on hold.
    """

    entries: Sequence[Entry] = ()
    """Those of others. Of the node itself only rooms that it has not carried out already: because
    the sweep has forgotten them, or `Swap.won` has failed."""
    rooms: Mapping[str, Versioned | None] = attrs.field(factory=dict, repr=False)
    """Rooms of the entries that were read with them, None for one that was deleted."""
    resync: bool = False
    lost: bool = False
    """Whether the engine has lost commits: recent changes must be proposed again."""
    _applied: Callable[["Changes", AllCounts], object] = attrs.field(
        default=lambda *_: None, repr=False
    )

    def applied(self, told: AllCounts | None = None) -> None:
        """Say that it is done, with the counts of terminations. Only then other nodes rely on it.

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
        """Note that they are applied, or no longer needed."""
        self.current = None

    async def iterate(self) -> AsyncIterator[Changes]:
        """Yield offered changes, for ever; after a moment, again those that were not applied."""
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
