"""The verdict: the server's answer to the question whether a session is active."""

from typing import Any, Final

import attrs

from .logins import Login, Termination


@attrs.frozen(kw_only=True)
class Verdict:
    """Whether a session is active.

    A session that is not `active` has ended, or is not `known`. It is not known if it has ended and
    was deleted from memory, was never named, or if its token is not valid. An active, named session
    is always known.
    """

    active: bool = False
    known: bool = False
    room: str | None = attrs.field(default=None, repr=False)
    session: str | None = attrs.field(default=None, repr=False)
    epoch: int | None = None
    """The login's; or that of the termination, if it has ended."""
    reason: str | None = None
    """Why it has ended: the `reason` that its pages receive."""
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
    """Return the verdict for what a check has found; `expires` is the token's, if there was one."""
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
