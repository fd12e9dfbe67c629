"""The hub: what an embedder calls, and what is done from time to time.

`Measuring` decides, each rule in one synchronous step. `Decisions` and `Admissions` add what takes
time, and cannot change a decision.
"""

import contextlib
import math
import random
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Literal

import trio

from ..config import Config, Reload
from ..core.logins import Record
from ..core.messages import name
from ..core.notify import (
    CONFIGURED,
    LAST_JOINED,
    Answer,
    AtLimit,
    Configured,
    Last,
    Notify,
    Release,
)
from ..core.questions import LoginQuery
from ..core.tickets import Ticket
from ..core.verdict import Verdict
from ..errors import LedgerError, LocalProtocolError
from ..ledger import Ledger, SharedLedger
from ..ledger.sessions import SessionRow
from ..roster import Roster
from .admissions import Admissions
from .audit import IN_PROCESS, Audit, LoginByTicket, Sink
from .cluster import Cluster
from .decisions import Decisions, Follower, OnDecision
from .hearing import Hearing
from .holding import Holding
from .idempotency import Answers
from .limited_log import LimitedLog
from .measuring import Measuring
from .member import Member, Outcome, Spawn, Unmeasured
from .membership import Membership
from .recognition import View
from .statistics import Statistics
from .timers import Timers, in_slices, paced, slot_width

# Seconds between two searches for what has been remembered long enough.
SWEEP = 60

# A pause of so many seconds is logged.
LOGGED_PAUSE = 1.0


