"""The authority: logs in and out, judges requests, and keeps rooms and sessions in step.

The hub's room is what decides who stands; the store follows it. Both change in the same
step and are committed together, so that no request finds the one without the other.
"""

import secrets
import time
from collections.abc import Callable, Collection
from typing import Any, Protocol

import attrs

from ..core.tokens import MAX_EPOCH
from ..server.member import Outcome
from ..server.recognition import View
from . import cookies
from .cookies import Claims, User
from .keys import Key, Keys
from .sessions import Sessions
from .settings import Kind, Settings
from .verdict import ASK_STORE, Anonymous, Authenticated, Headers, Reason, Session, judge, recognise

# Bytes of randomness: in a session's id, which is no secret but must not be guessed; in
# the CSRF token; in a key.
SESSION_BYTES = 24
CSRF_BYTES = 24
KEY_BYTES = 32

# Seconds between two looks for sessions that have been idle for too long.
SWEEP = 60.0

# Characters that are kept.
MAX_USER_AGENT = 256
MAX_ADDRESS = 64


class Rooms(Protocol):
    """What the authority needs of a hub. Times are Unix seconds; a login is of an epoch."""

    def stands(self, room: str, session: str, *, epoch: int, issued: float) -> bool | None:
        """Whether a login stands, as far as memory goes; None where that does not know it."""
        ...

    def recall(self, room: str, session: str, *, epoch: int, issued: float) -> bool:
        """Take up a login that the store has proved; False if it has ended."""
        ...

    def view(self, room: str) -> View:
        """Return who stands in a room."""
        ...

    def follow(self, follower: Callable[[str, Collection[str]], object]) -> None:
        """Have `follower` called, at every decision, with the room and who has ended."""
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

    async def log_out(self, room: str, session: str) -> Outcome:
        """Carry out that a session logs everybody out; one that has ended ends nobody."""
        ...

    async def release(self, room: str, session: str) -> Outcome:
        """Carry out that one session has logged out."""
        ...


@attrs.frozen
class LoggedIn:
    """What a login has come to."""

    claims: Claims = attrs.field(repr=False)
    cookies: list[str] = attrs.field(repr=False)
    """Values of ``Set-Cookie`` headers."""
    outcome: Outcome
    """Who was ended by it; with the ticket that the login's pages join with."""


