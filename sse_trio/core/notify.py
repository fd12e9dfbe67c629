"""What an application announces: a notify, "`sender` has logged in to `room`"; or a release.

The REST API makes one from a request's JSON, an embedder from the arguments of
`Hub.notify`; the limits are the same, and every refusal is a `ValueError` that can be shown.
"""

import enum
from collections.abc import Iterable
from typing import Any, Final, Literal, get_args

import attrs

from .. import strict_json
from ..config import Config
from ..values import frozen
from .messages import name
from .tokens import MAX_EPOCH

MAX_REASON = 64
MAX_DETAIL = 1024
MAX_ABOUT = 512
MAX_ID = 128
MAX_WAIT = 10
MAX_END = 16

# How long an idempotency id is remembered, in seconds, and how many at most.
REMEMBERED_SECONDS = 600
REMEMBERED_NOTIFIES = 100_000


class Last(enum.Enum):
    """The sender that a notify leaves out: the session that joined the room last."""

    JOINED = "joined last"


LAST_JOINED: Final = Last.JOINED


class Configured(enum.Enum):
    """The limit that a notify leaves out: the configured one."""

    LIMIT = "as configured"


CONFIGURED: Final = Configured.LIMIT

AtLimit = Literal["end-oldest", "refuse-new"]
"""What happens to a login if every place is taken."""

Sender = str | Literal[Last.JOINED] | None
"""The session that stays; or the one that joined last; or None: no session stays."""


def _detail(value: Any) -> dict[str, Any] | None:
    return _object("detail", value, MAX_DETAIL)


def _about(value: Any) -> dict[str, Any] | None:
    return _object("about", value, MAX_ABOUT)


def _object(what: str, value: Any, limit: int) -> dict[str, Any] | None:
    """Copy a JSON object, so that the caller can no longer change it."""
    if value is None:
        return None
    try:
        text = strict_json.dumps(value)
        # One level down, because that is where a message carries it.
        (copy,) = strict_json.loads_untrusted(f"[{text}]", max_values=None)
    except (TypeError, ValueError, RecursionError):
        raise ValueError(f"{what} must be a JSON object") from None
    if not isinstance(copy, dict):
        raise ValueError(f"{what} must be a JSON object")
    if len(text.encode()) > limit:
        raise ValueError(f"{what} must not be longer than {limit} bytes of JSON")
    return copy


def _room(value: Any) -> str:
    return name(value, "room")


def _session(value: Any) -> str:
    return name(value, "session")


def _sender(value: Any) -> Sender:
    return value if value is None or value is LAST_JOINED else name(value, "sender")


def _end(value: Any) -> tuple[str, ...]:
    """Sort the sessions, so that a repetition in another order counts as the same notify."""
    if value == ():  # most notifies name none
        return ()
    if not isinstance(value, list | tuple | set | frozenset):
        raise ValueError("end must be a list of sessions")
    if len(value) > MAX_END:
        raise ValueError(f"end must not have more than {MAX_END} sessions")
    return tuple(sorted({name(session, "end") for session in value}))


