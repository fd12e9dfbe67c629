"""The authority: logs in and out, judges requests, and keeps rooms and sessions equal.

The hub's room decides which sessions are active; the store follows it. Both change in the same step
and are committed together, so that no request finds one change without the other.
"""

import contextlib
import secrets
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import trio

from ..core.notify import MAX_END
from ..core.tokens import MAX_EPOCH
from ..hub.limited_log import LimitedLog
from ..hub.member import Outcome
from ..ledger import SharedLedger
from . import cookies
from .browsers import Browser, Step
from .cookies import Claims, User
from .keys import Keys
from .records import Records, Rooms
from .settings import Kind, Settings
from .shared import SharedSessions
from .stores import Store, store_in
from .verdict import (
    ASK_STORE,
    Anonymous,
    Authenticated,
    Headers,
    Reason,
    Session,
    judge,
    recognise,
)

# Bytes of randomness: in a session's id, which is no secret but must not be guessed; in
# the CSRF token.
SESSION_BYTES = 24
CSRF_BYTES = 24

# The characters that are stored.
MAX_USER_AGENT = 256
MAX_ADDRESS = 64


@attrs.frozen
class LoggedIn:
    """The result of a login."""

    identity: Authenticated
    """Pass this to :meth:`Authority.renew` if the answer is not sent at once."""
    cookies: list[str] = attrs.field(repr=False)
    """Values of ``Set-Cookie`` headers."""
    outcome: Outcome
    """The outcome of its notify, with the ticket for the login's pages."""

    @property
    def claims(self) -> Claims:
        """The claims of its cookies."""
        return self.identity.claims


