"""What a login may do and how long it lasts, in one frozen object.

The names are the platform's, in snake case, and so are the units: days, minutes. The rules get
seconds.
"""

import re
from enum import StrEnum
from typing import Any, Literal

import attrs

from ..errors import ConfigError
from ..fields import choice, flag, kind_of, number
from .keys import MAX_KEYS

MINUTE = 60.0
DAY = 86400.0

# The longest lifetime of a cookie in browsers (RFC 6265bis, section 5.5).
MAX_COOKIE_DAYS = 400

_WORD = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Kind(StrEnum):
    """How a login ends by itself: with the browser, or after days ("remember me")."""

    SESSION = "session"
    PERSISTENT = "persistent"


def _word(default: str, about: str) -> Any:
    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, str) or not _WORD.fullmatch(value):
            raise ConfigError(
                f"{attribute.name} must be 1 to 64 letters, digits, hyphens or underscores"
            )

    return attrs.field(default=default, validator=check, metadata={"about": about})


def _is_a(wanted: type) -> Any:
    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, wanted):
            raise ConfigError(f"{attribute.name} must be {wanted.__name__}, not {kind_of(value)}")

    return check


@attrs.frozen(kw_only=True)
class PersistentSettings:
    """Settings of a login that outlives the browser."""

    max_idle_days: float = number(
        30,
        "without contact until a persistent login ends",
        low=0.01,
        high=MAX_COOKIE_DAYS,
        unit="days",
    )
    cookie_expiration_days: float = number(
        30,
        "until its cookies expire, from the last check on",
        low=0.01,
        high=MAX_COOKIE_DAYS,
        unit="days",
    )


@attrs.frozen(kw_only=True)
class SessionSettings:
    """Settings of a login that ends with the browser."""

    max_idle_minutes: float = number(
        20,
        "without contact until a session login ends",
        low=0.1,
        high=7 * 24 * 60,
        unit="minutes",
    )


@attrs.frozen(kw_only=True)
class Settings:
    """The settings of `sse_trio.auth`.

    Raises:
        ConfigError: a value is of the wrong type or out of its range, or two contradict
            each other; the message names them.
    """

    cache_time_minutes: float = number(
        5,
        "a cookie is believed without a look at the store; 0: never",
        low=0,
        high=24 * 60,
        unit="minutes",
    )
    single_sign_on_between_app_types: bool = flag(
        "whether a login in one app type is one in all; needs `https`", default=False
    )
    persistent: PersistentSettings = attrs.field(
        factory=PersistentSettings, validator=_is_a(PersistentSettings)
    )
    session: SessionSettings = attrs.field(
        factory=SessionSettings, validator=_is_a(SessionSettings)
    )
    user_provider: str = _word("Users", "names the cookies: `nr1Users` and `nr2Users`")
    app_type: str = _word("web", "what kind of application this one is")
    https: bool = flag("whether browsers come by HTTPS; makes the cookies `Secure`", default=True)
    host_prefix: bool = flag(
        "whether the cookies' names begin with `__Host-`, so that no other host can set them; "
        "not without `https`",
        default=True,
    )
    same_site: Literal["Lax", "Strict", "None"] = choice(
        "Lax", "Strict", "None", about="the cookies' `SameSite`; `None` needs `https`"
    )
    navigations: bool = flag(
        "whether GET and HEAD need no CSRF header, because page loads have none",
        default=False,
    )
    absolute_lifetime_hours: float | None = number(
        None,
        "from the login to its end, even while it is used",
        low=0.01,
        high=24 * MAX_COOKIE_DAYS,
        unit="hours",
        optional=True,
    )
    key_rotation_days: float | None = number(
        30,
        "until a new key signs the cookies; null: only when you call `rotate_keys`",
        low=0.01,
        high=MAX_COOKIE_DAYS,
        unit="days",
        optional=True,
    )

    def __attrs_post_init__(self) -> None:
        if self.single_sign_on_between_app_types and not self.https:
            raise ConfigError("single_sign_on_between_app_types needs https")
        if self.same_site == "None" and not self.https:
            raise ConfigError('same_site "None" needs https: browsers refuse such a cookie without')
        for name, seconds in (
            ("session.max_idle_minutes", self.max_idle(Kind.SESSION)),
            ("persistent.max_idle_days", self.max_idle(Kind.PERSISTENT)),
            ("persistent.cookie_expiration_days", self.cookie_lifetime),
        ):
            if self.cache_time >= seconds:
                raise ConfigError(
                    f"cache_time_minutes ({self.cache_time_minutes:g}) must be shorter than "
                    f"{name} ({seconds / MINUTE:g} minutes): both begin when the store is "
                    "asked, so even an active user would be logged out before it is asked again"
                )
        if self.key_rotation is not None and self.key_rotation < self.least_rotation:
            raise ConfigError(
                f"key_rotation_days ({self.key_rotation_days:g}) must be at least "
                f"{self.least_rotation / DAY:g}: {MAX_KEYS} keys verify, and a login may last "
                f"{max(map(self.unrenewed_lifetime, Kind)) / DAY:g} days without being signed anew"
            )

    @property
    def cache_time(self) -> float:
        """Seconds."""
        return self.cache_time_minutes * MINUTE

    @property
    def cookie_lifetime(self) -> float:
        """Of persistent cookies, in seconds."""
        return self.persistent.cookie_expiration_days * DAY

    @property
    def absolute_lifetime(self) -> float:
        """In seconds; infinite where there is none."""
        hours = self.absolute_lifetime_hours
        return float("inf") if hours is None else hours * 60 * MINUTE

    @property
    def key_rotation(self) -> float | None:
        """In seconds; None if keys are not rotated automatically."""
        return None if self.key_rotation_days is None else self.key_rotation_days * DAY

    @property
    def least_rotation(self) -> float:
        """Seconds between two new keys, so that no key is deleted that a login still needs."""
        return max(map(self.unrenewed_lifetime, Kind)) / (MAX_KEYS - 1)

    def unrenewed_lifetime(self, kind: Kind) -> float:
        """Return how many seconds a login's cookies are valid after the store was asked."""
        lasts = min(self.max_idle(kind), self.absolute_lifetime)
        return min(lasts, self.cookie_lifetime) if kind is Kind.PERSISTENT else lasts

    def max_idle(self, kind: Kind) -> float:
        """In seconds, for one kind of login."""
        if kind is Kind.PERSISTENT:
            return self.persistent.max_idle_days * DAY
        return self.session.max_idle_minutes * MINUTE
