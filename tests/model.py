"""The naive oracle: what single-session enforcement means, written to be obviously right.

It shares no code with the implementation: no registry, no wheel, no ledger. It keeps the
whole history of every room, and answers each question by going through that history, from
where it was when it was asked last. What a crash takes away is the end of a history.
"""

from collections.abc import Collection

import attrs

LAST = object()
"""The sender is left out: the session that joined last."""

LOGGED_OUT = -1
"""Ended by its own release, and so by no epoch."""

REMEMBERED = 8
"""Of how many notifies a room can still tell those who come late."""


@attrs.define(eq=False)
class Tab:
    """One connection: what it was told, and what it should have been told."""

    number: int
    room: str | None = None
    session: str | None = None
    alive: bool = False
    """Admitted, and neither ended nor gone."""
    expected: list[int] = attrs.Factory(list)
    """The epochs of the terminations it should have got, at most one."""
    deaf: bool = False
    """Its connection takes no frame that would have to wait."""


@attrs.frozen
class Seen:
    """A session joined; perhaps with a ticket, of this epoch, signed at this time."""

    session: str
    epoch: int | None = None
    signed: float = 0.0


@attrs.frozen
class Signed:
    """A ticket was signed for a session: then its login is known, from now on."""

    session: str


@attrs.frozen
class Notified:
    """A notify was accepted; some were to end in any case, and some were there."""

    sender: str | None
    time: float = 0.0
    end: frozenset[str] = frozenset()
    present: frozenset[str | None] = frozenset()
    limit: int | None = None
    """How many stand from now on, if that is not as configured."""


@attrs.frozen
class Released:
    """A session logged out; it may have been there."""

    session: str
    time: float = 0.0
    present: bool = False


Event = Seen | Signed | Notified | Released


@attrs.define
class Room:
    """A room after some of its history. `standing` has the oldest login first."""

    configured: int
    """How many stand at once, where no notify has said otherwise."""
    remembered: int
    """Of how many that merely joined, that merely joined and ended, that ended, it knows."""
    given: int | None = None
    """How many, as the last notify with a sender said."""
    epoch: int = 0
    notified: float = 0.0
    standing: list[str] = attrs.Factory(list)
    ended: dict[str, int] = attrs.Factory(dict)
    """The epoch of what ended a session, the last one last."""
    released: dict[str, float] = attrs.Factory(dict)
    """When a session logged out."""
    told: list[int] = attrs.Factory(list)
    """The epochs of the notifies that a session can be told of."""
    epochs: dict[str, int] = attrs.Factory(dict)
    """Of which epoch each login is that is known."""
    named: set[str] = attrs.Factory(set)
    """Those that a notify or a ticket has named."""
    oldest_login: int = 0
    """When the room was last full of logins."""
    forgotten: int = -1
    """The newest login that has ended and is not known any more."""

    @property
    def logins(self) -> dict[str, int]:
        """The epochs of those that stand and were named."""
        return {one: self.epochs[one] for one in self.standing if one in self.named}

    @property
    def limit(self) -> int:
        return self.given or self.configured

    def known(self, session: str) -> bool:
        return session in self.epochs

    def is_provable(self, session: str) -> bool:
        """Whether a ticket says more than what is known."""
        return session not in self.ended and session not in self.named

    def go_on(self, event: Event) -> None:
        match event:
            case Seen(session, None, _):
                if not self.known(session):
                    self.standing.append(session)
                    self.epochs[session] = self.epoch
            case Seen(session, int(), _):
                self._proved(event)
            case Signed(session):
                if self.is_provable(session):
                    self._log_in(session, self.epoch)
            case Notified():
                self._notified(event)
            case Released(session, time, present):
                if session in self.standing or (present and not self.known(session)):
                    self._end(session, LOGGED_OUT)
                    self.released[session] = time
        self._forget_some()

    def _notified(self, event: Notified) -> None:
        self.epoch += 1
        self.notified = event.time
        self.told = [*self.told, self.epoch][-REMEMBERED:]
        for session in sorted(event.end):
            there = session in event.present and not self.known(session)
            if session in self.standing or there:
                self._end(session, self.epoch)
        if event.sender is None:
            self._keep_newest(0)
        else:
            self.given = event.limit
            self._log_in(event.sender, self.epoch)
            self._keep_newest(self.limit)

    def proves(self, event: Seen) -> int:
        """The epoch that a ticket is good for."""
        assert event.epoch is not None
        # It was signed before the last notify, or before the session logged out: so was the login.
        over = max(self.notified, self.released.get(event.session, 0.0))
        return min(event.epoch, max(0, self.epoch - 1)) if event.signed < over else event.epoch

    def ended_by(self, event: Seen) -> int | None:
        """The epoch that who comes is told to have been ended by; None if nothing has."""
        session = event.session
        if event.epoch is not None:
            proved = self.proves(event)
            if proved > self.epoch:
                return None
            if self.is_provable(session) and self._is_over(proved):
                return self._tell(proved + 1)
        ended = self.ended.get(session)
        return ended and self._tell(ended)

    def _is_over(self, proved: int) -> bool:
        """Whether a login that is not known has ended."""
        return proved < self.oldest_login or proved <= self.forgotten

    def _tell(self, ended: int) -> int:
        told = [epoch for epoch in self.told if epoch >= ended > LOGGED_OUT]
        return told[0] if told else self.epoch

    def _proved(self, event: Seen) -> None:
        proved = self.proves(event)
        if proved > self.epoch:
            # The room has forgotten what the ticket remembers.
            self.epoch = proved
            self._log_in(event.session, proved)
            self._keep_newest(self.limit)
        elif self.is_provable(event.session) and not self._is_over(proved):
            self._log_in(event.session, proved)

    def _log_in(self, session: str, epoch: int) -> None:
        self._forget(session)
        self.standing.append(session)
        self.epochs[session] = epoch
        self.named.add(session)

    def _end(self, session: str, by: int) -> None:
        if session in self.standing:
            self.standing.remove(session)
        self.epochs.setdefault(session, self.epoch)
        self.ended[session] = by

    def _forget(self, session: str) -> None:
        self.ended.pop(session, None)
        self.released.pop(session, None)
        self.epochs.pop(session, None)
        self.named.discard(session)
        if session in self.standing:
            self.standing.remove(session)

    def _forget_some(self) -> None:
        over = [session for session in self.ended if session in self.named]
        out = [session for session in self.ended if session not in self.named]
        claims = [session for session in self.standing if session not in self.named]
        for session in (*over[: -self.remembered], *out[: -self.remembered]):
            self.forgotten = max(self.forgotten, self.epochs[session])
            self._forget(session)
        for session in claims[: -self.remembered]:
            self._forget(session)

    def _keep_newest(self, count: int) -> None:
        logins = self.logins

        def age(session: str) -> tuple[int, int]:
            # Who was never named is older than all who were.
            return logins.get(session, -1), self.standing.index(session)

        by_age = sorted(self.standing, key=age)
        for session in by_age[: max(0, len(by_age) - count)]:
            self._end(session, self.epoch)
        if len(self.logins) == count:
            self.oldest_login = min(self.logins.values(), default=self.epoch)


