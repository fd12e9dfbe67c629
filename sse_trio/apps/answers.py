"""What the hub answers, as values. docs/protocol.md says what each member means."""

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ..roster import Roster, SessionInfo

# A token goes into a header as it is (RFC 6750, section 2.1).
_PROOF: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")


@attrs.frozen(kw_only=True)
class Notified:
    """The answer to a notify or a release."""

    room: str = attrs.field(repr=False)
    session: str | None = attrs.field(repr=False)
    """The session that has logged in; None if there is none."""
    epoch: int
    floor: int
    standing: tuple[str, ...] = attrs.field(repr=False)
    """The active sessions, the newest first."""
    ended: tuple[str, ...] = attrs.field(repr=False)
    """The sessions that this has ended."""
    terminated: int
    acked: int
    pending: int
    ticket: str | None = attrs.field(repr=False)
    """For the login's pages."""
    token: str | None = attrs.field(repr=False)
    """For the login's HttpOnly cookie, and for `check`. No page may see it."""


@attrs.frozen(kw_only=True)
class Checked:
    """Whether a login is active."""

    active: bool
    known: bool = True
    """False: the room does not know the session. Treat that as a no."""
    room: str | None = attrs.field(default=None, repr=False)
    session: str | None = attrs.field(default=None, repr=False)
    epoch: int | None = None
    reason: str | None = None
    """Why it has ended."""
    detail: dict[str, Any] | None = attrs.field(default=None, repr=False)
    exp: float | None = None
    """Unix seconds until which the token is valid: the fresh token, if there is one."""
    token: str | None = attrs.field(default=None, repr=False)
    ticket: str | None = attrs.field(default=None, repr=False)


class _Members:
    """The members of an answer, each read as the type that it must have.

    Raises:
        ValueError: a member is missing, or of another type.
    """

    def __init__(self, members: object) -> None:
        if not isinstance(members, Mapping):
            raise ValueError("not an object")
        self._members = members

    def take(self, kind: type | tuple[type, ...], name: str) -> Any:
        value = self._members.get(name)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{name} is missing, or of the wrong type")
        return value

    def maybe(self, kind: type | tuple[type, ...], name: str) -> Any:
        return None if self._members.get(name) is None else self.take(kind, name)

    def proof(self, name: str, *, is_needed: bool = False) -> str | None:
        value = self.take(str, name) if is_needed else self.maybe(str, name)
        if value is not None and not _PROOF.fullmatch(value):
            raise ValueError(f"{name} is of the wrong type")
        return None if value is None else str(value)

    def texts(self, name: str) -> tuple[str, ...]:
        values = self.take(list, name)
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{name} is of the wrong type")
        return tuple(values)


def notified(answer: object, session: str | None) -> Notified:
    """Read the answer to a notify whose sender is `session`, or to a release."""
    members = _Members(answer)
    return Notified(
        room=members.take(str, "room"),
        session=session,
        epoch=members.take(int, "epoch"),
        floor=members.take(int, "floor"),
        standing=members.texts("standing"),
        ended=members.texts("ended"),
        terminated=members.take(int, "terminated"),
        acked=members.take(int, "acked"),
        pending=members.take(int, "pending"),
        ticket=members.proof("ticket", is_needed=session is not None),
        token=members.proof("token", is_needed=session is not None),
    )


def checked(answer: object) -> Checked:
    """Read the answer to one check."""
    members = _Members(answer)
    active = members.take(bool, "active")
    if not active and members.maybe(bool, "known") is False:
        return Checked(active=False, known=False)
    return Checked(
        active=active,
        room=members.take(str, "room"),
        session=members.take(str, "session"),
        epoch=members.take(int, "epoch"),
        reason=members.maybe(str, "reason"),
        detail=members.maybe(dict, "detail"),
        exp=members.maybe((int, float), "exp"),
        token=members.proof("token"),
        ticket=members.proof("ticket"),
    )


def roster(answer: object) -> Roster:
    """Read the answer of ``/sessions``."""
    members = _Members(answer)
    return Roster(
        room=members.take(str, "room"),
        epoch=members.take(int, "epoch"),
        floor=members.take(int, "floor"),
        sessions=sessions(answer),
    )


def sessions(answer: object) -> tuple[SessionInfo, ...]:
    """Read the sessions of ``/sessions``, or of a 409."""
    each = map(_Members, _Members(answer).take(list, "sessions"))
    return tuple(
        SessionInfo(
            session=one.take(str, "session"),
            epoch=one.take(int, "epoch"),
            since=one.take((int, float), "since"),
            seen=one.take((int, float), "seen"),
            connected=one.take(bool, "connected"),
            about=one.maybe(dict, "about"),
        )
        for one in each
    )
