"""What an application asks about whose request it is, and does about it; which cookies result."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import trio

from ..hub.member import Outcome
from .authority import Authority, LoggedIn
from .cookies import User
from .verdict import Anonymous, Authenticated, Reason

Scope = Mapping[str, Any]


class RequestAuth:
    """Whose request this is, and the ways to change that.

    What changes something has to be called before the answer begins, which has the cookies:
    afterwards it is a `RuntimeError`.
    """

    def __init__(
        self, authority: Authority, scope: Scope, identity: Authenticated | Anonymous
    ) -> None:
        self.identity = identity
        self._authority = authority
        self._scope = scope
        self.is_asked = False
        """Whether the answer may depend on whose request it is."""
        self.is_logout = False
        """Whether the answer is to delete the cookies."""
        self._logged_in: LoggedIn | None = None
        self._has_begun = False

    @property
    def user(self) -> User | None:
        """The user; None if the request is anonymous."""
        return self.identity.user if isinstance(self.identity, Authenticated) else None

    @property
    def room(self) -> str | None:
        """What this login's pages join; None if anonymous."""
        return self._authority.room(self.user) if self.user else None

    @property
    def ticket(self) -> str | None:
        """What this login's pages join with; None if anonymous, or if the hub has no authkey."""
        if isinstance(self.identity, Authenticated):
            return self._authority.ticket(self.identity)
        return None

    def while_standing(self) -> AbstractContextManager[trio.CancelScope]:
        """Cancel the block when the login ends: for an answer that goes on for long.

        ``with auth(scope).while_standing() as standing:``; then ``standing.cancelled_caught`` tells
        whether it was cancelled. The login of an anonymous request has ended. Of several nodes it
        is cancelled, too, when this one cannot know any more: see `has_ended`.
        """
        if isinstance(self.identity, Anonymous):
            return trio.CancelScope(deadline=-math.inf)
        return self._authority.while_standing(self.identity)

    @property
    def has_ended(self) -> bool:
        """Whether the login has ended, as far as its room knows; an anonymous request's has."""
        return isinstance(self.identity, Anonymous) or self._authority.has_ended(self.identity)

    async def login(
        self, user: User, *, remember_login: bool = False, detail: dict[str, Any] | None = None
    ) -> LoggedIn:
        """Log a user in, whom the application has authenticated; the answer has the cookies.

        Arguments and errors are those of `Authority.login`.
        """
        self._must_not_have_begun()
        if self._scope["type"] != "http":
            raise RuntimeError("a WebSocket cannot log in")
        # There may have been one before, in this very request.
        self.abandon()
        client = self._scope.get("client")
        logged_in = await self._authority.login(
            user,
            remember_login=remember_login,
            detail=detail,
            headers=self._scope["headers"],
            address=client[0] if client else None,
        )
        self._logged_in = logged_in
        if self._has_begun:
            self.abandon()
        self._must_not_have_begun()
        self.identity, self.is_logout = logged_in.identity, False
        return logged_in

    async def logout(self) -> Outcome | None:
        """End all of the user's sessions; the answer deletes the cookies.

        Also those of a login that has lapsed. None if there was nobody to log out: anonymous, or
        superseded meanwhile, and then the browser may have logged in again and keeps its cookies.

        Errors are those of `Authority.logout`.
        """
        self._must_not_have_begun()
        if isinstance(self.identity, Anonymous):
            # Only where the page has proved that it is the application's, by the token.
            if self.identity.reason.is_lapse:
                self._forget()
            return None
        outcome = await self._authority.logout(self.identity)
        if outcome is not None:
            self._forget()
        return outcome

    async def end(self, session: str) -> Outcome | None:
        """End one of the user's sessions, and no other; None if nothing was ended.

        The answer deletes the cookies only if they are of that session. So the logout of a
        terminated page, which may come when the same browser has logged in again, does not.

        Errors are those of `Authority.end`.
        """
        self._must_not_have_begun()
        if isinstance(self.identity, Anonymous):
            return None
        asking = self.identity.session
        outcome = await self._authority.end(self.identity.user, session, by=asking)
        if outcome is not None and session == asking:
            self._forget()
        return outcome

    def _forget(self) -> None:
        self.identity = Anonymous(Reason.SUPERSEDED, browser=self.identity.browser)
        self.is_logout = True
        # It has ended with the others.
        self._logged_in = None

    def _must_not_have_begun(self) -> None:
        if self._has_begun:
            raise RuntimeError("the response has begun: it is too late for cookies")

    def abandon(self) -> None:
        """Take back a login whose cookies have not been sent."""
        if self._logged_in is not None:
            self._authority.abandon(self._logged_in)
            self._logged_in = None

    def begin_answer(self) -> list[str]:
        """Decide which cookies the answer sets or deletes, as things stand when it begins."""
        self._has_begun = True
        if self.is_logout:
            return self._authority.forget(self.identity)
        if isinstance(self.identity, Anonymous):
            return []
        found = self._authority.renew(self.identity)
        if not found:
            self.abandon()
        return found

    @property
    def has_to_delete_cookies(self) -> bool:
        """Whether the cookies are to be deleted, by an answer that has not begun."""
        return self.is_logout and not self._has_begun

    def note_answer_sent(self) -> bool:
        """Note that the answer has begun to be sent; return whether it sets a login's cookies."""
        logged_in, self._logged_in = self._logged_in, None
        return logged_in is not None

    def note_answer_refused(self) -> None:
        """Note that the server did not take it: another answer may begin instead."""
        self._has_begun = False
        self.abandon()
