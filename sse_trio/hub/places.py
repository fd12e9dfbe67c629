"""The WebSockets of one server: those that take a place, and those that are closing without one.

A WebSocket that the server closes or terminates frees its place at once, and stays until its
connection ends.
"""

from collections import Counter

import trio

from .member import Member


class Places:
    """The WebSockets."""

    def __init__(self) -> None:
        self.taken: dict[Member, None] = {}
        """Those that take a place. The earliest are first, here and below."""
        # Those that were sent a termination and have not answered; and those being closed.
        self._answering: dict[Member, None] = {}
        self._closing: dict[Member, None] = {}
        self._addresses: Counter[str] = Counter()
        # All whose connections have not ended, also those who were cut.
        self._present = 0
        self._left = trio.Event()

    @property
    def lingering(self) -> int:
        """How many are terminated or closing, and not gone."""
        return len(self._answering) + len(self._closing)

    def at(self, address: str) -> int:
        """Return how many of an address take a place."""
        return self._addresses[address]

    def take(self, member: Member) -> None:
        """Give a WebSocket a place."""
        self.taken[member] = None
        self._addresses[member.address] += 1
        self._present += 1

    def await_answer(self, member: Member) -> None:
        """Free the place of a member that was sent a termination."""
        self._free(member)
        self._answering[member] = None

    def await_close(self, member: Member) -> None:
        """Free the place of a WebSocket that is being closed, if it still has one."""
        if member in self.taken:
            self._free(member)
            self._closing[member] = None
        elif member in self._answering:
            del self._answering[member]
            self._closing[member] = None

    def give_up_eldest(self) -> Member:
        """Remove one of the closing WebSockets, and return it: the one that began to close first.

        It has had the most time. WebSockets that have nothing to acknowledge come first, so that
        refused strangers, however many, cut off no acknowledgement.
        """
        lingering = self._closing or self._answering
        eldest = next(iter(lingering))
        del lingering[eldest]
        return eldest

    def leave(self, member: Member) -> None:
        """Remove a WebSocket whose connection has ended."""
        if member in self.taken:
            self._free(member)
        self._answering.pop(member, None)
        self._closing.pop(member, None)
        self._present -= 1
        if not self._present:
            self._left.set()

    async def emptied(self) -> None:
        """Wait until no WebSocket is left: neither a parked one nor one with a task."""
        while self._present:
            if self._left.is_set():
                self._left = trio.Event()
            await self._left.wait()

    def _free(self, member: Member) -> None:
        del self.taken[member]
        self._addresses[member.address] -= 1
        if not self._addresses[member.address]:
            del self._addresses[member.address]
