"""How the middleware behaves, and its own answers."""

import math
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from ..errors import ConfigError, HubAway

Fields = list[tuple[str, str]]

# Seconds for which the answer to a check may be remembered.
MAX_REMEMBER: Final = 5.0

# An answer with this status or a higher one has logged nobody in (RFC 9110, section 15).
FAILED: Final = 400

UNAVAILABLE: Final = "The server cannot find out now whether you are logged in. Try again.\n"


def _paths(value: Iterable[str]) -> tuple[str, ...]:
    paths = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(path, str) and path.startswith("/") for path in paths):
        raise ConfigError("leave_out and logout must be lists of paths, which begin with a slash")
    return paths


@attrs.frozen(kw_only=True)
class Settings:
    """How the middleware behaves.

    Raises:
        ConfigError: a value is wrong.
    """

    while_hub_away: Literal["open", "closed"] = attrs.field(default="closed")
    """What the middleware does with a request that has the cookie, while the hub is unreachable.
    "closed": it answers 503, with ``Retry-After``. "open": users stay logged in, even if their
    session has ended. A second cookie then names the user. It is signed with a key that is derived
    from the authkey."""
    https: bool = True
    """False for a first try over plain http: the cookie is not ``Secure`` then."""
    token_cookie: str | None = None
    """The cookie's name: ``__Host-sse_trio``, or without https ``sse_trio``. Two applications on
    one host need two names."""
    hub: str | None = None
    """Where browsers reach the hub, ``https://sessions.example.com``; an empty string is the
    application's own host. By default it is the environment's ``SSE_TRIO_PUBLIC_URL``, or else the
    address that the client has."""
    redirect: str | None = None
    """The address that a page goes to when its session has ended, such as ``/login``."""
    persistent: bool = False
    """Whether the cookie outlives the browser. It expires with its token."""
    remember: float = attrs.field(default=0.0)
    """Seconds, 0 to 5, for which the middleware remembers that the hub said "active". For that
    time, requests of an ended session pass."""
    leave_out: tuple[str, ...] = attrs.field(default=("/static/",), converter=_paths)
    """Paths for which the middleware asks nothing; their requests have no user. ``/static/`` means
    every path below it, ``/favicon.ico`` that path alone."""

    logout: tuple[str, ...] = attrs.field(
        default=("/logout", "/logout/", "/accounts/logout/"), converter=_paths
    )
    """Paths where the application logs out. The middleware serves them even while the hub is
    unreachable, with no user, so that users can always log out."""

    @while_hub_away.validator
    def _check_while_hub_away(self, _: object, value: object) -> None:
        if value not in ("open", "closed"):
            raise ConfigError('while_hub_away must be "open" or "closed"')

    @remember.validator
    def _check_remember(self, _: object, value: float) -> None:
        if not 0 <= value <= MAX_REMEMBER:
            raise ConfigError(f"remember must be from 0 to {MAX_REMEMBER:g} seconds")

    @property
    def cookie_name(self) -> str:
        """The name of the cookie."""
        return self.token_cookie or ("__Host-sse_trio" if self.https else "sse_trio")

    def leaves_out(self, path: str) -> bool:
        """Whether requests of this path are passed on as they are."""
        # A folder is every path below it.
        folders = tuple(each for each in self.leave_out if each.endswith("/"))
        return path in self.leave_out or path.startswith(folders)


def unavailable(away: HubAway) -> tuple[int, Fields, bytes]:
    """Return the answer to a request if the hub did not answer."""
    body = UNAVAILABLE.encode()
    fields = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Retry-After", str(max(1, math.ceil(away.retry_after)))),
        ("Cache-Control", "no-store"),
    ]
    return 503, fields, body
