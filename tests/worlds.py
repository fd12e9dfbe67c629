"""The oracle of the soak: all that may be true of a room, as far as its answers have told.

A request on its way splits each world in two, one in which it happens and one in which it
does not; an answer leaves only those that agree with it. What is so in every world must be
so in the server.
"""

import enum
from collections.abc import Callable

import attrs


class Last(enum.Enum):
    """The sender is left out: the session that joined last."""

    JOINED = enum.auto()


@attrs.frozen
class Join:
    """A browser asks to be admitted."""

    session: str


@attrs.frozen
class Notify:
    """`sender` has logged in; or whoever joined last; or, if None, everybody out."""

    id: str
    sender: str | Last | None


@attrs.frozen
class Release:
    """A session logs itself out."""

    session: str


Request = Join | Notify | Release


@attrs.frozen
class Login:
    """A session that stands: named by a notify, or merely joined."""

    session: str
    named: bool


@attrs.frozen
class World:
    """What may be true of a room: its logins, the newest last, and how it came to them."""

    places: int
    notified: tuple[str, ...] = ()
    """The ids of the notifies that have happened."""
    senders: tuple[str | None, ...] = ()
    """Whom each of them named."""
    logins: tuple[Login, ...] = ()
    ended: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        """Those who stand, and those who have ended."""
        return self.ended | {login.session for login in self.logins}

    def after(self, request: Request) -> "World":
        """Return the world in which `request` has happened: once, however often it was sent."""
        match request:
            case Join(session) if session in self.known:
                return self
            case Join(session):
                return self._with(Login(session, named=False))
            case Release(session) if session not in self.known:
                return self
            case Release(session):
                others = self._others(session)
                return attrs.evolve(self, logins=others, ended=self.ended | {session})
            case Notify(id) if id in self.notified:
                return self
            case Notify(id, sender):
                if sender is Last.JOINED:
                    sender = self.logins[-1].session if self.logins else None
                notified, senders = (*self.notified, id), (*self.senders, sender)
                return attrs.evolve(self, notified=notified, senders=senders).keep_only(sender)

    def epoch_of(self, request: Request) -> int:
        """Return the epoch that `request`, which has happened, is answered with."""
        if isinstance(request, Notify):
            return self.notified.index(request.id) + 1
        return len(self.notified)

    def is_over(self, request: Request) -> bool:
        """Say whether the login that a notify announced, which has happened, has ended since."""
        if not isinstance(request, Notify):
            return False
        return self.senders[self.notified.index(request.id)] in self.ended

    def keep_only(self, sender: str | None) -> "World":
        """Return the world in which `sender` is the newest, and all but the newest have ended."""
        if sender is None:
            everybody = {login.session for login in self.logins}
            return attrs.evolve(self, logins=(), ended=self.ended | everybody)
        world = self._with(Login(sender, named=True))
        # Who was never named is older than anybody who was.
        by_age = sorted(world.logins, key=lambda login: login.named)
        kept = tuple(login for login in world.logins if login in by_age[-self.places :])
        out = {login.session for login in world.logins if login not in kept}
        return attrs.evolve(world, logins=kept, ended=world.ended | out)

    def _with(self, login: Login) -> "World":
        logins = (*self._others(login.session), login)
        return attrs.evolve(self, logins=logins, ended=self.ended - {login.session})

    def _others(self, session: str) -> tuple[Login, ...]:
        return tuple(login for login in self.logins if login.session != session)


class Fate(enum.Enum):
    """What is known of a session."""

    ENDED = "must be ended"
    STANDS = "must stand"
    EITHER = "may be either"


class Worlds:
    """All that may be true of one room."""

    def __init__(self, places: int) -> None:
        self.possible = {World(places)}

    def ask(self, request: Request) -> None:
        """`request` is on its way: it may happen, or it may not."""
        self.possible |= {world.after(request) for world in self.possible}

    def answered(self, request: Request, agrees: Callable[[World], bool]) -> bool:
        """`request` has happened, to a world that `agrees`; False if there is none."""
        happened = {world.after(request) for world in self.possible}
        self.possible = {world for world in happened if agrees(world)}
        return bool(self.possible)

    def fate(self, session: str) -> Fate:
        """Say whether a session has to be ended or to stand, as far as is known."""
        ended = {session in world.ended for world in self.possible}
        if ended == {True}:
            return Fate.ENDED
        return Fate.STANDS if ended == {False} else Fate.EITHER

    def happened(self, notify: Notify) -> bool | None:
        """Say whether a notify has happened; None if that is not known."""
        happened = {notify.id in world.notified for world in self.possible}
        return happened.pop() if len(happened) == 1 else None
