"""The WebSockets of one server by whether they hold a place, and those that linger without one.

A WebSocket that was told to go frees its place at once, for others, and lingers until its
connection ends.
"""

from collections import Counter

import trio

from .member import Member


class Places:
    """Who is here."""

    def __init__(self) -> None:
        self.taken: dict[Member, None] = {}
        """Those that hold a place. The earliest are first, here and below."""
        # Those that were told to log out and have not answered; and those told to close.
        self._answering: dict[Member, None] = {}
        self._closing: dict[Member, None] = {}
        self._addresses: Counter[str] = Counter()
        # All whose connections have not ended, also those who were cut.
        self._present = 0
        self._left = trio.Event()

    @property
    def lingering(self) -> int:
        """How many were told to go, and have not gone."""
        return len(self._answering) + len(self._closing)

    def at(self, address: str) -> int:
        """Return how many of an address hold a place."""
        return self._addresses[address]

    def take(self, member: Member) -> None:
        """Give a WebSocket a place."""
        self.taken[member] = None
        self._addresses[member.address] += 1
        self._present += 1

    def await_answer(self, member: Member) -> None:
        """Free the place of a member that was told to log out."""
        self._free(member)
        self._answering[member] = None

    def await_close(self, member: Member) -> None:
        """Free the place of a WebSocket that was told to close, if it still has one."""
        if member in self.taken:
            self._free(member)
            self._closing[member] = None
        elif member in self._answering:
            del self._answering[member]
            self._closing[member] = None

    def give_up_eldest(self) -> Member:
        """Count one of those that linger no more, and return it: the one that was told first.

        It has had the most time to go. First come those that have nothing to answer: strangers
        who are refused, however many, cut no acknowledgement short.
        """
        lingering = self._closing or self._answering
        eldest = next(iter(lingering))
        del lingering[eldest]
        return eldest

    def leave(self, member: Member) -> None:
        """Forget a WebSocket whose connection has ended."""
        if member in self.taken:
            self._free(member)
        self._answering.pop(member, None)
        self._closing.pop(member, None)
        self._present -= 1
        if not self._present:
            self._left.set()

    async def emptied(self) -> None:
        """Wait until nobody is left: neither who is parked, nor who has a task of its own."""
        while self._present:
            if self._left.is_set():
                self._left = trio.Event()
            await self._left.wait()

    def _free(self, member: Member) -> None:
        del self.taken[member]
        self._addresses[member.address] -= 1
        if not self._addresses[member.address]:
            del self._addresses[member.address]
