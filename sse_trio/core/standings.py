"""The standings of all rooms: bounded in number and in time, the longest untouched goes first.

A room that has members is never forgotten; a forgotten one counts as never seen.
"""

from collections import OrderedDict
from collections.abc import Container, Iterator

from ..config import Config
from .standing import Record, Standing
from .tokens import LEEWAY


class Standings:
    """The standing of every room, the longest untouched first.

    `alive` holds the rooms that have members: those are never forgotten. `now` is Unix
    seconds throughout.
    """

    def __init__(self, config: Config, *, alive: Container[str]) -> None:
        self._config = config
        self._alive = alive
        self._rooms: OrderedDict[str, Standing] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rooms)

    def get(self, room: str) -> Standing | None:
        """Return the room's standing, if there is one."""
        return self._rooms.get(room)

    def touch(self, room: str, now: float) -> Standing:
        """Return the room's standing, new if need be, as the most recently used one."""
        standing = self._rooms.get(room)
        if standing is None:
            standing = self._rooms[room] = Standing(self._config)
        self._rooms.move_to_end(room)
        standing.touched = now
        return standing

    def restore(self, room: str, record: Record) -> None:
        """Take up what the ledger remembered; to be called oldest first, before any touch."""
        self._rooms[room] = Standing(
            self._config,
            record.epoch,
            record.floor,
            dict(record.logins),
            list(record.terminations),
            record.touched,
            record.notified,
            noted=record.touched,
        )

    def forget(self, now: float, *, keep: str | None = None) -> Iterator[str]:
        """Forget the rooms that are too old or too many; yield each that was looked at.

        A room that has members stays; where it was too old, it is as if touched. Goes no further
        than `keep`, nor than it is asked to.
        """
        for _ in range(len(self._rooms)):
            room, oldest = next(iter(self._rooms.items()))
            # As long as a ticket may still be good on a clock that is behind.
            expired = now - oldest.touched > self._config.ticket_lifetime + LEEWAY
            enough = not expired and len(self._rooms) <= self._config.max_remembered_rooms
            if room == keep or enough:
                return
            if room not in self._alive:
                del self._rooms[room]
            elif expired:
                self.touch(room, now)
            else:
                self._rooms.move_to_end(room)
            yield room
