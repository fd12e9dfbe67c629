"""Keeps the store equal to the rooms, which decide which sessions are active.

If a room has forgotten a login, the store proves it. If a session expires, this module ends it in
its room. A session expires by the settings of its own authority. If no authority of the hub has the
session's provider or type of application any more, the store proves it to no room. It expires by
the settings of the authority that sweeps, and so by the strictest of all. Its authority may be
opened later. So it does not expire before the hub has swept for as long as the session may last.
"""

import contextlib
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

import attrs
import trio

from ..errors import Draining, LedgerError
from ..hub.decisions import Follower
from ..hub.limited_log import LimitedLog
from ..hub.member import Outcome
from ..hub.recognition import View
from ..ledger import Ledger, SharedLedger
from ..ledger.sessions import SessionRow
from .cookies import Claims, User, checked
from .keyring import Keyring
from .settings import Kind, Settings
from .shared import SharedSessions
from .stores import Store, keyring_of
from .verdict import Issuer, Session


class Rooms(Protocol):
    """What the authority needs of a hub. Times are Unix seconds; a login is of an epoch."""

    @property
    def ledger(self) -> Ledger:
        """The ledger, which stores the rooms."""
        ...

    def stands(self, room: str, session: str, *, epoch: int, issued: float) -> bool | None:
        """Whether a login is active, by memory; None if memory does not know it."""
        ...

    def recall(self, room: str, session: str, *, epoch: int, issued: float) -> bool:
        """Add a login that the store proves; False if it has ended."""
        ...

    async def take_up(self, room: str, session: str, *, epoch: int, issued: float) -> bool:
        """Do as `recall`, and return when it is decided."""
        ...

    def knows(self, room: str) -> bool:
        """Whether memory has the whole room, and it is true at this moment."""
        ...

    async def read(self, *rooms: str) -> None:
        """Return in a step in which these rooms are known."""
        ...

    def view(self, room: str) -> View:
        """Return the active sessions of a room."""
        ...

    def ticket(self, room: str, session: str, *, epoch: int) -> str | None:
        """Sign a ticket for the pages of a login; None without a key."""
        ...

    @property
    def limited_log(self) -> LimitedLog:
        """Where to log what may happen often."""
        ...

    store: Any
    """The store of the authority that was opened first; None before."""

    @property
    def followers(self) -> Sequence[Follower]:
        """The followers that have registered so far."""
        ...

    def follow(self, follower: Follower) -> None:
        """Have `follower` called at every decision, and swept now and then."""
        ...

    async def notify(
        self,
        room: str,
        *,
        sender: str | None,
        reason: str,
        detail: dict[str, Any] | None = ...,
        end: Collection[str] = ...,
        on_decision: Callable[[int], object] | None = ...,
        row: SessionRow | None = ...,
    ) -> Outcome:
        """Carry out a login of `sender`."""
        ...

    async def log_out(
        self, room: str, session: str, *, on_decision: Callable[[int], object]
    ) -> Outcome:
        """End all sessions, because one asks for it; an ended session cannot."""
        ...

    async def release(
        self,
        room: str,
        session: str,
        *,
        reason: str = ...,
        by: str | None = ...,
        on_decision: Callable[[int], object] | None = ...,
    ) -> Outcome:
        """End one session, which logs out itself or is ended by another one."""
        ...

    def abandon(self, room: str, session: str) -> None:
        """Release a session that no browser has received."""
        ...


