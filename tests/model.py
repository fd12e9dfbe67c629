"""The naive oracle: what single-session enforcement means, written to be obviously right.

It shares no code and no idea with the implementation: no epochs compared with floors, no
registry, no wheel. It keeps the whole history of every room, and answers each question
by reading that history from its beginning.
"""

import attrs

LAST = object()
"""The sender is left out: the session that joined last."""


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
    """A session joined."""

    session: str


@attrs.frozen
class Notified:
    """A notify was accepted."""

    sender: str | None


class Model:
    """Rooms as histories."""

    def __init__(self) -> None:
        self.history: dict[str, list[Seen | Notified]] = {}
        self.tabs: list[Tab] = []

    def living(self, room: str | None = None) -> list[Tab]:
        return [tab for tab in self.tabs if tab.alive and room in (None, tab.room)]

    def rooms(self) -> set[str | None]:
        return {tab.room for tab in self.living()}

    def ended_by(self, room: str, session: str) -> int | None:
        """The epoch of the notify that ended `session`; None if it stands or was never seen."""
        ended, epoch, known = None, 0, False
        for event in self.history.get(room, []):
            if isinstance(event, Notified):
                epoch += 1
                if event.sender == session:
                    ended, known = None, True
                elif known and ended is None:
                    ended = epoch
            elif event.session == session:
                known = True
        return ended

    def epoch(self, room: str) -> int:
        return sum(isinstance(event, Notified) for event in self.history.get(room, []))

    def last_joined(self, room: str) -> str | None:
        """The standing session whose first appearance since it last was ended is the newest."""
        order: list[str] = []
        for event in self.history.get(room, []):
            session = event.sender if isinstance(event, Notified) else event.session
            if isinstance(event, Notified) and session in order:
                order.remove(session)
            if session is not None and session not in order:
                order.append(session)
        standing = [session for session in order if self.ended_by(room, session) is None]
        return standing[-1] if standing else None

    def join(self, tab: Tab, room: str, session: str) -> None:
        tab.room, tab.session = room, session
        self.history.setdefault(room, []).append(Seen(session))
        ended = self.ended_by(room, session)
        tab.alive = ended is None
        if ended is not None:
            tab.expected.append(ended)

    def notify(self, room: str, sender: object) -> list[Tab]:
        """Accept a notify, and return whom it ends."""
        spared = self.last_joined(room) if sender is LAST else sender
        assert spared is None or isinstance(spared, str)
        self.history.setdefault(room, []).append(Notified(spared))
        victims = [tab for tab in self.living(room) if tab.session != spared]
        for tab in victims:
            tab.alive = False
            tab.expected.append(self.epoch(room))
        return victims
