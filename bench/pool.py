"""Rooms of two, of which every notify uses up one member."""

import attrs
from hdrh.histogram import HdrHistogram

from .figures import histogram
from .servers import Server


@attrs.define
class Pool:
    """Gives out rooms, each twice; joins new members when there are no more.

    The first time round, a notify by the younger member's session ends the older one. The
    second time, a notify by a session that has not joined yet ends the younger one. So each
    ends exactly one member.
    """

    server: Server
    rooms: int
    turn: int = 2
    at: int = 0
    used: int = 0
    """Rooms that the first time round came to."""
    first: int = 0
    late: HdrHistogram = attrs.Factory(histogram)
    """By how much the generator itself was late."""

    def take(self, count: int) -> dict[str, float]:
        """Return the arguments of a command for so many notifies."""
        count = min(count, self.rooms)
        if self.turn == 1 and self.at + count > self.rooms:
            self.turn, self.used, self.at = 2, self.at, 0
        if self.turn == 2 and self.at + count > self.used:
            self.server.load.do("leave")
            self.server.settle()
            joined = self.server.load.do("join", rooms=self.rooms, size=2)
            self.first, self.turn, self.at = joined["first"], 1, 0
            self.server.settle()
        taken: dict[str, float] = {"first": self.first + self.at, "count": count, "pass": self.turn}
        self.at += count
        return taken
