"""The joins of one client: when each is answered.

A page may join again and again: whenever it has connected, or, if it connects again whenever it is
terminated, without a pause. So a join that comes too soon waits for the rest of a second.
"""

import math
from collections.abc import Callable
from typing import Final

from ...core.messages import ANSWER_INTERVAL, CloseCode
from ...core.recent import Recent
from ...errors import RemoteProtocolError
from ...hub.hearing import Claim
from ...hub.hub import Hub
from ...hub.member import Member, State
from ...hub.timers import HasDeadline

# Sessions that were terminated within the last `ANSWER_INTERVAL`, of which that is remembered.
_MAX_TERMINATED: Final = 65536


class Terminated:
    """When sessions were terminated, if that was just now."""

    def __init__(self) -> None:
        self._when: Recent[float] = Recent(lifetime=ANSWER_INTERVAL, size=_MAX_TERMINATED)

    def note(self, room: str, session: str, now: float) -> None:
        """Note that a page of a session was sent its termination."""
        self._when.put(f"{room}\0{session}", now, now)

    def when(self, claim: Claim, now: float) -> float:
        """Return when one of this session was; minus infinity, if that was not just now."""
        when = self._when.get(f"{claim.room}\0{claim.session}", now)
        return -math.inf if when is None else when


class Joins(HasDeadline):
    """Those of one client. The deadline is when a join that waits is answered.

    `terminated` is that of all clients; `spawn` starts a task.
    """

    __slots__ = ("_answered", "_claim", "_hub", "_member", "_spawn", "_terminated")

    def __init__(
        self, hub: Hub, member: Member, terminated: Terminated, spawn: Callable[..., None]
    ) -> None:
        self._hub = hub
        self._member = member
        self._terminated = terminated
        self._spawn = spawn
        # As which it joins, or has joined; and when a repetition of that was last answered.
        self._claim: Claim | None = None
        self._answered = -math.inf

    def take(self, claim: Claim) -> None:
        """Answer a join, at once or later. One like the first is answered as that was.

        Raises:
            RemoteProtocolError: it joins something else than before.
        """
        now = self._hub.timers.now()
        if self._claim is None:
            self._claim = claim
            due = self._terminated.when(claim, now) + ANSWER_INTERVAL
        elif (claim.room, claim.session) == (self._claim.room, self._claim.session):
            due = self._answered + ANSWER_INTERVAL
        else:
            raise RemoteProtocolError("it has joined already", CloseCode.MALFORMED)
        if self in self._hub.timers:
            pass  # one that waits is answered for both
        elif now < due:
            self._hub.timers.schedule(self, due)
        else:
            self._answer(self._claim)

    def expire(self, now: float) -> None:
        """Answer the one that has waited."""
        self._spawn(self._answer_late)  # where an exception harms nobody else

    def note_terminated(self) -> None:
        """Take note that the client is sent its termination."""
        # Not when it has gone: where it is slow, it can have joined anew before that is known.
        now = self._hub.timers.now()
        self._terminated.note(self._member.room, self._member.session, now)

    def end(self) -> None:
        """Forget what waits."""
        self._hub.timers.drop(self)

    async def _answer_late(self) -> None:
        assert self._claim is not None, "it was taken"
        self._answer(self._claim)

    def _answer(self, claim: Claim) -> None:
        member = self._member
        if member.state is State.JOINED:
            self._answered = self._hub.timers.now()
            if member.admission is None:
                self._hub.membership.tell_joined(member)
        elif member.state in (State.ARRIVING, State.CONNECTED):
            self._hub.hearing.join(member, claim)
            if member.admission is not None:
                self._spawn(self._hub.admit, member)
