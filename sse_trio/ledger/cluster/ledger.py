"""A ledger that nodes share: the tasks of one node, put together.

A node is registered under a name that was never used. If it is expelled, or if the engine has lost
commits, that registration is over: its unwritten proposals fail, and the node registers again, with
no cached rooms and numbers that begin with 1.
"""

import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from random import random

import attrs
import trio

from ...errors import LedgerError
from ..proposals import Swap, Versioned
from .changes import Changes
from .context import Context, Settings
from .engine import Engine, EngineError
from .feed import POLL
from .lease import EXPELLED
from .proposal import Proposal
from .reader import Reader
from .registration import Registration, deregister
from .statistics import Statistics
from .tables import Tables
from .writer import MAX_RETRY

logger = logging.getLogger("sse_trio")

# Seconds: for the first registration; at the end, for what is to be written, and to deregister.
OPENING = 5.0
CLOSING = 5.0


def boottime() -> float:
    """Return the seconds since the machine was started, those that it has slept too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ClusterLedger:
    """Standings and answers in an engine that other nodes use too; made by :meth:`open`."""

    shared = True
    """Memory is only a cache of it."""

    def __init__(
        self, context: Context, registration: Registration, new_name: Callable[[], str]
    ) -> None:
        self.wall = context.wall
        """Returns the time that all nodes share, in Unix seconds."""
        self._context = context
        self._registration = registration
        self._new_name = new_name
        self._reader = Reader(context, lambda: self._registration.feed.identity)
        self.tables = Tables(context, lambda: self._registration.feed.identity)
        """The rows of `sse_trio.auth`."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(
        cls,
        engine: Engine,
        settings: Settings,
        *,
        clock: Callable[[], float] = boottime,
        local: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random,
        new_name: Callable[[], str] = lambda: secrets.token_hex(8),
    ) -> AsyncIterator["ClusterLedger"]:
        """Register with the engine, and deregister at the end, when no member is admitted any more.

        `clock` is monotonic, and runs on while the machine sleeps; `local` is this machine's Unix
        time. Changes proposed by the end are written within `CLOSING` seconds, or lost.

        Raises:
            LedgerError: on entering, if the engine does not answer.
        """
        context = Context(engine, settings, clock=clock, local=local, jitter=jitter)
        try:
            with trio.fail_after(OPENING):
                registration = await Registration.begin(context, new_name())
        except EngineError as error:
            raise LedgerError(f"the engine cannot be used: {error}") from None
        except trio.TooSlowError:
            raise LedgerError("the engine does not answer") from None
        async with cls(context, registration, new_name).running() as ledger:
            yield ledger

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["ClusterLedger"]:
        """Be registered until the end, and then deregister.

        An exception of the caller's own block leaves it unchanged.
        """
        failure: BaseException | None = None
        try:
            async with trio.open_nursery() as nursery:
                # Proposals are written, and the lease is kept, even if the server is cancelled.
                scope = trio.CancelScope(shield=True)
                nursery.start_soon(self._run, scope)
                try:
                    yield self
                except BaseException as error:  # noqa: BLE001
                    # Raised again as it is, beyond the nursery that would wrap it in a group.
                    failure = error
                with trio.move_on_after(CLOSING, shield=True):
                    await self._registration.writer.finished()
                scope.cancel()
        finally:
            await self._leave()
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # it refers to this frame, by its traceback

    async def _run(self, scope: trio.CancelScope) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._reader.run)
                while True:
                    await self._register_again(is_lost=await self._registration.run())

    async def _register_again(self, *, is_lost: bool) -> None:
        offer = self._context.offer
        if is_lost:
            logger.error("the engine has lost commits that it had acknowledged")
            self._context.statistics.losses += 1
            # So may be registrations.
            lease = self._context.settings.lease
            self._context.reaches.known_from = self._context.clock() + lease * EXPELLED
        # The hub must learn of a loss, even if the next registration ends before.
        is_lost = is_lost or (offer.current is not None and offer.current.lost)
        offer.clear()
        while True:
            with contextlib.suppress(EngineError):
                self._registration = await Registration.begin(
                    self._context, self._new_name(), resync=True, lost=is_lost
                )
                return
            await self._context.pause(MAX_RETRY)

    async def _leave(self) -> None:
        """Deregister, last of all."""
        writer, former = self._registration.writer, self._context.former
        if writer.undecided:
            logger.error(
                "it is not known whether the last change of %d rooms was written", writer.undecided
            )
        writer.close("the ledger is closed")
        former.add(writer.node)
        with trio.move_on_after(CLOSING, shield=True), contextlib.suppress(EngineError):
            await deregister(self._context)
        if former:
            logger.warning("the node could not deregister: others wait until its lease is over")

    # -- what the hub uses --------------------------------------------------------------

    @property
    def node(self) -> str:
        """The name under which the node is registered at present."""
        return self._registration.writer.node

    @property
    def ready(self) -> bool:
        """Whether a commit can be expected to succeed, and the machine's clock is right."""
        return self.vouches and self.wall.is_local

    @property
    def vouches(self) -> bool:
        """Whether the node vouches by cached rooms at this moment, by the clock."""
        return self._context.keeper.vouches

    async def load(self) -> tuple[tuple[()], tuple[()]]:
        """Return nothing, as soon as the node vouches: rooms are read when they are needed."""
        await self.restored()
        return (), ()

    def propose(self, swap: Swap) -> Proposal:
        """Write a swap with the next batch.

        `Swap.won` is called in the step that learns of the decision, before the tasks that wait for
        it are woken. If the node loses its registration first, the proposal fails.
        """
        return self._registration.writer.propose(swap)

    def pending(self, room: str) -> Proposal | None:
        """Return the room's last proposal, if that is not decided yet."""
        return self._registration.writer.pending(room)

    async def read(self, rooms: Collection[str]) -> Mapping[str, Versioned]:
        """Read these rooms from the engine; those that there are not are left out.

        Raises:
            LedgerError: they cannot be read, or what was read does not count.
        """
        return await self._reader.read(rooms)

    async def lapsed(self) -> None:
        """Return when the node vouches no more: members are to be put on hold."""
        await self._context.keeper.lapsed()

    async def restored(self) -> None:
        """Return when the node vouches again."""
        await self._context.keeper.restored()

    def changes(self) -> AsyncIterator[Changes]:
        """Yield what other nodes have changed, for ever, once the last changes are applied.

        Changes that were not applied are yielded again, after a moment. One task may iterate.
        """
        return self._context.offer.iterate()

    async def drain(self) -> None:
        """Let others see that the node is about to leave; it writes and reads as before.

        Return when they see it, and the node has reported all that was in the log before; or when
        its lease has lapsed, because the engine cannot be reached.
        """
        self._context.draining.set()
        await trio.lowlevel.checkpoint()
        while self.vouches and self._registration.feed.reported_to <= self._registration.marked:
            await self._context.pause(POLL)

    def statistics(self) -> Statistics:
        """Return a copy of the counts, and how things are now."""
        return attrs.evolve(
            self._context.statistics,
            commits=self._context.statistics.commits.copy(),
            nodes=len(self._context.nodes),
            feed_lag=self._registration.feed.lag,
            lease_age=self._context.keeper.age,
        )