def _to_tuple(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(value)


def _check_reason(_: object, __: object, value: object) -> None:
    _check_text("reason", value, 0, MAX_REASON)


def _check_text(what: str, value: object, low: int, high: int) -> None:
    if not isinstance(value, str) or not low <= len(value) <= high or not value.isprintable():
        raise ValueError(f"{what} must be a string of {low} to {high} printable characters")


def _check_max_sessions(_: object, __: object, value: Any) -> None:
    # The configuration has the maximum: see `Notify.limit`.
    if value is not None and value is not CONFIGURED and _whole("max_sessions", value) < 1:
        raise ValueError("max_sessions must be at least 1")


def check_epoch(_: object, __: object, value: Any) -> None:
    """Check the number of a login's epoch, where one is given; for a field.

    Raises:
        ValueError: it is none.
    """
    if value is not None and not 0 <= _whole("epoch", value) <= MAX_EPOCH:
        raise ValueError(f"epoch must be from 0 to {MAX_EPOCH}")


def _whole(what: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{what} must be a whole number")
    return value


def _check_at_limit(_: object, __: object, value: Any) -> None:
    if value is not None and value not in get_args(AtLimit):
        quoted = " or ".join(f'"{choice}"' for choice in get_args(AtLimit))
        raise ValueError(f"at_limit must be {quoted}")


def _check_wait(_: object, __: object, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("wait must be a number of seconds")
    if not 0 <= value <= MAX_WAIT:
        raise ValueError(f"wait must be from 0 to {MAX_WAIT} seconds")


@frozen(kw_only=True)
class Notify:
    """`sender` has logged in to `room`: all other sessions there end.

    `end` names at most `MAX_END` sessions that end in any case, such as the login that the same
    browser was in. They end before the limit is checked.

    `max_sessions` is the room's limit from now on, until its next notify. Left out, that is the
    configured one; None is the largest possible one, which is one less than
    `max_remembered_sessions`. `at_limit` applies only to this notify; None is the configured one.

    Raises:
        ValueError: a value is outside the limits of `docs/protocol.md`.
    """

    room: str = attrs.field(converter=_room, repr=False)
    sender: Sender = attrs.field(default=LAST_JOINED, converter=_sender, repr=False)
    reason: str = attrs.field(default="login", validator=_check_reason)
    detail: dict[str, Any] | None = attrs.field(default=None, converter=_detail, repr=False)
    """A JSON object of at most `MAX_DETAIL` bytes, passed on to the terminated pages as it is."""
    id: str | None = attrs.field(default=None, repr=False)
    wait: float = attrs.field(default=0.0, validator=_check_wait)
    """Seconds to hold the answer for acknowledgements."""
    end: tuple[str, ...] = attrs.field(default=(), converter=_end, repr=False)
    max_sessions: int | None | Literal[Configured.LIMIT] = attrs.field(
        default=CONFIGURED, validator=_check_max_sessions
    )
    at_limit: AtLimit | None = attrs.field(default=None, validator=_check_at_limit)
    about: dict[str, Any] | None = attrs.field(default=None, converter=_about, repr=False)
    """A JSON object of at most `MAX_ABOUT` bytes: to describe the sender's login for a person."""

    def check_limit(self, config: Config) -> None:
        """Check that the limit is not more than a room may have.

        Raises:
            ValueError: it is.
        """
        most = config.max_remembered_sessions - 1
        if isinstance(self.max_sessions, int) and self.max_sessions > most:
            raise ValueError(f"max_sessions must be from 1 to {most}, or null for that")

    def limit(self, config: Config) -> int | None:
        """Return the limit that this gives the room; None if that is the configured one.

        A limit that was checked stays valid if a reload has lowered the maximum since, as in the
        rooms that already have it.
        """
        if self.max_sessions is CONFIGURED:
            return None
        most = config.max_remembered_sessions - 1
        return most if self.max_sessions is None else self.max_sessions

    @id.validator
    def _check_id(self, _: object, value: object) -> None:
        if value is not None:
            _check_text("id", value, 1, MAX_ID)

    @end.validator
    def _check_end(self, _: object, value: tuple[str, ...]) -> None:
        if self.sender in value:
            raise ValueError("end must not name the sender")


@frozen(kw_only=True)
class Release:
    """`session` of `room` has logged out, or has expired: it ends, and no other.

    With an `epoch`, it ends only if its login is of that epoch or an older one.

    Raises:
        ValueError: a value is outside the limits of `docs/protocol.md`.
    """

    room: str = attrs.field(converter=_room, repr=False)
    session: str = attrs.field(converter=_session, repr=False)
    reason: str = attrs.field(default="logout", validator=_check_reason)
    wait: float = attrs.field(default=0.0, validator=_check_wait)
    """Seconds to hold the answer for acknowledgements."""
    epoch: int | None = attrs.field(default=None, validator=check_epoch)


@attrs.define
class Answer:
    """The result of the notify with this `id`, for the ledger: a repetition gets the same.

    `terminated` and `ended` are set when the terminations are sent: before, they are not known.
    """

    id: str = attrs.field(repr=False)
    room: str = attrs.field(repr=False)
    asked: Sender = attrs.field(repr=False)
    """The sender, as the notify named it."""
    sender: str | None = attrs.field(repr=False)
    """The session that stays."""
    epoch: int
    terminated: int
    at: float
    """Unix seconds."""
    end: tuple[str, ...] = attrs.field(default=(), converter=_to_tuple, repr=False)
    """The sessions that the notify named in `end`."""
    ended: tuple[str, ...] = attrs.field(default=(), converter=_to_tuple, repr=False)
    """The sessions that have ended by it."""
