"""The state that requests with the cookies of one login share while they are answered.

A server recognizes a browser only by its cookies. If two requests with the cookies of the same
login are under way, each can know of a login or a renewal by the other. When no such request is
under way any more, nothing is kept.
"""

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import attrs
import trio

from ..errors import LedgerError

if TYPE_CHECKING:
    from .verdict import Session


@attrs.define(eq=False)
class StoreQuery:
    """One question to the store, shared by all requests that would ask it."""

    asked: float
    """When, in Unix seconds."""
    known: "Session | None" = None
    is_answered: bool = False
    is_noted: bool = False
    """Whether the store has noted the contact."""
    error: LedgerError | None = None
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.frozen(eq=False)
class Step:
    """From one login of a browser to its next."""

    session: str = attrs.field(repr=False)
    stands: Callable[[], bool | None] = attrs.field(repr=False)
    """Whether that login is active; None if that is not known."""
    browser: "Browser" = attrs.field(repr=False)
    """The browser that has its cookies."""


@attrs.define(eq=False)
class Browser:
    """Every client that has the cookies of one login: a browser, and anyone with a copy of them."""

    renewals: int = 0
    """How often cookies have been sent to it."""
    _renewed: float = -math.inf
    """When the store had been asked, by the newest of them. Unix seconds."""
    next: Step | None = None
    """The last login that a request with these cookies has made. It has no reference to earlier
    ones: each is kept only for the requests of those before it."""
    _query: StoreQuery | None = None

    def logged_in(self, step: Step) -> None:
        """Note a login by a request with these cookies."""
        # Its own cookies are the first, by any clock.
        self.next, self._renewed = step, -math.inf

    def is_overtaken(self, session: str | None = None) -> bool:
        """Whether the browser has another login by now.

        Also if that was made with the cookies of a login in between, which has ended.
        """
        step = self.next
        while step is not None:
            if step.session != session and step.stands() is not False:
                return True
            step = step.browser.next
        return False

    def renew(self, checked: float, renewals: int) -> bool:
        """Whether to send cookies that were `checked` at this time; if so, they count as sent.

        They never replace newer ones. The same cookies are sent again to a request that has come
        after them, when there had been so many `renewals`: that shows that they did not arrive.
        """
        if (checked, renewals) < (self._renewed, self.renewals):
            return False
        self._renewed = checked
        self.renewals += 1
        return True

    async def ask(
        self,
        question: "Callable[[], Awaitable[Session | None]]",
        *,
        now: float,
        cache_time: float,
        stands: bool,
    ) -> StoreQuery:
        """Ask the store, or wait for the answer to another request's question.

        An answer is used for `cache_time` seconds, like a cookie's own time, and only if the login
        certainly `stands`.

        Raises:
            LedgerError: the store cannot be read.
        """
        while (
            (query := self._query) is not None
            and query.asked > now - cache_time
            and (stands or not query.is_answered)
        ):
            await query.over.wait()
            if query.error is not None:
                raise LedgerError(*query.error.args) from query.error
            if query.is_answered:
                return query
            # The request that asked was cancelled.
        self._query = query = StoreQuery(now)
        try:
            query.known = await question()
            query.is_answered = True
        except LedgerError as error:
            query.error = error
            raise
        finally:
            query.over.set()
            if not query.is_answered and self._query is query:
                self._query = None
        return query


Browsers = WeakValueDictionary[str, Browser]
"""By the session of their cookies; only browsers whose requests are being answered."""