class Authority:
    """Logs in and out, and judges requests. Made by :meth:`open`."""

    def __init__(
        self,
        rooms: Rooms,
        store: Store,
        settings: Settings,
        *,
        room: Callable[[User], str | int],
        wall: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.store = store
        """The sessions, and the keys that sign."""
        self._rooms = rooms
        self._records = Records(rooms, store, settings, room, wall)
        # The keys that the remembered cookies were read with.
        self._keys: Keys | None = None
        self._read: cookies.ReadPair

    @classmethod
    async def open(
        cls,
        hub: Rooms,
        settings: Settings | None = None,
        *,
        room: Callable[[User], str | int] = lambda user: user.id,
        store: Store | None = None,
        wall: Callable[[], float] = time.time,
    ) -> "Authority":
        """Use the stored keys, or make the first one.

        `room` names a user's room; an integer is its decimal string. Without a `store` the sessions
        are kept with those of the hub's first authority. If that has no `store` either, they are
        kept like the hub's ledger: in its file, in its database or in memory. `wall` is Unix time
        in seconds; with several nodes it is the database's.

        Raises:
            LedgerError: the store cannot be read, or not be written.
        """
        if isinstance(hub.ledger, SharedLedger):
            wall = hub.ledger.wall
        # Before the first await, so that authorities that are opened at once share it.
        hub.store = hub.store or store or store_in(hub.ledger)
        store = store or hub.store
        authority = cls(hub, store, settings or Settings(), room=room, wall=wall)
        await authority._records.keyring.load()
        # Only now, because a sweep needs the keys.
        hub.follow(authority._records)
        return authority

    @property
    def limited_log(self) -> LimitedLog:
        """Where to log what clients can cause at will."""
        return self._rooms.limited_log

    def room(self, user: User) -> str:
        """Return the name of a user's room.

        Raises:
            LocalProtocolError: the application's `room` returned something that is not a valid
                name.
        """
        return self._records.room(user)

    async def login(
        self,
        user: User,
        *,
        remember_login: bool = False,
        detail: dict[str, Any] | None = None,
        headers: Headers = (),
        address: str | None = None,
    ) -> LoggedIn:
        """Log in a user that the caller has authenticated; end the user's other sessions.

        These get `detail`. With the request's `headers`, whose names are lower-case, the old login
        of this browser ends too, also if it is another user's: its cookies are overwritten. If it
        is in the same room, this one takes its place. The browser's name and `address` are for the
        list of sessions.

        Raises:
            LocalProtocolError: the user's id and name are too long, or the name of the room is not
                valid.
            LimitReached: the room is full, and `at_limit` is ``refuse-new``; no session has ended.
            Draining: the hub is shutting down.
            LedgerError: the login could not be made durable, or the store could not be read; nobody
                is logged in.
        """
        headers = list(headers)
        if not self._records.keyring.is_current:
            await self._records.keyring.update()
        now = self._records.wall()
        # These sign it, even if there are new ones before it is done.
        keys = self._records.keyring.keys
        claims = Claims(
            user=user,
            session=secrets.token_urlsafe(SESSION_BYTES),
            kind=Kind.PERSISTENT if remember_login else Kind.SESSION,
            app_type=self.settings.app_type,
            epoch=MAX_EPOCH,
            issued=now,
            checked=now,
            csrf=secrets.token_urlsafe(CSRF_BYTES),
            kid=keys.signing.kid,
        )
        # Cookies that cannot be written, for any epoch, are found before a session ends.
        cookies.write(claims, self.settings, keys)
        room = self.room(user)
        session = Session(
            id=claims.session,
            user=user,
            provider=self.settings.user_provider,
            room=room,
            kind=claims.kind,
            app_type=claims.app_type,
            epoch=claims.epoch,
            created=now,
            seen=now,
            kid=claims.kid,
            user_agent=_printable(_header(headers, b"user-agent"), MAX_USER_AGENT),
            address=_printable(address, MAX_ADDRESS),
        )

        # If nodes share the store, the swap that names the session stores it.
        row = self.store.row(session) if isinstance(self.store, SharedSessions) else None

        def create(epoch: int) -> None:
            nonlocal claims
            # Not before its notify: an older login would be judged as such.
            now = max(self._records.wall(), self._rooms.view(room).notified)
            claims = attrs.evolve(claims, epoch=epoch, issued=now, checked=now)
            self.store.create(attrs.evolve(session, epoch=epoch, created=now, seen=now))
            stands = partial(self._records.stands, claims)
            step = Step(claims.session, stands, self._browser(claims.session))
            for browser in browsers:
                browser.logged_in(step)

        # The old logins of this browser, whose cookies are overwritten.
        sent = [value for key, value in headers if key == b"cookie"]
        ids = cookies.sessions_untrusted(sent, self.settings, keys)
        browsers = [self._browser(session_id) for session_id in ids] or [Browser()]
        found = [await self.store.get(session_id) for session_id in ids]
        left = [known for known in found if known is not None]
        # The store knows their rooms: those of this room end in the same step.
        end = [known.id for known in left if known.room == room][:MAX_END]
        await self._records.recall(room)
        try:
            outcome = await self._rooms.notify(
                room,
                sender=claims.session,
                reason="login",
                detail=detail,
                end=end,
                on_decision=create,
                row=row,
            )
            await self._records.end_elsewhere(user, room, claims.issued)
            for known in left:
                if known.id not in end:
                    await self._rooms.release(known.room, known.id, reason="login")
        except BaseException:
            self._abandon(room, claims.session)
            raise
        identity = Authenticated(claims, checked=True, browser=browsers[0])
        return LoggedIn(identity, cookies.write(claims, self.settings, keys), outcome)

    def abandon(self, logged_in: LoggedIn) -> None:
        """Undo a login whose cookies have not been sent, so that it takes no place."""
        self._abandon(self.room(logged_in.claims.user), logged_in.claims.session)

    def _abandon(self, room: str, session: str) -> None:
        # With several nodes, its decision may still be on its way.
        if self._records.is_shared or session in self._rooms.view(room).sessions:
            self._rooms.abandon(room, session)

    async def authenticate(
        self, method: str, headers: Headers, *, activity: bool = True
    ) -> Authenticated | Anonymous:
        """Judge a request; `headers` have lower-case names.

        Without `activity` it does not count as a contact: it is a page's own automatic request.

        Raises:
            LedgerError: the store cannot be read.
        """
        now, keyring = self._records.wall(), self._records.keyring
        if not keyring.is_current:
            await keyring.update()
        claims = self._recognise(method, headers)
        if isinstance(claims, Anonymous):
            if claims.reason is not Reason.OTHER_KEYS or not await keyring.look_again():
                return claims
            claims = self._recognise(method, headers)
        if isinstance(claims, Anonymous):
            return claims
        return await self._judge(claims, now, activity=activity)

    def _recognise(self, method: str, headers: Headers) -> Claims | Anonymous:
        keys = self._records.keyring.keys
        if keys is not self._keys:
            # What other keys have verified is forgotten with them.
            self._keys, self._read = keys, cookies.remembering(self.settings, keys)
        return recognise(method, headers, settings=self.settings, read=self._read)

    async def _judge(
        self, claims: Claims, now: float, *, activity: bool
    ) -> Authenticated | Anonymous:
        browser = self._browser(claims.session)
        renewals = browser.renewals
        if self._records.is_shared:
            await self._rooms.read(self.room(claims.user))
        stands = self._records.stands(claims)
        verdict = judge(claims, browser, renewals, stands=stands, settings=self.settings, now=now)
        if verdict is not ASK_STORE:
            return verdict
        query = await browser.ask(
            partial(self.store.get, claims.session),
            now=now,
            cache_time=self.settings.cache_time,
            stands=bool(stands),
        )
        # Other changes may have come meanwhile, and memory has them.
        verdict = judge(
            claims,
            browser,
            renewals,
            stands=await self._records.settled(claims, query.known),
            store=query.known,
            settings=self.settings,
            now=query.asked,
        )
        assert verdict is not ASK_STORE
        if isinstance(verdict, Anonymous):
            return verdict
        known = query.known
        assert known is not None
        if known.room != self.room(claims.user):
            return Anonymous(Reason.ENDED, browser)
        # The room knows it from now on. It has not ended: that was asked since the last await.
        self._rooms.recall(known.room, known.id, epoch=known.epoch, issued=known.created)
        if not activity:
            return attrs.evolve(verdict, checked=False)
        if not query.is_noted:
            query.is_noted = True
            self.store.touch(claims.session, query.asked, self._records.keyring.keys.signing.kid)
        return verdict

    def renew(self, identity: Authenticated) -> list[str]:
        """Return the ``Set-Cookie`` values that go with the answer to a request; usually none.

        Call this when the answer begins, and send the values with it: they are returned once, and
        again only to a later request that has not received them. They never replace newer cookies.
        There are none for a login that has ended since, whose browser has logged in again, or whose
        key is no longer in use.
        """
        claims, browser = identity.claims, identity.browser
        if not identity.checked or claims.kid not in self._records.keyring.keys.verifying:
            return []
        if self._records.stands(claims) is False or browser.is_overtaken(claims.session):
            return []
        if not browser.renew(claims.checked, identity.renewals):
            return []
        return cookies.write(claims, self.settings, self._records.keyring.keys)

    def forget(self, identity: Authenticated | Anonymous) -> list[str]:
        """Return the ``Set-Cookie`` values that delete the cookies after a logout.

        Call this when the answer begins. There are none if the browser has logged in again since
        its request.
        """
        return [] if identity.browser.is_overtaken() else cookies.delete(self.settings)

    def _browser(self, session: str) -> Browser:
        """Return what the requests with the cookies of this session share."""
        return self.store.browsers.setdefault(session, Browser())

    def while_standing(
        self, identity: Authenticated
    ) -> contextlib.AbstractContextManager[trio.CancelScope]:
        """Cancel the block when the login ends: for work that goes on after its request was judged.

        Of several nodes, also when this one cannot know that any more, unless `on_lost_engine` is
        ``carry-on``. ``scope.cancelled_caught`` tells afterwards whether it was cancelled, and
        :meth:`has_ended` which it was.
        """
        return self._records.while_standing(identity.claims)

    def has_ended(self, identity: Authenticated) -> bool:
        """Whether its login has ended, as far as its room knows."""
        return self._records.stands(identity.claims) is False

    def ticket(self, identity: Authenticated) -> str | None:
        """Sign a ticket for this login's pages; None if the hub has no authkey."""
        room, epoch = self.room(identity.user), identity.claims.epoch
        return self._rooms.ticket(room, identity.session, epoch=epoch)

    async def logout(self, identity: Authenticated) -> Outcome | None:
        """End all of a user's sessions; None, without effect, if this one has ended.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable.
        """
        room = self.room(identity.user)
        await self._records.recall(room)
        carried_out: list[float] = []
        outcome = await self._rooms.log_out(
            room,
            identity.session,
            on_decision=lambda _: carried_out.append(self._records.wall()),
        )
        if not carried_out:
            return None
        await self._records.end_elsewhere(identity.user, room, carried_out[0])
        return outcome

    async def end_all(self, user: User, *, reason: str = "logout") -> Outcome:
        """End all of a user's sessions: an account is closed, a password is lost.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable.
        """
        room = self.room(user)
        await self._records.recall(room)
        outcome = await self._rooms.notify(room, sender=None, reason=reason)
        await self._records.end_elsewhere(user, room, self._records.wall())
        return outcome

    async def end(self, user: User, session: str, *, by: str | None = None) -> Outcome | None:
        """End one session of a user, and no other; None if nothing was ended.

        It is None if there is no such session, or if the session that asks, `by`, has ended.

        Raises:
            Draining: the hub is shutting down.
            LedgerError: it could not be made durable, or the store not be read.
        """
        room = self.room(user)
        for known in await self._records.of_user(user):
            if known.id == session and known.room == room:
                break
        else:
            return None
        await self._records.recall(room)
        carried_out: list[int] = []
        outcome = await self._rooms.release(room, session, by=by, on_decision=carried_out.append)
        return outcome if carried_out else None

    async def sessions(self, user: User) -> list[Session]:
        """Return a user's active sessions, the newest first.

        Raises:
            LedgerError: the store cannot be read.
        """
        room = self.room(user)
        found = await self._records.of_user(user)
        if self._records.is_shared:
            await self._rooms.read(room)
        return [known for known in found if known.room == room and self._records.is_alive(known)]

    async def rotate_keys(self) -> None:
        """Sign with a new key from now on; cookies signed by the others stay valid.

        The hub does so by itself, every `key_rotation_days`.

        Raises:
            LedgerError: the key could not be made durable, and so does not sign.
        """
        await self._records.keyring.rotate()

    async def generate_new_keys(self) -> None:
        """Make all users log in again, at their next request; the next sweep ends their pages.

        Raises:
            LedgerError: it could not be made durable, but has its effect.
        """
        await self._records.keyring.replace()


def _header(headers: Headers, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in headers if key == name), "")


def _printable(text: str | None, limit: int) -> str:
    return "".join(filter(str.isprintable, text or ""))[:limit]