class Model:
    """Rooms as histories; `limit` sessions of a room stand.

    Where so little is `remembered` that somebody is forgotten, `check_memory` is the oracle's own.
    """

    def __init__(self, limit: int = 1, remembered: int = 64) -> None:
        self.limit = limit
        self.remembered = remembered
        self.history: dict[str, list[Event]] = {}
        """Of each room; it only ever grows."""
        self._after: dict[tuple[str, int], tuple[Room, int]] = {}
        """By its name and how much it remembers, a room after so many of its events."""
        self.tabs: list[Tab] = []

    def living(self, room: str | None = None) -> list[Tab]:
        return [tab for tab in self.tabs if tab.alive and room in (None, tab.room)]

    def rooms(self) -> set[str | None]:
        return {tab.room for tab in self.living()}

    def room(self, name: str) -> Room:
        """The room after all of its history."""
        return self._at_end(name, self.remembered)

    def _at_end(self, name: str, remembered: int) -> Room:
        key, history = (name, remembered), self.history.get(name, [])
        room, seen = self._after.get(key) or (Room(self.limit, remembered), 0)
        for event in history[seen:]:
            room.go_on(event)
        self._after[key] = room, len(history)
        return room

    def check_memory(self) -> None:
        """Who was named, and would stand in a room that forgets nothing, stands in this one."""
        for name in self.history:
            assert self._at_end(name, 1000).logins.keys() <= self.room(name).logins.keys()

    def ended_by(self, room: str, session: str) -> int | None:
        """The epoch of the notify that ended `session`; None if it stands or was never seen."""
        return self.room(room).ended_by(Seen(session))

    def epoch(self, room: str) -> int:
        return self.room(room).epoch

    def last_joined(self, room: str, end: Collection[str] = ()) -> str | None:
        """The standing session whose first appearance since it last was ended is the newest."""
        standing = [session for session in self.room(room).standing if session not in end]
        return standing[-1] if standing else None

    def join(self, tab: Tab, room: str, event: Seen) -> None:
        tab.room, tab.session = room, event.session
        ended = self.room(room).ended_by(event)
        if ended is None:
            tab.alive = True
            self._happens(room, event)
        else:
            tab.expected.append(ended)

    def sign(self, room: str, session: str) -> None:
        """Sign a ticket."""
        self._happens(room, Signed(session))

    def notify(
        self,
        room: str,
        sender: object,
        time: float = 0.0,
        end: Collection[str] = (),
        limit: int | None = None,
    ) -> list[Tab]:
        """Accept a notify, and return whom it ends."""
        spared = self.last_joined(room, end) if sender is LAST else sender
        assert spared is None or isinstance(spared, str)
        present = frozenset(tab.session for tab in self.living(room))
        return self._happens(room, Notified(spared, time, frozenset(end), present, limit))

    def release(self, room: str, session: str, time: float = 0.0) -> list[Tab]:
        """Log a session out, and return whom that ends."""
        present = any(tab.session == session for tab in self.living(room))
        return self._happens(room, Released(session, time, present))

    def _happens(self, name: str, event: Event) -> list[Tab]:
        before = self.room(name).epoch
        self.history.setdefault(name, []).append(event)
        room = self.room(name)
        victims = [tab for tab in self.living(name) if tab.session not in room.standing]
        if isinstance(event, Released):
            victims = [tab for tab in victims if tab.session == event.session]
        elif room.epoch == before:
            # Who is forgotten is there all the same.
            victims = []
        for tab in victims:
            tab.alive = False
            tab.expected.append(room.epoch)
        return victims
