"""Notifies and releases, carried out: those of one room one after the other, each durable.

Each is drafted and proposed to the ledger, and carried out in the step that learns of the decision.
The waits are around that step: for other notifies of the room, for the rest of a long fan-out, and
for the ledger's commit.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Protocol, runtime_checkable

import attrs
import trio

from ..config import Config
from ..core.notify import Answer, Notify, Release
from ..core.standing import Standing
from ..errors import Conflict, Draining, LedgerError, LimitReached, LoginEnded
from ..ledger import Proposal
from ..ledger.proposals import DONE, NOWHERE, LocalProposal, Repeated, Won
from ..ledger.sessions import SessionRow
from .audit import IN_PROCESS, Audit
from .cache import RETRY
from .drafts import Draft
from .idempotency import Answers
from .measuring import Measuring
from .member import Ending, Outcome, Spawn
from .recognition import Recognition
from .statistics import Counters
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


@attrs.define(eq=False)
class Accepted:
    """A notify or a release on its way, and its result so far."""

    wanted: Notify | Release
    caller: str
    """The caller, for the audit log."""
    by: Release | None = None
    """Carried out instead, if the session that it names is not active."""
    on_decision: OnDecision | None = None
    row: SessionRow | None = None
    """The sender's row, if nodes share such rows: it is made in the same transaction."""
    outcome: Outcome | None = None
    """None until it is decided."""
    is_repeated: bool = False
    is_proposed: bool = False
    has_turn: bool = False
    """Whether other notifies of the room wait until this one is done."""
    proposal: Proposal = DONE
    due: float = math.inf
    """When the ledger has taken too long, by `Timers.now`, if that is known before the wait."""

    @property
    def awaits_commit(self) -> bool:
        """Whether all terminations are sent; only a commit is missing, which others may share."""
        is_told = self.outcome is not None and self.outcome.told
        return is_told and isinstance(self.proposal, LocalProposal)

    @property
    def finished(self) -> Outcome | None:
        """The outcome, if it is final: it is durable, and all terminations are sent."""
        outcome = self.outcome
        is_over = outcome and outcome.told and self.proposal.done and self.is_counted
        return outcome if is_over else None

    @property
    def is_counted(self) -> bool:
        """Whether the outcome includes the counts of other nodes, if there are any."""
        is_local = isinstance(self.proposal, LocalProposal)
        return is_local or (self.outcome is not None and self.outcome.elsewhere is not NOWHERE)


class Follower(Protocol):
    """An object that keeps its own records of the sessions in rooms."""

    def decided(self, room: str, ended: Collection[str]) -> object:
        """Record that these sessions of a room have ended; neither await nor raise."""
        ...

    async def sweep(self) -> object:
        """Delete what is too old; called now and then in the hub's own task.

        Its exceptions are logged.
        """
        ...


@runtime_checkable
class SharedFollower(Follower, Protocol):
    """A follower whose records other nodes have too."""

    @property
    def watched(self) -> Collection[str]:
        """Rooms whose changes by other nodes it gets, too."""
        ...

    def hold(self) -> object:
        """Record that this node cannot know now which sessions are active; neither await nor raise.

        Everything that may run only while a login is active must end.
        """
        ...

    async def refresh(self) -> object:
        """Exchange data with the other nodes; called again and again.

        Its exceptions are logged.
        """
        ...


