"""Joins that cannot be answered from memory, where several nodes share a ledger.

Such a member is in its room already, so that a notify finds it. Here its room is read, and its
login is written if the room did not know it. All members that wait for one room at one moment are
admitted together.
"""

import trio

from ..core.messages import CloseCode
from ..core.tickets import Ticket
from ..errors import LedgerError
from .cache import RETRY, Cache
from .measuring import Measuring
from .member import Member
from .membership import Membership
from .timers import Timers


class Admissions:
    """Admits the members of one node whose rooms it does not know."""

    def __init__(
        self, membership: Membership, measuring: Measuring, cache: Cache, timers: Timers
    ) -> None:
        self._membership = membership
        self._measuring = measuring
        self._cache = cache
        self._timers = timers
        self._waiting: dict[str, list[Member]] = {}

    async def admit(self, member: Member, patience: float) -> None:
        """Admit a member, or terminate it; close it if that cannot be known in time.

        Members that come while others of the room are being admitted are admitted with the next
        group, and wait for at most twice `patience` seconds.
        """
        room = member.room
        if room in self._waiting:
            self._waiting[room].append(member)
            return
        waiting = self._waiting[room] = [member]
        try:
            while waiting:
                eldest = list(waiting)
                with self._timers.cancel_after(patience) as patient:
                    await self._admit_all(room, waiting)
                if patient.is_over:
                    self._turn_away(eldest)
                    _drop_measured(waiting)
        finally:
            # None are left, unless this was cancelled, or has failed.
            self._turn_away(waiting)
            del self._waiting[room]

    async def take_up(self, login: Ticket) -> bool:
        """Admit a login without a member; return whether it is active in its room by now.

        Raises:
            LedgerError: that cannot be known for the moment.
        """
        while True:
            await self._cache.read_unknown([login.room])
            stands, proposal = self._measuring.recall(login)
            if proposal is None:
                return stands
            await self._cache.decided(login.room, proposal)

    async def _admit_all(self, room: str, waiting: list[Member]) -> None:
        """Admit the waiting members, until none is left."""
        while waiting:
            try:
                if not self._cache.knows(room):
                    await self._cache.shared.restored()
                    await self._cache.read([room])
                await self._admit_some(room, waiting)
            except LedgerError:
                await trio.sleep(RETRY)

    async def _admit_some(self, room: str, waiting: list[Member]) -> None:
        proposal = self._measuring.admit_together(room, waiting)
        if proposal is not None:
            await self._cache.decided(room, proposal)
        _drop_measured(waiting)

    def _turn_away(self, members: list[Member]) -> None:
        for member in members:
            if member.unmeasured is not None:
                self._membership.refuse(
                    member, CloseCode.TRY_AGAIN_LATER, "this node cannot know for the moment"
                )


def _drop_measured(waiting: list[Member]) -> None:
    waiting[:] = [member for member in waiting if member.unmeasured is not None]
