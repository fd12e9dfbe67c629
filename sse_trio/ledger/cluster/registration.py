"""One registration of a node: its name, and the tasks that last as long as it is registered."""

import contextlib
import logging
import math

import trio

from ...core.notify import REMEMBERED_SECONDS
from ...errors import LedgerError
from ..proposals import Swap, Won
from .context import Context
from .engine import EngineError, Expelled
from .feed import CommitsLost, Feed
from .writer import MAX_RETRY, Writer

logger = logging.getLogger("sse_trio")

# Seconds between two times that the node deletes old data; half of it is jitter.
CHORES = 60.0

# Rooms that are deleted at a time.
FORGOTTEN = 1000

# Seconds for which answers, entries and counts are kept: a bit longer than anybody asks for them.
KEPT = REMEMBERED_SECONDS + 60.0


class Registration:
    """A node, registered under one name; made by :meth:`begin`."""

    def __init__(self, context: Context, writer: Writer, feed: Feed) -> None:
        self.writer = writer
        self.feed = feed
        self.marked = math.inf
        """When, by the node's clock, others could see that it is about to leave."""
        self._context = context

    @classmethod
    async def begin(
        cls, context: Context, name: str, *, resync: bool = False, lost: bool = False
    ) -> "Registration":
        """Register. With `resync`, the hub must drop its cached rooms.

        Raises:
            EngineError: whether the node is registered is not known.
        """
        settings, asked = context.settings, context.clock()
        registered = await context.engine.register(
            name, address=settings.address, software=settings.software
        )
        context.wall.take(registered.wall, asked)
        context.statistics.registrations += 1
        writer = Writer(context, name)
        feed = Feed(context, registered, writer, resync=resync, lost=lost)
        return cls(context, writer, feed)

    async def run(self) -> bool:
        """Write, read and renew until the registration is over; return whether commits are lost."""
        is_lost = False
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.writer.run)
                nursery.start_soon(self.feed.run)
                nursery.start_soon(self.feed.listen)
                nursery.start_soon(self._context.keeper.run, self.writer.wake)
                nursery.start_soon(self._tidy)
                nursery.start_soon(self._mark_draining)
        except* Expelled:
            logger.warning("the node has been expelled, and registers again")
        except* CommitsLost:
            is_lost = True
        self._context.keeper.suspend()
        self.writer.close("the node has lost its registration: this may not have been written")
        self._context.former.add(self.writer.node)
        return is_lost

    async def _mark_draining(self) -> None:
        """Let the others see that the node is about to leave, once it is."""
        await self._context.draining.wait()
        while True:
            with contextlib.suppress(EngineError):
                await self._context.engine.set_draining(self.writer.node)
                self.marked = self._context.clock()
                return
            await self._context.pause(MAX_RETRY)

    async def _tidy(self) -> None:
        """Delete old data, now and then."""
        # By now the hub has dropped its cache, and its members are on hold: no member is admitted
        # any more by an earlier registration.
        await self._context.keeper.restored()
        while True:
            with contextlib.suppress(EngineError):
                await deregister(self._context)
            await self._context.pause(CHORES)
            with contextlib.suppress(EngineError, LedgerError):
                await self._sweep()
                await self._trim()

    async def _sweep(self) -> None:
        """Propose to delete the rooms that were unused for a lifetime."""
        before = self._context.wall() - self._context.settings.ticket_lifetime
        has_more = True
        while has_more and self._context.keeper.vouches:
            overdue = await self._context.engine.overdue(before, FORGOTTEN)
            proposals = [
                self.writer.propose(Swap(room, None, expected=version))
                for room, version in overdue.items()
            ]
            results = [await proposal.decision() for proposal in proposals]
            # A rival node may be at the same rooms: it will go on with the rest.
            has_more = len(results) == FORGOTTEN and any(isinstance(r, Won) for r in results)

    async def _trim(self) -> None:
        before = self._context.wall() - KEPT
        await self._context.engine.trim(before)
        self.feed.forget(before)


async def deregister(context: Context) -> None:
    """Remove the rest of registrations that are over.

    Raises:
        EngineError: some may be left.
    """
    while context.former:
        name = next(iter(context.former))
        await context.engine.deregister(name)
        context.former.discard(name)