class Decisions:
    """Carries out notifies and releases, and calls the followers.

    `clock` is monotonic, in seconds. `spawn` starts a task that lives no longer than the hub.
    """

    def __init__(
        self,
        config: Config,
        measuring: Measuring,
        recognition: Recognition,
        answers: Answers,
        audit: Audit,
        timers: Timers,
        counters: Counters,
        spawn: Spawn,
        *,
        clock: Callable[[], float],
        draining: trio.Event,
    ) -> None:
        self.followers: list[Follower] = []
        self._config = config
        self._measuring = measuring
        self._recognition = recognition
        self._answers = answers
        self._audit = audit
        self._timers = timers
        self._counters = counters
        self._spawn = spawn
        self._clock = clock
        self._draining = draining
        self._busy: dict[str, trio.lowlevel.ParkingLot] = {}
        self._quiet = trio.Event()

    def reload(self, config: Config) -> None:
        """Use another configuration."""
        self._config = config

    async def accept(
        self,
        wanted: Notify | Release,
        *,
        by: Release | None = None,
        on_decision: OnDecision | None = None,
        row: SessionRow | None = None,
        caller: str = IN_PROCESS,
    ) -> Outcome:
        """Carry out a checked notify or release. Raises as `Hub.notify` and `Hub.release` do.

        If the session of `by` is not active, `by` is carried out instead. `row` is the sender's, if
        nodes share such rows. `caller` is for the audit log.
        """
        return await self.finish(Accepted(wanted, caller, by, on_decision, row))

    def accept_at_once(self, wanted: Notify | Release, caller: str) -> Accepted | None:
        """Begin a checked notify or release in this step, if it need not wait and is not refused.

        Otherwise do nothing and return None; :meth:`accept` then waits, or raises. If the result
        is not `finished` when this returns, the room's others wait until the caller has called
        :meth:`finish`; or :meth:`finish_at_once`, and that has returned the outcome; or
        :meth:`end_turn`.
        """
        if self._draining.is_set() or wanted.room in self._busy:
            return None
        if not self._recognition.knows(wanted.room):
            return None
        accepted = Accepted(wanted, caller)
        try:
            self._propose(accepted)
        except (Conflict, LimitReached):
            return None
        if accepted.finished:
            self._count_accepted(accepted)
        else:
            self._busy[wanted.room] = trio.lowlevel.ParkingLot()
            accepted.has_turn = True
            accepted.due = self._timers.now() + self._config.ledger_timeout
        return accepted

    def finish_at_once(self, accepted: Accepted) -> Outcome | None:
        """Complete in this step what has the turn, if there is nothing more to wait for.

        Otherwise do nothing and return None; :meth:`finish` then waits, or raises.
        """
        if outcome := accepted.finished:
            outcome.durable = True
            self.end_turn(accepted)
            self._count_accepted(accepted)
        return outcome

    async def finish(self, accepted: Accepted) -> Outcome:
        """Complete what was accepted. Raises as `Hub.notify` and `Hub.release` do.

        If it was `finished` at once, return its outcome.
        """
        if accepted.is_proposed and not accepted.has_turn:
            await trio.lowlevel.checkpoint()
            assert accepted.outcome is not None, "it was finished at once"
            return accepted.outcome
        try:
            with self.within_ledger_timeout(accepted.due):
                outcome = await self._carry_through(accepted)
                # The first one to wait may have been cancelled before that was known.
                if not (accepted.proposal.done and accepted.is_counted):
                    outcome.elsewhere = await accepted.proposal.everywhere()
        except (Draining, Conflict, LimitReached, LedgerError) as refusal:
            self._count(accepted.wanted, _RESULTS[type(refusal)])
            if isinstance(refusal, LimitReached):
                self._audit_refused(accepted)
            raise
        await outcome.wait_until_told()
        self._count_accepted(accepted)
        return outcome

    async def _carry_through(self, accepted: Accepted) -> Outcome:
        """Propose it in its turn, unless it is proposed already, and wait until it is durable."""
        room = accepted.wanted.room
        if not accepted.is_proposed:
            self._refuse_while_draining()
            await self._take_turn(room)
            accepted.has_turn = True
        try:
            if not accepted.is_proposed:
                self._refuse_while_draining()
                await self._propose_when_known(accepted)
            await self._decided(accepted)
            await accepted.proposal.durable()
            assert accepted.outcome is not None, "what is durable has been decided"
            accepted.outcome.durable = True
        finally:
            self.end_turn(accepted)
        return accepted.outcome

    async def _propose_when_known(self, accepted: Accepted) -> None:
        """Propose it when the room is known."""
        room, cache = accepted.wanted.room, self._recognition.cache
        if cache is None:
            self._propose(accepted)
            return
        await cache.read_unknown([room])
        try:
            self._propose(accepted)
        except LimitReached:
            # Other nodes may have decided something since the room was cached.
            await cache.read([room])
            self._propose(accepted)

    async def _decided(self, accepted: Accepted) -> None:
        """Wait until it is decided; draft it again each time that another node was faster.

        Raises:
            Conflict, LimitReached: a new draft is refused.
            LedgerError: the result cannot be known for the moment.
        """
        proposal = accepted.proposal
        while not isinstance(result := proposal.decided or await proposal.decision(), Won):
            if isinstance(result, Repeated):
                assert isinstance(accepted.wanted, Notify), "a release has no id"
                accepted.outcome = self._answers.repeat(accepted.wanted, result.answer)
                accepted.outcome.proposal = proposal
                accepted.is_repeated = True
                return
            assert self._recognition.cache is not None, "one process has no rivals"
            self._recognition.cache.lose(accepted.wanted.room, result.current)
            await self._propose_when_known(accepted)
            proposal = accepted.proposal

    def begin(self, wanted: Notify | Release, caller: str = IN_PROCESS) -> Accepted:
        """Propose a checked notify or release in this step, even if another one has the turn.

        If that does not decide it, a task of the hub completes it.
        """
        accepted = Accepted(wanted, caller)
        if self._recognition.knows(wanted.room):
            self._propose(accepted)
        if not accepted.is_proposed or accepted.proposal.decided is None:
            # A hub that has ended starts no tasks and decides nothing.
            with contextlib.suppress(RuntimeError):
                self._spawn(self._see_through, accepted)
        return accepted

    async def _see_through(self, accepted: Accepted) -> None:
        # No caller waits for it, and none would repeat it.
        with contextlib.suppress(Conflict, LimitReached):
            while True:
                try:
                    with self.within_ledger_timeout():
                        if not accepted.is_proposed:
                            await self._propose_when_known(accepted)
                        await self._decided(accepted)
                except LedgerError:
                    accepted.is_proposed = False
                    if self._draining.is_set():
                        return
                    await trio.sleep(RETRY)
                else:
                    return

    def _propose(self, accepted: Accepted) -> None:
        """Draft and propose it, unless its `id` is a repetition.

        Raises:
            Conflict: the `id` was used for something else, or its login has ended.
            LimitReached: every place is taken.
        """
        if (by := accepted.by) and by.session not in self._recognition.view(by.room).sessions:
            accepted.wanted, accepted.on_decision = by, None
        wanted = accepted.wanted
        if repeated := self._answers.get(wanted):
            accepted.is_repeated = True
            answer, accepted.outcome = repeated
            accepted.proposal = accepted.outcome.proposal
            if not accepted.outcome.durable:
                # That has failed; it is tried again.
                accepted.proposal = self._recognition.note(wanted.room, answer)
        else:
            draft = self._measuring.draft(wanted)
            answer = self._answers.of(draft)
            decided = partial(self._carry_out, accepted, draft, answer)
            sessions = self._recognition.changes(draft.standing, draft.ended, accepted.row)
            accepted.proposal = self._recognition.propose(
                wanted.room, draft.standing, decided, answer, sessions
            )
        accepted.is_proposed = True
        if accepted.outcome is not None and accepted.proposal.done:
            accepted.outcome.durable = True

    def _carry_out(
        self, accepted: Accepted, draft: Draft, answer: Answer | None, _: Standing
    ) -> Outcome:
        """Send the first terminations, in the step that has learned of the decision."""
        started = self._clock()
        ending = self._measuring.carry_out(draft)
        accepted.outcome = outcome = ending.outcome
        outcome.proposal = accepted.proposal
        if accepted.on_decision is not None:
            accepted.on_decision(outcome.epoch)
        # A short fan-out is over before anything awaits. A long one goes on in the hub's nursery,
        # even if the caller is cancelled.
        if outcome.told:
            self._counters.fan_outs.count(self._clock() - started)
        else:
            self._spawn(self._finish_fan_out, ending, started)
        wanted = draft.wanted
        self._audit.decided(wanted, outcome, accepted.caller)
        if self.followers:
            # Sessions that the room does not know too: a follower may know them.
            self.tell_followers(wanted.room, {*outcome.ended, *draft.ended} - draft.active)
        if answer is not None:
            self._answers.put(answer, ending)
        return outcome

    @contextlib.contextmanager
    def within_ledger_timeout(self, due: float = math.inf) -> Iterator[None]:
        """Limit the block's wait, for the ledger or for a turn, to `ledger_timeout`.

        And to the time until `due`, by `Timers.now`.

        Raises:
            LedgerError: the time is over.
        """
        seconds = min(self._config.ledger_timeout, due - self._timers.now())
        with self._timers.cancel_after(seconds) as patience:
            yield
        if patience.is_over:
            raise LedgerError("the ledger takes too long")

    def _refuse_while_draining(self) -> None:
        if self._draining.is_set():
            raise Draining("the hub is shutting down")

    def _count_accepted(self, accepted: Accepted) -> None:
        self._count(accepted.wanted, "duplicate" if accepted.is_repeated else "accepted")

    def _count(self, wanted: Notify | Release, result: str) -> None:
        counter = self._counters.notifies if isinstance(wanted, Notify) else self._counters.releases
        counter[result] += 1

    def _audit_refused(self, accepted: Accepted) -> None:
        wanted = accepted.wanted
        assert isinstance(wanted, Notify), "to end sessions needs no place"
        self._audit.refused(wanted, self._recognition.view(wanted.room).epoch, accepted.caller)

    async def _finish_fan_out(self, ending: Ending, started: float) -> None:
        try:
            await trio.lowlevel.checkpoint()
            await in_slices(ending.telling)
            self._counters.fan_outs.count(self._clock() - started)
        finally:
            # A hard stop ends the members anyway; the caller may be in another nursery.
            ending.telling.close()

    async def _take_turn(self, room: str) -> None:
        """Wait until no other notify of the room waits for the ledger, in the order they came."""
        if room in self._busy:
            await self._busy[room].park()
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._busy[room] = trio.lowlevel.ParkingLot()

    def end_turn(self, accepted: Accepted) -> None:
        """Give its turn, if it has it, to the next one of its room: no other comes between."""
        if not accepted.has_turn:
            return
        accepted.has_turn = False
        room = accepted.wanted.room
        if not self._busy[room].unpark():
            del self._busy[room]
            if not self._busy:
                self._quiet.set()

    def tell_followers(self, room: str, ended: Collection[str]) -> None:
        """Call the followers: these sessions of a room have ended."""
        for follower in self.followers:
            follower.decided(room, ended)

    async def finished(self) -> None:
        """Wait for all notifies and releases in flight."""
        while self._busy:
            self._quiet = trio.Event()
            await self._quiet.wait()
