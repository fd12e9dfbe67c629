"""The authority: logs in and out, judges requests, and keeps rooms and sessions in step.

The hub's room is what decides who stands; the store follows it. Both change in the same
step and are committed together, so that no request finds the one without the other.
"""

import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

import attrs

from ..core.tickets import MAX_EPOCH
from ..server.member import Outcome
from . import cookies
from .cookies import Claims, User
from .keys import Key, Keys
from .sessions import Sessions
from .settings import Kind, Settings
from .verdict import ASK_STORE, Anonymous, Authenticated, Headers, Session, judge, recognise

# Bytes of randomness: in a session's id, which is no secret but must not be guessed; in
# the CSRF token; in a key.
SESSION_BYTES = 24
CSRF_BYTES = 24
KEY_BYTES = 32

# Seconds between two looks for sessions that have been idle for too long.
SWEEP = 60.0

# Characters of a user agent that are kept.
MAX_USER_AGENT = 256


class Rooms(Protocol):
    """What the authority needs of a hub."""

    def stands(self, room: str, session: str, epoch: int) -> bool | None:
        """Whether a login stands; None where the room knows nothing of it."""
        ...

    def standing(self, room: str) -> Collection[str]:
        """Return the sessions of the room that stand."""
        ...

    async def notify(
        self,
        room: str,
        *,
        sender: str | None,
        reason: str,
        detail: dict[str, Any] | None,
        together: Callable[[int], object],
    ) -> Outcome:
        """Carry out that `sender` has logged in."""
        ...

    async def log_out(
        self, room: str, session: str, *, together: Callable[[int], object]
    ) -> Outcome:
        """Carry out that a session logs everybody out; one that has ended ends nobody."""
        ...

    async def release(
        self, room: str, session: str, *, together: Callable[[int], object]
    ) -> Outcome:
        """Carry out that one session has logged out."""
        ...


@attrs.frozen
class LoggedIn:
    """What a login has come to."""

    claims: Claims = attrs.field(repr=False)
    cookies: list[str] = attrs.field(repr=False)
    """Values of ``Set-Cookie`` headers."""
    ticket: str | None = attrs.field(repr=False)
    """What the login's pages join with."""
    outcome: Outcome
    """Who was ended by it."""


