"""What is said of a session to whoever asks, whichever way."""

from typing import Any, Final

import attrs

from .logins import Login, Termination


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a session stands.

    One that is not `active` has ended, or is not `known`: it has ended and been forgotten, or was
    never named, or what proves it is not valid. Whoever was named and stands is always known.
    """

    active: bool = False
    known: bool = False
    room: str | None = attrs.field(default=None, repr=False)
    session: str | None = attrs.field(default=None, repr=False)
    epoch: int | None = None
    """The login's; or that of the termination, if it has ended."""
    reason: str | None = None
    """Why it has ended, as its pages are told."""
    detail: dict[str, Any] | None = attrs.field(default=None, repr=False)
    expires: float | None = None
    """Unix seconds until which the token is valid, if one was asked about or given."""
    ticket: str | None = attrs.field(default=None, repr=False)
    """A fresh one, if one was asked for."""
    token: str | None = attrs.field(default=None, repr=False)


UNKNOWN: Final = Verdict()


def verdict_of(
    room: str, session: str, found: Login | Termination | None, expires: float | None = None
) -> Verdict:
    """Put into words what a look has found, by a token that `expires` or without one."""
    if found is None:
        return UNKNOWN
    if isinstance(found, Login):
        return Verdict(
            active=True,
            known=True,
            room=room,
            session=session,
            epoch=found.epoch,
            expires=expires,
        )
    return Verdict(
        known=True,
        room=room,
        session=session,
        epoch=found.epoch,
        reason=found.reason,
        detail=found.detail,
        expires=expires,
    )
