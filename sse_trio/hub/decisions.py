"""Notifies and releases, carried out: those of one room one after the other, each durable.

`Membership` decides, in one synchronous step. Here is what takes time around it: to wait
for one's turn, the rest of a long fan-out, and the ledger's commit.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

import attrs
import trio

from ..config import Config
from ..core.notify import Answer, Notify, Release
from ..errors import Conflict, Draining, LedgerError, LimitReached, LoginEnded
from ..ledger import Commit
from ..ledger.memory import DONE
from .audit import IN_PROCESS, Audit
from .idempotency import Answers
from .member import Ending, Outcome, Spawn
from .membership import Membership
from .timers import Timers, in_slices

OnDecision = Callable[[int], object]
"""Called with the epoch in the step that decides."""

_RESULTS = {
    Draining: "draining",
    Conflict: "conflict",
    LoginEnded: "conflict",
    LimitReached: "limit",
    LedgerError: "failed",
}


@attrs.frozen
class Accepted:
    """A notify or release that was carried out in one step, and what is left to wait for."""

    wanted: Notify | Release
    outcome: Outcome
    repeated: bool
    commit: Commit | None
    finished: bool
    """Whether nothing is left: it is durable, everybody has been told, and it has been counted."""


class Follower(Protocol):
    """Whoever keeps records of their own about the sessions of the rooms."""

    def decided(self, room: str, ended: Collection[str]) -> object:
        """Take note that these sessions of a room have ended; neither await nor raise."""
        ...

    async def sweep(self) -> object:
        """Forget what is too old; called now and then in the hub's own task.

        What it raises is logged.
        """
        ...


class Decisions:
    """Carries out notifies and releases, and tells the followers.

    `clock` is monotonic, in seconds. `spawn` starts a task that lives no longer than the hub.
    """

    def __init__(
        self,
        config: Config,
        membership: Membership,
        answers: Answers,
        audit: Audit,
        timers: Timers,
        spawn: Spawn,
        *,
        clock: Callable[[], float],
        draining: trio.Event,
    ) -> None:
        self.followers: list[Follower] = []
        self._config = config
        self._membership = membership
        self._recognition = membership.recognition
        self._counters = membership.counters
        self._answers = answers
        self._audit = audit
        self._timers = timers
        self._spawn = spawn
        self._clock = clock
        self._draining = draining
        self._busy: dict[str, trio.lowlevel.ParkingLot] = {}
        self._quiet = trio.Event()

    def reload(self, config: Config) -> None:
        """Take over another configuration."""
        self._config = config

    async def accept(
        self,
        wanted: Notify | Release,
        *,
        by: Release | None = None,
        on_decision: OnDecision | None = None,
        caller: str = IN_PROCESS,
    ) -> Outcome:
        """Carry out what has been checked. Raises as `Hub.notify` and `Hub.release` do.

        If the session of `by` does not stand, `by` is carried out instead. `caller` is who has
        asked, for the audit log.
        """
        try:
            with self.within_ledger_timeout():
                outcome, repeated = await self._decide_in_turn(wanted, by, on_decision, caller)
        except (Draining, Conflict, LimitReached, LedgerError) as refusal:
            self._count(wanted, _RESULTS[type(refusal)])
            if isinstance(refusal, LimitReached):
                assert isinstance(wanted, Notify), "to end sessions needs no place"
                self._audit.refused(wanted, self._recognition.view(wanted.room).epoch, caller)
            raise
        await outcome.told.wait()
        self._count(wanted, "duplicate" if repeated else "accepted")
        return outcome

    def accept_at_once(self, wanted: Notify | Release, caller: str) -> Accepted | None:
        """Carry out what has been checked, in this step, if it need not wait and is not refused.

        Otherwise do nothing and return None; :meth:`accept` then waits, or raises. If the result
        is not `finished`, the caller has to call :meth:`finish`.
        """
        if self._draining.is_set() or wanted.room in self._busy:
            return None
        try:
            outcome, repeated, commit = self._decide_or_repeat(wanted, None, caller)
        except (Conflict, LimitReached):
            return None
        finished = commit.done and outcome.told.is_set()
        if finished:
            self._count(wanted, "duplicate" if repeated else "accepted")
        elif not commit.done:
            self._busy[wanted.room] = trio.lowlevel.ParkingLot()
        return Accepted(wanted, outcome, repeated, None if commit.done else commit, finished)

    async def finish(self, accepted: Accepted) -> None:
        """Wait until what was accepted at once is durable, and everybody is told.

        Raises:
            LedgerError: it could not be made durable.
        """
        wanted, outcome = accepted.wanted, accepted.outcome
        try:
            if accepted.commit is not None:
                try:
                    with self.within_ledger_timeout():
                        await accepted.commit.wait()
                        outcome.durable = True
                finally:
                    self._end_turn(wanted.room)
        except LedgerError:
            self._count(wanted, "failed")
            raise
        await outcome.told.wait()
        self._count(wanted, "duplicate" if accepted.repeated else "accepted")

    async def _decide_in_turn(
        self,
        wanted: Notify | Release,
        by: Release | None,
        on_decision: OnDecision | None,
        caller: str,
    ) -> tuple[Outcome, bool]:
        """Wait for the turn, carry out, wait for the ledger; return whether it was repeated."""
        self._refuse_while_draining()
        room = wanted.room
        await self._take_turn(room)
        try:
            self._refuse_while_draining()
            if by is not None and by.session not in self._recognition.view(by.room).sessions:
                wanted, on_decision = by, None
            outcome, repeated, commit = self._decide_or_repeat(wanted, on_decision, caller)
            await commit.wait()
            outcome.durable = True
        finally:
            self._end_turn(room)
        return outcome, repeated

    def _decide_or_repeat(
        self, wanted: Notify | Release, on_decision: OnDecision | None, caller: str
    ) -> tuple[Outcome, bool, Commit]:
        repeated = self._answers.get(wanted)
        answer, outcome = repeated or self.decide(wanted, on_decision, caller)
        # Noted in the same step as it was decided; or again, if that had failed.
        commit = DONE if outcome.durable else self._recognition.note(wanted.room, answer)
        outcome.durable = commit.done
        return outcome, repeated is not None, commit

    @contextlib.contextmanager
    def within_ledger_timeout(self) -> Iterator[None]:
        """Let the block wait no longer than `ledger_timeout`, for the ledger or for a turn."""
        with self._timers.cancel_after(self._config.ledger_timeout) as patience:
            yield
        if patience.is_over:
            raise LedgerError("the ledger takes too long")

    def _refuse_while_draining(self) -> None:
        if self._draining.is_set():
            raise Draining("the hub is shutting down")

    def _count(self, wanted: Notify | Release, result: str) -> None:
        counter = self._counters.notifies if isinstance(wanted, Notify) else self._counters.releases
        counter[result] += 1

    def decide(
        self,
        wanted: Notify | Release,
        on_decision: OnDecision | None = None,
        caller: str = IN_PROCESS,
    ) -> tuple[Answer | None, Outcome]:
        """Decide, and tell the first members that it ends; the caller notes it in the ledger."""
        started = self._clock()
        ending = self._membership.decide(wanted)
        if on_decision is not None:
            on_decision(ending.outcome.epoch)
        # A short fan-out is over before anything awaits. A long one goes on in the hub's
        # nursery, whatever becomes of the caller.
        if next(ending.telling, None) is None:
            self._counters.fan_out(self._clock() - started)
            ending.outcome.told.set()
        else:
            self._spawn(self._finish_fan_out, ending, started)
        self._audit.decided(wanted, ending.outcome, caller)
        if self.followers:
            # Sessions that the room does not know too: a follower may know them.
            named = (wanted.session,) if isinstance(wanted, Release) else wanted.end
            stand = self._recognition.view(wanted.room).sessions
            self.tell_followers(wanted.room, {*ending.outcome.ended, *named} - stand)
        return self._answers.put(wanted, ending), ending.outcome

    async def _finish_fan_out(self, ending: Ending, started: float) -> None:
        try:
            await trio.lowlevel.checkpoint()
            await in_slices(ending.telling)
            self._counters.fan_out(self._clock() - started)
        finally:
            # A hard stop ends the members by itself; the caller may be in another nursery.
            ending.telling.close()
            ending.outcome.told.set()

    async def _take_turn(self, room: str) -> None:
        """Wait until no other notify of the room waits for the ledger, in the order they came."""
        if room in self._busy:
            await self._busy[room].park()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._busy[room] = trio.lowlevel.ParkingLot()

    def _end_turn(self, room: str) -> None:
        """Give the turn to the next one that waits, in this step: no other comes between."""
        if not self._busy[room].unpark():
            del self._busy[room]
            if not self._busy:
                self._quiet.set()

    def tell_followers(self, room: str, ended: Collection[str]) -> None:
        """Tell the followers that these sessions of a room have ended."""
        for follower in self.followers:
            follower.decided(room, ended)

    async def finished(self) -> None:
        """Wait for the notifies and releases in flight, whoever made them."""
        while self._busy:
            self._quiet = trio.Event()
            await self._quiet.wait()