@attrs.define(eq=False)
class Records:
    """The sessions of one provider and type of application, and their rooms.

    `wall` is Unix time in seconds.
    """

    rooms: Rooms
    store: Store
    settings: Settings
    _room: Callable[[User], str | int]
    wall: Callable[[], float]
    _scopes: dict[str, dict[trio.CancelScope, Claims]] = attrs.field(factory=dict, init=False)
    """The blocks that run only while a login is active, by its room."""
    _issuers: list[Issuer] | None = attrs.field(default=None, init=False)
    """The issuers that the store had when it was first swept: only these can lack an authority."""
    _since: float = attrs.field(default=math.inf, init=False)
    """When that was, in Unix seconds."""
    keyring: Keyring[Any] = attrs.field(init=False)
    is_shared: bool = attrs.field(init=False)
    """Whether other nodes decide about these sessions too."""

    @keyring.default
    def _the_stores(self) -> Keyring[Any]:
        return keyring_of(self.store, self.wall)

    @is_shared.default
    def _as_the_rooms(self) -> bool:
        return isinstance(self.rooms.ledger, SharedLedger)

    def room(self, user: User) -> str:
        """Name a user's room.

        Raises:
            LocalProtocolError: the application's `room` returned an invalid name.
        """
        return checked(self._room(user), "room")

    def stands(self, claims: Claims) -> bool | None:
        """Whether a login is active, by its room."""
        return self.rooms.stands(
            self.room(claims.user), claims.session, epoch=claims.epoch, issued=claims.issued
        )

    async def of_user(self, user: User) -> list[Session]:
        """Return a user's sessions, the newest first, also ended and expired ones.

        Raises:
            LedgerError: the store cannot be read.
        """
        return await self.store.of_user(self.settings.user_provider, user.id)

    def is_alive(self, known: Session) -> bool:
        """Whether it is active, and has not expired."""
        return self._may_stand(known) and not self._has_lapsed(known)

    def has(self, issuer: Issuer) -> bool:
        """Whether this issuer's sessions are among these."""
        provider, app_type = self._own()
        return issuer == (provider, app_type or issuer[1])

    async def recall(self, room: str) -> None:
        """Add the logins that a room has forgotten, so that it decides about all of them.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: the store cannot be read, or not be written.
        """
        for known in reversed(await self.store.of_room(room)):
            if self._has_lapsed(known):
                await self._end_lapsed(known)
            elif self._may_stand(known) and self._is_somebodys(known.issuer):
                epoch, issued = known.epoch, known.created
                if self.is_shared:
                    await self.rooms.take_up(room, known.id, epoch=epoch, issued=issued)
                else:
                    self.rooms.recall(room, known.id, epoch=epoch, issued=issued)

    async def settled(self, claims: Claims, known: Session | None) -> bool | None:
        """Return whether a login is active by its room, after this answer of the store.

        If several nodes share the store, its answer may be old. So the room must know the login, or
        add it. A change that ended the login would have changed the room, and a changed room stays
        in the cache for a while.

        Raises:
            LedgerError: that cannot be known for the moment.
        """
        room = self.room(claims.user)
        while self.is_shared:
            await self.rooms.read(room)
            if (stands := self.stands(claims)) is not None:
                return stands
            if known is None or (known.room, known.epoch) != (room, claims.epoch):
                return None
            if known.id in self.rooms.view(room).logins:
                return None
            epoch, issued = known.epoch, known.created
            if not await self.rooms.take_up(room, known.id, epoch=epoch, issued=issued):
                return False
        return self.stands(claims)

    async def end_elsewhere(self, user: User, room: str, before: float) -> None:
        """End a user's older sessions in other rooms: the name of a user's room may have changed.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: the store cannot be read, or not be written.
        """
        for known in await self.of_user(user):
            if known.room != room and known.created <= before:
                await self.rooms.release(known.room, known.id)

    def decided(self, room: str, ended: Collection[str]) -> None:
        """Delete the sessions from the store that a room has ended, in the step of the decision."""
        for session in ended:
            self.store.revoke(session)
        # Also those that the room had forgotten.
        for scope, claims in self._scopes.get(room, {}).items():
            if self.stands(claims) is False:
                scope.cancel()
        self.store.revoke_superseded(room, self.rooms.view(room))

    @property
    def watched(self) -> Collection[str]:
        """Rooms in which blocks run only while a login is active."""
        return self._scopes.keys()

    def hold(self) -> None:
        """Cancel the blocks that run only while a login is active: that cannot be known now."""
        self._cancel(self._scopes)

    def _cancel(self, rooms: Iterable[str]) -> None:
        for room in rooms:
            for scope in self._scopes.get(room, ()):
                scope.cancel()

    async def refresh(self) -> None:
        """Exchange data with other nodes."""
        # A block may have begun when its room was no longer known. Check this first, because it is
        # quick; an unreachable database takes long.
        if unknown := [room for room in self._scopes if not self.rooms.knows(room)]:
            try:
                await self.rooms.read(*unknown)
            except LedgerError:
                self._cancel(unknown)
            else:
                for room in unknown:
                    self.decided(room, ())
        if isinstance(self.store, SharedSessions):
            await self.store.refresh()

    @contextlib.contextmanager
    def while_standing(self, claims: Claims) -> Iterator[trio.CancelScope]:
        """Cancel the block when the login ends, or this node cannot know that any more."""
        with trio.CancelScope() as scope:
            if self.stands(claims) is False:
                scope.cancel()
            room = self.room(claims.user)
            scopes = self._scopes.setdefault(room, {})
            scopes[scope] = claims
            try:
                yield scope
            finally:
                del scopes[scope]
                if not scopes:
                    del self._scopes[room]

    async def sweep(self) -> None:
        """End the sessions that have expired, and rotate the keys when it is time.

        Their pages get the termination, and their places become free.
        """
        with self._reporting():
            if self._issuers is None:
                self._issuers = await self.store.issuers()
                self._since = self.wall()
        nobodys = [issuer for issuer in self._issuers or () if not self._is_somebodys(issuer)]
        for kind in Kind:
            may_be_late = self.wall() - self._since < self.settings.unrenewed_lifetime(kind)
            for issuer in (self._own(), *(() if may_be_late else nobodys)):
                with self._reporting():
                    while await self._end_some(await self._older(issuer, kind)):
                        pass
        with self._reporting():
            while await self._end_some(await self._signed_by_others()):
                pass
        if self.settings.key_rotation is not None:
            least = max(other.settings.least_rotation for other in self._sharing())
            await self.keyring.rotate_if_due(max(self.settings.key_rotation, least))

    @contextlib.contextmanager
    def _reporting(self) -> Iterator[None]:
        """Log that the store cannot be read; the next sweep tries again."""
        try:
            yield
        except LedgerError as error:
            self.rooms.limited_log.error("expired sessions cannot be ended: %s", error)

    async def _older(self, issuer: tuple[str, str | None], kind: Kind) -> list[Session]:
        options, now = self.settings, self.wall()
        return await self.store.older(
            *issuer,
            kind,
            seen=now - options.unrenewed_lifetime(kind),
            created=now - options.absolute_lifetime,
        )

    async def _signed_by_others(self) -> list[Session]:
        return await self.store.signed_by_others(self.keyring.keys.verifying)

    async def _end_some(self, lapsed: list[Session]) -> bool:
        """End these together, so that they wait once for the disk; False if none is left."""
        failed = False

        async def end(known: Session) -> None:
            nonlocal failed
            try:
                await self._end_lapsed(known)
            except (LedgerError, Draining):
                failed = True

        async with trio.open_nursery() as nursery:
            for known in lapsed:
                nursery.start_soon(end, known)
        return bool(lapsed) and not failed

    async def _end_lapsed(self, known: Session) -> None:
        await self.rooms.release(known.room, known.id, reason="lapsed")

    def _may_stand(self, known: Session) -> bool:
        stands = self.rooms.stands(known.room, known.id, epoch=known.epoch, issued=known.created)
        return stands is not False

    def _has_lapsed(self, known: Session) -> bool:
        # The settings of a session's own authority decide.
        return self.has(known.issuer) and known.has_lapsed(
            self.settings, self.keyring.keys, self.wall()
        )

    def _own(self) -> tuple[str, str | None]:
        """Return the provider, and the type of application (None is any), of these sessions."""
        options = self.settings
        is_for_all = options.single_sign_on_between_app_types
        return options.user_provider, None if is_for_all else options.app_type

    def _is_somebodys(self, issuer: Issuer) -> bool:
        return any(other.has(issuer) for other in self._sharing())

    def _sharing(self) -> Iterator["Records"]:
        """Yield the authorities with this store and keys, including this one."""
        for other in self.rooms.followers:
            if isinstance(other, Records) and other.store is self.store:
                yield other