class Hub:
    """The rooms of one server. Made by `serve`; an embedder calls `notify` and the rest.

    `wall` is Unix time in seconds; `spawn` starts a task that lives no longer than the hub;
    `audit` is where every decision is written.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        spawn: Spawn,
        *,
        wall: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
        audit: Sink | None = None,
    ) -> None:
        if isinstance(ledger, SharedLedger):
            wall = ledger.wall
        self.config = config
        self.clock = trio.lowlevel.current_clock().current_time
        """`trio.current_time`, which looks it up each time and takes twice as long."""
        self._began = self.clock()
        self.port = config.port
        """The TCP port that the server listens on."""
        self.internal = config.internal
        """Where the server listens for internal requests, if `Config.internal` is set."""
        self.loading = False
        """Whether the ledger is still being read: no session can be admitted or ended yet."""
        self.leaving = trio.Event()
        """Set when the shutdown has begun: the server is not ready any more."""
        self.draining = trio.Event()
        """Set when it no longer admits members or accepts notifies."""
        self.limited_log = LimitedLog(self.clock)
        self.timers = Timers(clock=self.clock, width=slot_width(config), late=self._log_pause)
        self.membership = Membership(
            config,
            ledger,
            self.timers,
            wall=wall,
            jitter=jitter,
            failed=self.limited_log.failed,
        )
        self.measuring = Measuring(
            config,
            self.membership,
            self.timers,
            began_by_ticket=self._note_login_by_ticket,
        )
        self.hearing = Hearing(config, self.membership, self.measuring, self.timers)
        self.holding = Holding(self.membership, self.timers)
        self.recognition = self.membership.recognition
        self.counters = self.membership.counters
        self.audit = Audit(audit, wall=wall, failed=self._note_audit_failure)
        self.on_reload: list[Callable[[Config], object]] = [lambda _: self.audit.reopen()]
        """Functions that `reload` calls with the new configuration."""
        self.store: Any = None
        """The store of `sse_trio.auth`, which all its authorities share. The hub only keeps it."""
        self._answers = Answers(self.recognition, clock=self.clock, wall=wall)
        self.decisions = Decisions(
            config,
            self.measuring,
            self.recognition,
            self._answers,
            self.audit,
            self.timers,
            self.counters,
            spawn,
            clock=self.clock,
            draining=self.draining,
        )
        self._admissions: Admissions | None = None
        self._cluster: Cluster | None = None
        if cache := self.recognition.cache:
            self._admissions = Admissions(self.membership, self.measuring, cache, self.timers)
            self._cluster = Cluster(
                self.membership,
                self.measuring,
                cache,
                self.holding,
                spawn,
                lambda: self.config,
                self.decisions.followers,
                self.limited_log.failed,
            )

    @property
    def ledger(self) -> Ledger:
        """The ledger, which stores the hub's rooms."""
        return self.recognition.ledger

    def restore(self, records: Iterable[tuple[str, Record]], answers: Iterable[Answer]) -> None:
        """Add what the ledger remembers, before the first join."""
        self.recognition.restore(records)
        self._answers.restore(answers)

    async def notify(
        self,
        room: str | int,
        *,
        sender: str | int | None | Literal[Last.JOINED] = LAST_JOINED,
        reason: str = "login",
        detail: dict[str, Any] | None = None,
        id: str | None = None,
        end: Collection[str | int] = (),
        max_sessions: int | None | Literal[Configured.LIMIT] = CONFIGURED,
        at_limit: AtLimit | None = None,
        about: dict[str, Any] | None = None,
        on_decision: OnDecision | None = None,
        row: SessionRow | None = None,
    ) -> Outcome:
        """End every session of `room` but the sender's; return once that is durable.

        Without `sender` the session that joined last stays; with None no session stays. With
        `max_sessions` above 1, the newest others stay too, except at most 16 that `end` names:
        these end in the same step before the limit is checked, so the sender can take their places.
        The same `id` within ten minutes has one effect and the same outcome, also over a restart.

        `max_sessions` is the room's limit until its next notify, and `at_limit` applies to this
        one; left out, they are as configured, and `max_sessions` None is the largest limit. `about`
        describes this login for a person, for :meth:`sessions`.

        `on_decision` is called with the epoch in the step that decides: what it writes to the
        ledger is committed with it. It must neither await nor raise. If several nodes share the
        ledger, `row` is committed with it, with the epoch and the time of the decision.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
            Conflict: `id` was used for another room, sender or `end`; or the login that it has
                announced has ended since.
            LimitReached: the room is full, and `at_limit` is ``refuse-new``; nothing changed, and
                no session of `end` has ended.
            Draining: the hub is shutting down.
            LedgerError: the terminations were sent, but it did not become durable.
        """
        with _callers_mistakes():
            wanted = Notify(
                room=room,
                sender=sender,
                reason=reason,
                detail=detail,
                id=id,
                end=end,
                max_sessions=max_sessions,
                at_limit=at_limit,
                about=about,
            )
            wanted.check_limit(self.config)
        return await self.decisions.accept(wanted, on_decision=on_decision, row=row)

    async def release(
        self,
        room: str | int,
        session: str | int,
        *,
        reason: str = "logout",
        epoch: int | None = None,
        by: str | int | None = None,
        on_decision: OnDecision | None = None,
    ) -> Outcome:
        """End one session of `room`, which has logged out; return once that is durable.

        With the `epoch` of its login, a newer login stays.

        `by` is the session that asks, if it is another one. If that has ended, nothing changes.
        `on_decision` is called as by :meth:`notify`, but not in that case.

        A superseded session has ended already: its release changes nothing, and never ends the
        session that superseded it.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
            Draining: the hub is shutting down.
            LedgerError: the terminations were sent, but it did not become durable.
        """
        with _callers_mistakes():
            wanted = Release(room=room, session=session, reason=reason, epoch=epoch)
            asking = None if by is None else Release(room=room, session=by)
        return await self.decisions.accept(wanted, by=asking, on_decision=on_decision)

    def abandon(self, room: str | int, session: str | int) -> None:
        """Release a session that no browser has received, at once; the ledger notes it later.

        This works while the hub shuts down too. The session must have no members.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
        """
        with _callers_mistakes():
            wanted = Release(room=room, session=session)
        self.decisions.begin(wanted)

    async def log_out(
        self, room: str | int, session: str | int, *, on_decision: OnDecision | None = None
    ) -> Outcome:
        """End every session of `room`, because one of them asks; return once that is durable.

        If that session has ended, this is its :meth:`release`, and changes nothing. `on_decision`
        is called as by :meth:`notify`, but not in that case.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
            Draining: the hub is shutting down.
            LedgerError: the terminations were sent, but it did not become durable.
        """
        with _callers_mistakes():
            wanted = Notify(room=room, sender=None, reason="logout")
            by = Release(room=room, session=session)
        return await self.decisions.accept(wanted, by=by, on_decision=on_decision)

    def stands(
        self, room: str | int, session: str | int, *, epoch: int, issued: float
    ) -> bool | None:
        """Whether a login is active, by memory; None if the room does not know it.

        `epoch` is the login's, and `issued` when it was made, in Unix seconds.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
        """
        return self.recognition.stands(_login(room, session, epoch, issued))

    def recall(self, room: str | int, session: str | int, *, epoch: int, issued: float) -> bool:
        """Add a login that the caller's own records prove; False if it has ended.

        This has the effect of a join with a ticket: the room knows the login from now on, and
        counts it as seen.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
        """
        return self.measuring.recall(_login(room, session, epoch, issued))[0]

    async def take_up(
        self, room: str | int, session: str | int, *, epoch: int, issued: float
    ) -> bool:
        """Do as :meth:`recall`, and return when the ledger has decided it.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
            LedgerError: the ledger cannot decide it at the moment.
        """
        login = _login(room, session, epoch, issued)
        await trio.lowlevel.checkpoint()
        if self._admissions is None:
            return self.measuring.recall(login)[0]
        with self.decisions.within_ledger_timeout():
            return await self._admissions.take_up(login)

    def knows(self, room: str) -> bool:
        """Whether memory has the whole room, and may be relied on at this moment.

        One process always does.
        """
        return self.recognition.knows(room)

    async def read(self, *rooms: str | int) -> None:
        """Read rooms that this node does not know, where several nodes share the ledger.

        :meth:`stands`, :meth:`recall`, :meth:`view`, :meth:`sessions`, :meth:`check` and
        :meth:`ticket` answer from memory: called in the step in which this returns, they
        know all that there is of these rooms. One process always does.

        Raises:
            LocalProtocolError: a value is not a valid name of a room.
            LedgerError: they cannot be read, or this node cannot know for the moment.
        """
        with _callers_mistakes():
            names = {name(room, "room") for room in rooms}
        await trio.lowlevel.checkpoint()
        if cache := self.recognition.cache:
            with self.decisions.within_ledger_timeout():
                await cache.read_unknown(names)

    def view(self, room: str | int) -> View:
        """Return the active sessions of a room, and what ends unknown ones.

        Raises:
            LocalProtocolError: this is not a valid name of a room.
        """
        with _callers_mistakes():
            return self.recognition.view(name(room, "room"))

    def sessions(self, room: str | int) -> Roster:
        """Return the named, active sessions of a room, the newest first.

        Raises:
            LocalProtocolError: this is not a valid name of a room.
        """
        with _callers_mistakes():
            room = name(room, "room")
        return self.recognition.sessions(room, set(self.membership.rooms.sessions(room)))

    def check(
        self,
        room: str | int | None = None,
        session: str | int | None = None,
        *,
        token: str | None = None,
        epoch: int | None = None,
        seen: bool = False,
        renew: bool = False,
    ) -> Verdict:
        """Return whether a session is active: that of `token`, or `session` of `room`.

        The answer is the verdict of a join. The question begins and ends no session. With a token,
        or with `seen`, an active session counts as seen now: it keeps its place for another
        `ticket_lifetime`. With `renew`, the verdict has a fresh ticket and token. `epoch` is the
        login's; it can show that a session which the room does not know has ended.

        For a token that is not valid, or a page's ticket, the verdict is "not known".

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
        """
        with _callers_mistakes():
            query = LoginQuery(
                token=token, room=room, session=session, epoch=epoch, seen=seen, renew=renew
            )
        return self.recognition.judge_untrusted(query)

    def who_stands(self, room: str) -> tuple[list[str], int]:
        """Return the named, active sessions of a room, the newest first, and its floor."""
        return self.recognition.who_stands(room)

    @property
    def followers(self) -> list[Follower]:
        """The objects that get every decision."""
        return self.decisions.followers

    def follow(self, follower: Follower) -> None:
        """Call `follower` at every decision from now on, in the step that decides.

        Its `sweep` is called every `SWEEP` seconds.
        """
        self.decisions.followers.append(follower)

    def ticket(
        self, room: str | int, session: str | int, *, epoch: int | None = None
    ) -> str | None:
        """Sign a ticket for the login of `session`; None without an authkey.

        `epoch` is that login's, if the caller's own records prove it. The hub uses it if this node
        does not know the room at this moment.

        A session that the room has not seen, or that has only joined, counts as logged in now, and
        takes a place from now on. The ticket of a superseded session is signed too; a join with it
        is terminated.

        Raises:
            LocalProtocolError: a value is outside the protocol's limits.
        """
        with _callers_mistakes():
            room, session = name(room, "room"), name(session, "session")
        if epoch is not None and not self.knows(room):
            return self.recognition.mint_now(Ticket(room, session, epoch))
        if self.recognition.mark_named(room, session):
            epoch = self.view(room).epoch
            self.audit.began_by_ticket(LoginByTicket(room, session, epoch), IN_PROCESS)
        return self.recognition.ticket(room, session)

    def reload(self, wanted: Config) -> Reload:
        """Apply what can change without a restart, and return what has changed.

        The new values apply to decisions from now on. A reload ends and closes nothing, and an open
        WebSocket keeps its limits of bytes.
        """
        reload = self.config.reloaded(wanted)
        self.config = reload.config
        self.membership.reload(reload.config)
        self.measuring.reload(reload.config)
        self.hearing.reload(reload.config)
        self.decisions.reload(reload.config)
        for take_over in self.on_reload:
            take_over(reload.config)
        return reload

    def drain(self) -> None:
        """Shut down gracefully.

        For `lame_duck` seconds, the server is not ready any more, and accepts as before. `serve`
        returns within `shutdown_grace` seconds from now, and what the ledger needs to close.
        """
        self.leaving.set()
        if not self.config.lame_duck:
            self.stop_accepting()

    def stop_accepting(self) -> None:
        """Admit no more members, and accept no notifies: this follows the `lame_duck` seconds."""
        self.leaving.set()
        self.membership.draining = True
        self.draining.set()

    def statistics(self) -> Statistics:
        """Return the counts and sizes as they are now."""
        return self.membership.statistics()

    @property
    def uptime(self) -> float:
        """Seconds since the start: the time in which the statistics have been counted."""
        return self.clock() - self._began

    async def admit(self, member: Member) -> None:
        """Send `Joined` to a member, as soon as the ledger has its join.

        If the ledger fails, the member still gets it: a failing ledger keeps no member out.
        """
        if isinstance(member.admission, Unmeasured):
            assert self._admissions is not None, "only what is shared has to be read"
            await self._admissions.admit(member, self.config.join_patience)
        elif member.admission is not None:
            with contextlib.suppress(LedgerError), self.decisions.within_ledger_timeout():
                await member.admission.durable()
            self.membership.tell_joined(member)

    def _note_login_by_ticket(self, login: LoginByTicket, address: str | None) -> None:
        self.audit.began_by_ticket(login, address or IN_PROCESS)
        if login.raises_epoch:
            self.decisions.tell_followers(login.room, login.ended)

    def _note_audit_failure(self, error: OSError) -> None:
        self.counters.audit_failures += 1
        self.limited_log.error("the audit log cannot be written: %s", error.strerror)

    async def run_timers(self, read_arrived: Callable[[], Iterable[int]] = tuple) -> None:
        """Do what is due, for ever: the one task that checks all deadlines.

        `read_arrived` reads the data that has arrived, before deadlines are checked; it yields
        wherever other tasks may run.
        """
        await self.timers.run(read_arrived, self.membership.run_due)

    async def run_cluster(self) -> None:
        """Do what this node does because of other nodes, for ever, if several share the ledger."""
        if self._cluster is not None:
            await self._cluster.run()

    def _log_pause(self, seconds: float) -> None:
        # Shorter pauses are usual on a busy machine.
        if seconds >= LOGGED_PAUSE:
            self.limited_log.warn(
                "the server was paused for %.1f s: deadlines are extended", seconds
            )

    async def sweep(self) -> None:
        """Delete what is too old, for ever."""
        while True:
            await trio.sleep(SWEEP)
            self.limited_log.report_left_out()
            await in_slices(self.recognition.sweep())
            for follower in self.decisions.followers:
                try:
                    await follower.sweep()
                except Exception as error:  # noqa: BLE001
                    # The other followers are still swept.
                    self.limited_log.failed("sweeping the records of a follower", error)

    async def close_all_websockets(self, *, by: float) -> None:
        """Close every WebSocket with 1001, at the `drain_rate`.

        It is faster if necessary, so that the last ones have all of `linger` until `by`, by Trio's
        clock.
        """
        count = len(self.membership.places.taken)
        left = by - trio.current_time() - self.config.linger
        seconds = max(0, min(count / self.config.drain_rate, left))
        rate = count / seconds if seconds else math.inf
        await paced(self.membership.close_all_websockets(seconds), rate=rate)


@contextlib.contextmanager
def _callers_mistakes() -> Iterator[None]:
    """Raise a `ValueError` about an argument as the error of a caller's mistake."""
    try:
        yield
    except ValueError as error:
        raise LocalProtocolError(str(error)) from None


def _login(room: str | int, session: str | int, epoch: int, issued: float) -> Ticket:
    """Return a login that the caller's own records prove, in the form of a ticket."""
    # Not by `_callers_mistakes`, which takes as long as the rest: every judged request comes here.
    try:
        return Ticket(name(room, "room"), name(session, "session"), epoch, issued)
    except ValueError as error:
        raise LocalProtocolError(str(error)) from None
