"""The naive oracle: what single-session enforcement means, written to be obviously right.

It shares no code with the implementation: no registry, no wheel, no ledger. It keeps the
whole history of every room, and answers each question by going through that history from
its beginning. What a crash takes away is the end of a history.
"""

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
class Notified:
    """A notify was accepted."""

    sender: str | None
    time: float = 0.0


@attrs.frozen
class Released:
    """A session logged out."""

    session: str
    time: float = 0.0


Event = Seen | Notified | Released


@attrs.define
class Room:
    """A room after some of its history. `standing` has the oldest login first."""

    limit: int
    epoch: int = 0
    notified: float = 0.0
    standing: list[str] = attrs.Factory(list)
    ended: dict[str, int] = attrs.Factory(dict)
    """The epoch of what ended a session."""
    released: dict[str, float] = attrs.Factory(dict)
    """When a session logged out."""
    told: list[int] = attrs.Factory(list)
    """The epochs of the notifies that a session can be told of."""
    logins: dict[str, int] = attrs.Factory(dict)
    """The epoch of each login that was named, by a notify or a ticket."""
    oldest_login: int = 0
    """When the room was last full of logins."""

    def known(self, session: str) -> bool:
        return session in self.standing or session in self.ended

    def go_on(self, event: Event) -> None:
        match event:
            case Seen(session, None, _):
                if not self.known(session):
                    self.standing.append(session)
            case Seen(session, int(), _):
                self._proved(event)
            case Notified(sender, time):
                self.epoch += 1
                self.notified = time
                self.told = [*self.told, self.epoch][-REMEMBERED:]
                if sender is None:
                    self._keep_newest(0)
                else:
                    self._log_in(sender, self.epoch)
                    self._keep_newest(self.limit)
            case Released(session, time):
                if session not in self.ended:
                    self._forget(session)
                    self.ended[session] = LOGGED_OUT
                    self.released[session] = time

    def proves(self, event: Seen) -> int:
        """The epoch that a ticket is good for."""
        assert event.epoch is not None
        # It was signed before the last notify, or before the session logged out: so was the login.
        over = max(self.notified, self.released.get(event.session, 0.0))
        return min(event.epoch, self.epoch - 1) if event.signed < over else event.epoch

    def ended_by(self, event: Seen) -> int | None:
        """The epoch that who comes is told to have been ended by; None if nothing has."""
        session = event.session
        if event.epoch is not None:
            proved = self.proves(event)
            if proved > self.epoch:
                return None
            if not self.known(session) and proved < self.oldest_login:
                return self._tell(proved + 1)
        ended = self.ended.get(session)
        return ended and self._tell(ended)

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
        elif not self.known(event.session) and proved >= self.oldest_login:
            self._log_in(event.session, proved)

    def _log_in(self, session: str, epoch: int) -> None:
        self._forget(session)
        self.standing.append(session)
        self.logins[session] = epoch

    def _forget(self, session: str) -> None:
        self.ended.pop(session, None)
        self.released.pop(session, None)
        self.logins.pop(session, None)
        if session in self.standing:
            self.standing.remove(session)

    def _keep_newest(self, count: int) -> None:
        def age(session: str) -> tuple[int, int]:
            # Who was never named is older than all who were.
            return self.logins.get(session, -1), self.standing.index(session)

        by_age = sorted(self.standing, key=age)
        for session in by_age[: max(0, len(by_age) - count)]:
            self._forget(session)
            self.ended[session] = self.epoch
        if len(self.logins) == count:
            self.oldest_login = min(self.logins.values(), default=self.epoch)


class Model:
    """Rooms as histories; `limit` sessions of a room stand."""

    def __init__(self, limit: int = 1) -> None:
        self.limit = limit
        self.history: dict[str, list[Event]] = {}
        self.tabs: list[Tab] = []

    def living(self, room: str | None = None) -> list[Tab]:
        return [tab for tab in self.tabs if tab.alive and room in (None, tab.room)]

    def rooms(self) -> set[str | None]:
        return {tab.room for tab in self.living()}

    def room(self, name: str) -> Room:
        """The room after all of its history."""
        room = Room(self.limit)
        for event in self.history.get(name, []):
            room.go_on(event)
        return room

    def ended_by(self, room: str, session: str) -> int | None:
        """The epoch of the notify that ended `session`; None if it stands or was never seen."""
        return self.room(room).ended_by(Seen(session))

    def epoch(self, room: str) -> int:
        return self.room(room).epoch

    def last_joined(self, room: str) -> str | None:
        """The standing session whose first appearance since it last was ended is the newest."""
        standing = self.room(room).standing
        return standing[-1] if standing else None

    def join(self, tab: Tab, room: str, event: Seen) -> None:
        tab.room, tab.session = room, event.session
        ended = self.room(room).ended_by(event)
        if ended is None:
            tab.alive = True
            self._happens(room, event)
        else:
            tab.expected.append(ended)

    def notify(self, room: str, sender: object, time: float = 0.0) -> list[Tab]:
        """Accept a notify, and return whom it ends."""
        spared = self.last_joined(room) if sender is LAST else sender
        assert spared is None or isinstance(spared, str)
        return self._happens(room, Notified(spared, time))

    def release(self, room: str, session: str, time: float = 0.0) -> list[Tab]:
        """Log a session out, and return whom that ends."""
        return self._happens(room, Released(session, time))

    def _happens(self, name: str, event: Event) -> list[Tab]:
        self.history.setdefault(name, []).append(event)
        room = self.room(name)
        victims = [tab for tab in self.living(name) if tab.session not in room.standing]
        for tab in victims:
            tab.alive = False
            tab.expected.append(room.epoch)
        return victims