class Authority:
    """Whose request is this? Made by :meth:`open`.

    `room` names a user's room; `wall` is Unix time in seconds.
    """

    def __init__(
        self,
        rooms: Rooms,
        sessions: Sessions,
        settings: Settings,
        *,
        room: Callable[[User], str],
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._rooms = rooms
        self._sessions = sessions
        self._room = room
        self._wall = wall
        self._swept = wall()
        rooms.follow(self._follow)

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
        authority = cls(rooms, sessions, settings or Settings(), room=room, wall=wall)
        if sessions.keys is None:
            stored = await sessions.load_keys()
            # Another authority may have been quicker.
            if sessions.keys is None and stored is not None:
                sessions.keys = stored
            elif sessions.keys is None:
                await authority.generate_new_keys()
        return authority

    @property
    def _keys(self) -> Keys:
        assert self._sessions.keys is not None
        return self._sessions.keys

    async def login(
        self,
        user: User,
        *,
        remember_login: bool = False,
        detail: dict[str, Any] | None = None,
        user_agent: str | None = None,
        address: str | None = None,
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
        session = Session(
            id=claims.session,
            user=user,
            room=room,
            kind=claims.kind,
            app_type=claims.app_type,
            epoch=claims.epoch,
            created=now,
            seen=now,
            user_agent=_printable(user_agent, MAX_USER_AGENT),
            address=_printable(address, MAX_ADDRESS),
        )

        def create(epoch: int) -> None:
            self._sessions.create(attrs.evolve(session, epoch=epoch))

        await self._recall(room)
        outcome = await self._rooms.notify(
            room, sender=claims.session, reason="login", detail=detail, together=create
        )
        await self._end_elsewhere(user, room)
        self._sweep(now)
        claims = attrs.evolve(claims, epoch=outcome.epoch)
        written = cookies.write(claims, self.settings, self._keys)
        return LoggedIn(claims, written, outcome)

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
        assert known is not None
        if known.room != self._room(claims.user):
            return Anonymous(Reason.ENDED)
        # The room knows it from now on.
        if not self._rooms.recall(known.room, known.id, epoch=known.epoch, issued=known.created):
            return Anonymous(Reason.SUPERSEDED)
        if not activity:
            return attrs.evolve(verdict, checked=False)
        self._sessions.touch(claims.session, now)
        self._sweep(now)
        return verdict

    def renew(self, identity: Authenticated) -> list[str]:
        """Return the ``Set-Cookie`` values that go with the answer to a request; mostly none.

        Never for a login that has ended since, or whose key is not in use any more.
        """
        claims = identity.claims
        if not identity.checked or claims.kid not in self._keys.verifying:
            return []
        if self._stands(claims) is False:
            return []
        return cookies.write(claims, self.settings, self._keys)

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
        await self._recall(room)
        outcome = await self._rooms.log_out(room, identity.session)
        if not self._rooms.view(room).sessions:
            await self._end_elsewhere(identity.user, room)
        return outcome

    async def end(self, user: User, session: str) -> Outcome | None:
        """End one session of a user, and no other; None if the user has no such session.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable, or the store not be read.
        """
        for known in await self._sessions.of_user(user.id):
            if known.id == session and known.room == self._room(user):
                return await self._rooms.release(known.room, session)
        return None

    async def sessions(self, user: User) -> list[Session]:
        """Return a user's sessions that stand, the newest first.

        Raises:
            LedgerError: the store cannot be read.
        """
        room = self._room(user)
        return [
            s for s in await self._sessions.of_user(user.id) if s.room == room and self._is_alive(s)
        ]

    async def rotate_keys(self) -> None:
        """Sign with a new key from now on; what the others have signed stays valid.

        Raises:
            LedgerError: it could not be made durable.
        """
        await self._use(self._keys.rotated(self._new_key()))

    async def generate_new_keys(self) -> None:
        """Make everyone log in again, at their next request.

        Raises:
            LedgerError: it could not be made durable; it has its effect all the same.
        """
        await self._use(Keys((self._new_key(),)))

    async def _use(self, keys: Keys) -> None:
        self._sessions.keys = keys
        await self._sessions.store_keys(keys).wait()

    def _new_key(self) -> Key:
        # The newest of all, whichever way the clock was put.
        keys = self._sessions.keys
        created = max(self._wall(), keys.signing.created + 0.001 if keys else 0.0)
        return Key(secrets.token_hex(8), secrets.token_bytes(KEY_BYTES), created)

    def _stands(self, claims: Claims) -> bool | None:
        return self._rooms.stands(
            self._room(claims.user), claims.session, epoch=claims.epoch, issued=claims.issued
        )

    def _is_alive(self, session: Session) -> bool:
        stands = self._rooms.stands(
            session.room, session.id, epoch=session.epoch, issued=session.created
        )
        return stands is not False and not session.is_idle(self.settings, self._wall())

    async def _recall(self, room: str) -> None:
        """Tell a room of the logins that it has forgotten, so that it decides about all of them."""
        for known in reversed(await self._sessions.of_room(room)):
            if self._is_alive(known):
                self._rooms.recall(room, known.id, epoch=known.epoch, issued=known.created)

    async def _end_elsewhere(self, user: User, room: str) -> None:
        """End a user's sessions of other rooms: where the room is named by what has changed."""
        for known in await self._sessions.of_user(user.id):
            if known.room != room:
                await self._rooms.release(known.room, known.id)

    def _follow(self, room: str, ended: Collection[str]) -> None:
        """Drop from the store what has ended in a room, in the step that has decided it."""
        for session in ended:
            self._sessions.revoke(session)
        self._sessions.revoke_superseded(room, self._rooms.view(room))

    def _sweep(self, now: float) -> None:
        if abs(now - self._swept) >= SWEEP:
            self._swept = now
            for kind in Kind:
                self._sessions.sweep(kind, now - self.settings.max_idle(kind))


def _printable(text: str | None, limit: int) -> str:
    return "".join(filter(str.isprintable, text or ""))[:limit]
