"""A hint in the log if no user can stay logged in, because browsers send no cookies back."""

import logging
from collections.abc import Mapping
from typing import Any

import attrs

from .verdict import Anonymous, Authenticated, Reason

HINT = (
    "a client that has just logged in comes back without the cookies. With https (the default) "
    "a client sends them to https:// addresses alone: a test client needs "
    "base_url='https://testserver', and a machine without TLS needs Settings(https=False). "
    "This is logged once"
)

logger = logging.getLogger("sse_trio")


@attrs.define(eq=False)
class CookieHint:
    """Logs the hint once at most, and never after any client has sent one of our cookies.

    A client is recognised by its address and user agent alone, so this is only a hint.
    """

    _waiting: tuple[object, ...] | None = None
    """The client that was sent cookies last."""
    _is_over: bool = False

    def note_cookies_sent(self, scope: Mapping[str, Any]) -> None:
        """Note that the answer to this request sets the cookies of a login."""
        self._waiting = _client(scope)

    def note_request(self, scope: Mapping[str, Any], identity: Authenticated | Anonymous) -> None:
        """Note a request, and how it was judged."""
        if self._is_over:
            return
        if isinstance(identity, Authenticated) or identity.reason is not Reason.NO_COOKIES:
            self._is_over = True
        elif self._waiting is not None and self._waiting == _client(scope):
            self._is_over = True
            logger.warning(HINT)


def _client(scope: Mapping[str, Any]) -> tuple[object, ...]:
    client = scope.get("client")
    names = [value for key, value in scope["headers"] if key == b"user-agent"]
    return client[0] if client else None, *names
