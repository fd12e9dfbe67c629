"""What the requests with the cookies of one login share while they are being answered.

A server knows a browser by nothing but the cookies that it sends. So what one request has
done, a login or a renewal, can be known to another one that is under way if both have come
with the cookies of the same login. When no such request is under way any more, nothing is kept.
"""

import math
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

import attrs
import trio

from ..errors import LedgerError
from .cookies import Claims

if TYPE_CHECKING:
    from .verdict import Session


@attrs.define(eq=False)
class Look:
    """One question to the store, for every request that would ask it."""

    asked: float
    """When, in Unix seconds."""
    known: "Session | None" = None
    is_answered: bool = False
    is_noted: bool = False
    """Whether the store has been told of the contact."""
    error: LedgerError | None = None
    over: trio.Event = attrs.field(factory=trio.Event)


@attrs.define(eq=False)
class Browser:
    """Every client that has the cookies of one login: a browser, and anyone with a copy of them."""

    latest: Claims | None = None
    """The last login that a request with these cookies has made."""
    renewed: float = -math.inf
    """When the store was last asked, as the newest cookies that were sent have it. Unix seconds."""
    _look: Look | None = None

    def logged_in(self, claims: Claims) -> None:
        """Note a login by a request with these cookies."""
        # No renewal has been sent for it yet, whatever the clock says.
        self.latest, self.renewed = claims, -math.inf

    async def ask(
        self,
        question: "Callable[[], Awaitable[Session | None]]",
        *,
        now: float,
        cache_time: float,
        stands: bool,
    ) -> Look:
        """Ask the store, or use the answer to another request's question, once it is there.

        An answer is used for `cache_time` seconds, as a cookie's own time is, and only where
        the login `stands` for certain.

        Raises:
            LedgerError: the store cannot be read.
        """
        while (
            (look := self._look) is not None
            and look.asked > now - cache_time
            and (stands or not look.is_answered)
        ):
            await look.over.wait()
            if look.error is not None:
                raise LedgerError(*look.error.args) from look.error
            if look.is_answered:
                return look
            # The request that asked was cancelled.
        self._look = look = Look(now)
        try:
            look.known = await question()
            look.is_answered = True
        except LedgerError as error:
            look.error = error
            raise
        finally:
            look.over.set()
            if not look.is_answered and self._look is look:
                self._look = None
        return look


Browsers = WeakValueDictionary[str, Browser]
"""By the session of their cookies; only browsers whose requests are being answered."""
