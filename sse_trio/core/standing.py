"""Standing: which logins a room still recognises.

Each room counts the notifies it has accepted: its *epoch*. Each session has the epoch
of its login: the room's epoch when it was first seen, or when a notify named it the
sender. A notify lifts the room's *floor* to the new epoch, and the rule is one line:

    a session is superseded if and only if its login epoch is below the floor.

So a session that was superseded stays so however often it comes back, until a notify
names it the sender again; and a sender notified twice is not superseded by itself.

What a room remembers is bounded in sessions, and all of it in rooms and in time: the
oldest is forgotten first. A forgotten session counts as never seen.
"""

import math
from collections import OrderedDict
from collections.abc import Container, Iterator
from typing import Any

import attrs

# Terminations kept per room to answer those who come back late: almost everybody is
# ended by the last notify or the one before it.
MAX_TERMINATIONS = 8


@attrs.frozen
class Termination:
    """What a superseded session is told: the notify that ended it."""

    epoch: int
    reason: str
    detail: dict[str, Any] | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Record:
    """One room's standing as a value, for the ledger."""

    epoch: int
    floor: int
    logins: dict[str, int] = attrs.field(repr=False)
    terminations: tuple[Termination, ...] = attrs.field(repr=False)
    touched: float
    notified: float = 0.0


@attrs.define
class Standing:
    """One room's epoch, floor, and the login epochs of the sessions it has seen."""

    max_sessions: int
    epoch: int = 0
    floor: int = 0
    touched: float = 0.0
    """Unix seconds of the last admission or notify."""
    notified: float = 0.0
    """Unix seconds of the last notify."""
    logins: dict[str, int] = attrs.field(factory=dict, repr=False)
    """Session to login epoch, the newest login last."""
    terminations: list[Termination] = attrs.Factory(list)

    def login(self, session: str, epoch: int | None = None, *, issued: float = math.inf) -> int:
        """Return the epoch of a session's login: what is known, or what a ticket proves.

        A session never seen before counts as of now. A ticket `issued` (whole Unix seconds)
        before the last notify is older than that, whatever its epoch: the room may have
        forgotten, and begun to count anew.
        """
        if epoch is not None and issued < int(self.notified):
            epoch = min(epoch, self.floor - 1)
        known = self.logins.get(session)
        return max((e for e in (known, epoch) if e is not None), default=self.epoch)

    def admit(self, session: str, epoch: int | None = None) -> int:
        """Note that `session` was seen, and return its login epoch.

        An `epoch` above the room's own means that the room has lost its memory: it is lifted
        to that login, and older ones fall below the floor.
        """
        login = self.login(session, epoch)
        if login > self.epoch:
            self.epoch = self.floor = login
        if login != self.logins.get(session):
            self._remember(session, login)
        return login

    def advance(self, sender: str | None, reason: str, detail: dict[str, Any] | None) -> int:
        """Accept a notify: everybody but `sender` falls below the floor. Return the epoch."""
        self.epoch += 1
        self.floor = self.epoch
        self.notified = self.touched
        self.terminations.append(Termination(self.epoch, reason, detail))
        del self.terminations[:-MAX_TERMINATIONS]
        if sender is not None:
            self._remember(sender, self.epoch)
        return self.epoch

    def superseded(self, login: int) -> Termination | None:
        """Return the termination that ended logins of epoch `login`, or None if they stand."""
        if login >= self.floor:
            return None
        for termination in self.terminations:
            if termination.epoch > login:
                return termination
        # The room was lifted by a ticket: nobody is left who knows the notify's words.
        return Termination(self.floor, "login")

    def newest(self) -> str | None:
        """Return the session that joined last among those that stand.

        A session joins when its login is first seen: an old one that merely reconnects, at a
        network's whim, does not become the newest by it.
        """
        for session, login in reversed(self.logins.items()):
            if login >= self.floor:
                return session
        return None

    def record(self) -> Record:
        """Return the standing as it is now, unaffected by what comes after."""
        return Record(
            self.epoch,
            self.floor,
            dict(self.logins),
            tuple(self.terminations),
            self.touched,
            self.notified,
        )

    def _remember(self, session: str, login: int) -> None:
        self.logins.pop(session, None)
        self.logins[session] = login
        while len(self.logins) > self.max_sessions:
            del self.logins[next(iter(self.logins))]


class Standings:
    """The standing of every room, the longest untouched first.

    `alive` holds the rooms that have members: those are never forgotten. `now` is Unix
    seconds throughout; `lifetime` is seconds.
    """

    def __init__(
        self, *, max_rooms: int, max_sessions: int, lifetime: float, alive: Container[str]
    ) -> None:
        self._max_rooms = max_rooms
        self._max_sessions = max_sessions
        self._lifetime = lifetime
        self._alive = alive
        self._rooms: OrderedDict[str, Standing] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rooms)

    def __iter__(self) -> Iterator[str]:
        return iter(self._rooms)

    def touch(self, room: str, now: float) -> Standing:
        """Return the room's standing, new if need be, as the most recently used one."""
        standing = self._rooms.get(room)
        if standing is None:
            standing = self._rooms[room] = Standing(self._max_sessions)
            self._forget(now, keep=room)
        else:
            self._rooms.move_to_end(room)
        standing.touched = now
        return standing

    def restore(self, room: str, record: Record) -> None:
        """Take up what the ledger remembered; to be called oldest first, before any touch."""
        self._rooms[room] = Standing(
            self._max_sessions,
            record.epoch,
            record.floor,
            record.touched,
            record.notified,
            dict(record.logins),
            list(record.terminations),
        )

    def _forget(self, now: float, *, keep: str) -> None:
        # At most two a call keeps the cost of a join constant, and still forgets faster
        # than rooms can come.
        for _ in range(2):
            room, oldest = next(iter(self._rooms.items()))
            expired = now - oldest.touched > self._lifetime
            if room == keep or (len(self._rooms) <= self._max_rooms and not expired):
                return
            if room in self._alive:
                self._rooms.move_to_end(room)
                oldest.touched = now
            else:
                del self._rooms[room]