class Authority:
    """Whose request is this? Made by :meth:`open`.

    `room` names a user's room; `wall` is Unix time in seconds.
    """

    def __init__(
        self,
        rooms: Rooms,
        sessions: Sessions,
        keys: Keys,
        settings: Settings,
        *,
        room: Callable[[User], str],
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._rooms = rooms
        self._sessions = sessions
        self._keys = keys
        self._room = room
        self._wall = wall
        self._swept = wall()

    @classmethod
    async def open(
        cls,
        rooms: Rooms,
        sessions: Sessions,
        settings: Settings | None = None,
        *,
        room: Callable[[User], str] = lambda user: user.id,
        wall: Callable[[], float] = time.time,
    ) -> "Authority":
        """Take up the stored keys, or make the first one.

        Raises:
            LedgerError: the store cannot be read, or not be written.
        """
        keys = await sessions.load_keys()
        if keys is None:
            keys = Keys((_new_key(wall()),))
            await sessions.store_keys(keys).wait()
        return cls(rooms, sessions, keys, settings or Settings(), room=room, wall=wall)

    async def login(
        self,
        user: User,
        *,
        remember_login: bool = False,
        detail: dict[str, Any] | None = None,
        user_agent: str = "",
        address: str = "",
    ) -> LoggedIn:
        """Log a user in, whom the caller has authenticated; end the user's other sessions.

        `detail` is handed to those; `user_agent` and `address` are for the list of sessions.

        Raises:
            LocalProtocolError: the user's id and name are too long, or no name of a room.
            LimitReached: the room is full, and `at_limit` is ``refuse-new``; nothing changed.
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable; nobody is logged in by it.
        """
        now = self._wall()
        claims = Claims(
            user=user,
            session=secrets.token_urlsafe(SESSION_BYTES),
            kind=Kind.PERSISTENT if remember_login else Kind.SESSION,
            app_type=self.settings.app_type,
            epoch=MAX_EPOCH,
            issued=now,
            checked=now,
            csrf=secrets.token_urlsafe(CSRF_BYTES),
        )
        # What cannot be written, at whatever epoch, is found before anybody is ended.
        cookies.write(claims, self.settings, self._keys)
        room = self._room(user)

        def create(epoch: int) -> None:
            session = Session(
                id=claims.session,
                user=user,
                room=room,
                kind=claims.kind,
                app_type=claims.app_type,
                epoch=epoch,
                created=now,
                seen=now,
                user_agent=user_agent[:MAX_USER_AGENT],
                address=address,
            )
            self._sessions.create(session)
            self._follow(room)

        outcome = await self._rooms.notify(
            room, sender=claims.session, reason="login", detail=detail, together=create
        )
        self._sweep(now)
        claims = attrs.evolve(claims, epoch=outcome.epoch)
        written = cookies.write(claims, self.settings, self._keys)
        return LoggedIn(claims, written, outcome.ticket, outcome)

    async def authenticate(
        self, method: str, headers: Headers, *, activity: bool = True
    ) -> Authenticated | Anonymous:
        """Judge a request; `headers` have lower-case names.

        Without `activity` it does not count as a contact: a page that asks by itself.

        Raises:
            LedgerError: the store cannot be read.
        """
        now = self._wall()
        claims = recognise(method, headers, settings=self.settings, keys=self._keys, now=now)
        if isinstance(claims, Anonymous):
            return claims
        verdict = judge(claims, stands=self._stands(claims), settings=self.settings, now=now)
        if verdict is not ASK_STORE:
            return verdict
        known = await self._sessions.get(claims.session)
        # Much may have happened meanwhile, and memory knows it.
        verdict = judge(
            claims, stands=self._stands(claims), store=known, settings=self.settings, now=now
        )
        assert verdict is not ASK_STORE
        if isinstance(verdict, Anonymous):
            return verdict
        if not activity:
            return attrs.evolve(verdict, checked=False)
        self._sessions.touch(claims.session, now)
        self._sweep(now)
        return verdict

    def renew(self, identity: Authenticated) -> list[str]:
        """Return the ``Set-Cookie`` values that go with the answer to a request; mostly none."""
        return cookies.write(identity.claims, self.settings, self._keys) if identity.checked else []

    def forget(self) -> list[str]:
        """Return the ``Set-Cookie`` values that delete the cookies."""
        return cookies.delete(self.settings)

    async def logout(self, identity: Authenticated) -> Outcome:
        """End all of a user's sessions; a session that was superseded meanwhile ends nobody.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable.
        """
        room = self._room(identity.user)
        return await self._rooms.log_out(
            room, identity.session, together=lambda _: self._follow(room)
        )

    async def end(self, user: User, session: str) -> Outcome:
        """End one session of a user, and no other.

        Raises:
            LocalProtocolError: this is no name of a session.
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable.
        """
        room = self._room(user)
        return await self._rooms.release(room, session, together=lambda _: self._follow(room))

    async def sessions(self, user: User) -> list[Session]:
        """Return a user's sessions that stand, the newest first.

        Raises:
            LedgerError: the store cannot be read.
        """
        now = self._wall()
        return [
            session
            for session in await self._sessions.of_user(user.id)
            if self._rooms.stands(session.room, session.id, session.epoch) is not False
            and now - session.seen <= self.settings.max_idle(session.kind)
        ]

    async def rotate_keys(self) -> None:
        """Sign with a new key from now on; what the others have signed stays valid.

        Raises:
            LedgerError: it could not be made durable.
        """
        await self._use(self._keys.rotated(_new_key(self._wall())))

    async def generate_new_keys(self) -> None:
        """Make everyone log in again, at their next request.

        Raises:
            LedgerError: it could not be made durable; it has its effect all the same.
        """
        await self._use(Keys((_new_key(self._wall()),)))

    async def _use(self, keys: Keys) -> None:
        self._keys = keys
        await self._sessions.store_keys(keys).wait()

    def _stands(self, claims: Claims) -> bool | None:
        return self._rooms.stands(self._room(claims.user), claims.session, claims.epoch)

    def _follow(self, room: str) -> None:
        """Drop from the store what does not stand in the room."""
        self._sessions.revoke_others(room, self._rooms.standing(room))

    def _sweep(self, now: float) -> None:
        if now - self._swept >= SWEEP:
            self._swept = now
            for kind in Kind:
                self._sessions.sweep(kind, now - self.settings.max_idle(kind))


def _new_key(now: float) -> Key:
    return Key(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), now)
