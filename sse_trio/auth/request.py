"""What an application asks and does about the user of a request; the resulting cookies."""

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
    """The user of a request, and login and logout.

    Call the methods that change something before the answer begins, because it has the cookies.
    Afterwards they raise `RuntimeError`.
    """

    def __init__(
        self, authority: Authority, scope: Scope, identity: Authenticated | Anonymous
    ) -> None:
        self.identity = identity
        self._authority = authority
        self._scope = scope
        self.is_asked = False
        """Whether the answer may depend on the user."""
        self.is_logout = False
        """Whether the answer deletes the cookies."""
        self._logged_in: LoggedIn | None = None
        self._has_begun = False

    @property
    def user(self) -> User | None:
        """The user; None if the request is anonymous."""
        return self.identity.user if isinstance(self.identity, Authenticated) else None

    @property
    def room(self) -> str | None:
        """The room of this login's pages; None if anonymous."""
        return self._authority.room(self.user) if self.user else None

    @property
    def ticket(self) -> str | None:
        """The ticket of this login's pages; None if anonymous, or if the hub has no authkey."""
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
        """Whether the login has ended, by its room; that of an anonymous request has."""
        return isinstance(self.identity, Anonymous) or self._authority.has_ended(self.identity)

    async def login(
        self, user: User, *, remember_login: bool = False, detail: dict[str, Any] | None = None
    ) -> LoggedIn:
        """Log in a user that the application has authenticated; the answer has the cookies.

        Arguments and errors are those of `Authority.login`.
        """
        self._must_not_have_begun()
        if self._scope["type"] != "http":
            raise RuntimeError("a WebSocket cannot log in")
        # This request may have logged in before.
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

        Also those of an expired login. None if there was no login to end: the request is anonymous,
        or its login was superseded. Then the browser may have logged in again, and keeps its
        cookies.

        Errors are those of `Authority.logout`.
        """
        self._must_not_have_begun()
        if isinstance(self.identity, Anonymous):
            # Only if the page has proved by the token that it is the application's.
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
        """Undo a login whose cookies have not been sent."""
        if self._logged_in is not None:
            self._authority.abandon(self._logged_in)
            self._logged_in = None

    def begin_answer(self) -> list[str]:
        """Decide which cookies the answer sets or deletes, by the state when it begins."""
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
