"""The heart: join, notify, acknowledge, leave, beat, drain.

`Membership` decides, one synchronous step a rule; the hub adds what takes time and cannot
change a decision: one notify of a room after the other, the rest of a long fan-out, the
ledger's commit, the acknowledgements, and the task that keeps everybody's time.
"""

import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Literal

import trio

from ..config import Config
from ..core.messages import name
from ..core.notify import LAST_JOINED, Last, Notify
from ..core.recent import Recent, WrongKeys
from ..errors import Conflict, Draining, LocalProtocolError
from ..ledger import Ledger
from .member import Outcome, Spawn
from .membership import Membership
from .statistics import Statistics

# Whatever goes through many members gives way to everybody else after this many: it costs
# a fan-out nothing, and other rooms wait for 64 sends instead of 10,000.
SLICE = 64

# Idempotency ids: how long, and how many at most.
REMEMBERED_SECONDS = 600
REMEMBERED_NOTIFIES = 100_000


class Hub:
    """The rooms of one server. Made by `serve`; an embedder calls `notify` and the rest.

    `clock` is monotonic, `wall` is Unix time, both in seconds; `spawn` starts a task
    that lives no longer than the hub.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        spawn: Spawn,
        *,
        clock: Callable[[], float] = trio.current_time,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.config = config
        self.ledger = ledger
        self.port = config.port
        """The TCP port that the server listens on."""
        self.draining = trio.Event()
        self.idle: set[trio.CancelScope] = set()
        """HTTP connections between two requests, to be ended by the drain."""
        self.wrong_keys = WrongKeys(limit=config.max_wrong_keys)
        self.membership = Membership(
            config, clock=clock, wall=wall, jitter=jitter, hurry=self._hurry
        )
        self.counters = self.membership.counters
        self._spawn = spawn
        self._clock = clock
        self._alarm = trio.Event()
        self._locks: dict[str, tuple[trio.Lock, int]] = {}
        self._quiet = trio.Event()
        self._notified: Recent[tuple[Notify, Outcome]] = Recent(
            lifetime=REMEMBERED_SECONDS, size=REMEMBERED_NOTIFIES
        )

    async def notify(
        self,
        room: str | int,
        *,
        sender: str | int | None | Literal[Last.JOINED] = LAST_JOINED,
        reason: str = "login",
        detail: dict[str, Any] | None = None,
        id: str | None = None,
    ) -> Outcome:
        """End every session of `room` but the sender's; return once that is durable.

        Without `sender` the session that joined last stays; with None nobody does. The
        same `id` within ten minutes has one effect and the same outcome.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
            Conflict: `id` was used for another room or sender.
            Draining: the hub is shutting down.
            LedgerError: the members were told, but it could not be made durable.
        """
        try:
            wanted = Notify(room=room, sender=sender, reason=reason, detail=detail, id=id)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None
        return await self.accept(wanted)

    def ticket(self, room: str | int, session: str | int) -> str | None:
        """Sign a ticket for the login of `session`; None without an authkey.

        A session that the room has not seen counts as logged in now; the ticket of a
        superseded one is terminated at the door.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
        """
        try:
            return self.membership.ticket(name(room, "room"), name(session, "session"))
        except ValueError as error:
            raise LocalProtocolError(str(error)) from None

    def drain(self) -> None:
        """Shut down gracefully: `serve` returns within `shutdown_grace` seconds."""
        self.membership.draining = True
        self.draining.set()

    def statistics(self) -> Statistics:
        """Return the counts and sizes as they are now."""
        return self.membership.statistics()

    async def accept(self, notify: Notify) -> Outcome:
        """Carry out a checked notify. Raises as :meth:`notify` does."""
        self._refuse_while_draining()
        async with self._serially(notify.room):
            self._refuse_while_draining()
            repeated = self._answered(notify)
            outcome = repeated or self._begin(notify)
            if not outcome.durable:
                try:
                    record = self.membership.standing(notify.room).record()
                    await self.ledger.advance(notify.room, record)
                except BaseException:
                    # It has had its effect. The same id will only try to make it durable.
                    self.counters.notifies["failed"] += 1
                    raise
                outcome.durable = True
            await outcome.told.wait()
            if repeated:
                self.counters.notifies["duplicate"] += 1
            else:
                self.counters.notifies["accepted"] += 1
            return outcome

    def _refuse_while_draining(self) -> None:
        if self.draining.is_set():
            self.counters.notifies["draining"] += 1
            raise Draining("the hub is shutting down")

    def _begin(self, notify: Notify) -> Outcome:
        """Decide a notify, and tell the first of the members it ends."""
        started = self._clock()
        outcome, fan_out = self.membership.supersede(notify)
        if notify.id is not None:
            self._notified.put(notify.id, (notify, outcome), started)
        # A short fan-out is over before anything awaits. A long one goes on in the hub's
        # nursery, whatever becomes of the caller.
        if len(list(itertools.islice(fan_out, SLICE))) < SLICE:
            self.counters.fan_out(self._clock() - started)
            outcome.told.set()
        else:
            self._spawn(self._finish, fan_out, started, outcome.told)
        return outcome

    async def _finish(self, fan_out: Iterable[object], started: float, told: trio.Event) -> None:
        try:
            await trio.lowlevel.checkpoint()
            await _gently(fan_out)
            self.counters.fan_out(self._clock() - started)
        finally:
            # A hard stop ends the members by itself; the caller may be in another nursery.
            told.set()

    def _answered(self, notify: Notify) -> Outcome | None:
        """Return the outcome of an earlier notify with the same id."""
        if notify.id is None:
            return None
        earlier = self._notified.get(notify.id, self._clock())
        if earlier is None:
            return None
        if (earlier[0].room, earlier[0].sender) != (notify.room, notify.sender):
            self.counters.notifies["conflict"] += 1
            raise Conflict("this id was used for another room or another sender")
        return earlier[1]

    @contextlib.asynccontextmanager
    async def _serially(self, room: str) -> AsyncIterator[None]:
        """Let one notify of a room at a time through; a lock lasts while somebody uses it."""
        lock, users = self._locks.get(room, (trio.Lock(), 0))
        self._locks[room] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks.pop(room)
            if users > 1:
                self._locks[room] = (lock, users - 1)
            elif not self._locks:
                self._quiet.set()

    async def beat(self) -> None:
        """Do what is due, for ever: the one task that keeps everybody's time."""
        while True:
            await _gently(self.membership.turn())
            self._alarm = trio.Event()
            with trio.move_on_at(self.membership.next_due()):
                await self._alarm.wait()

    def _hurry(self) -> None:
        self._alarm.set()

    async def say_goodbye(self) -> None:
        """Close every WebSocket with 1001, and every HTTP connection that is idle."""
        for idle in self.idle:
            idle.cancel()
        await _gently(self.membership.goodbye())

    async def finish_notifies(self) -> None:
        """Wait for the notifies in flight, whoever made them."""
        while self._locks:
            self._quiet = trio.Event()
            await self._quiet.wait()


async def _gently(work: Iterable[object]) -> None:
    """Run `work` to its end, giving way after every `SLICE` steps."""
    for count, _ in enumerate(work, 1):
        if count % SLICE == 0:
            await trio.lowlevel.checkpoint()
