"""Tickets: signed proof that the bearer may join a room as a session, of a login epoch.

The application hands its new page the ticket that came with the notify's answer. Time is
an argument.

The signing key is derived from the authkey, so that neither can stand in for the other;
its `kid` is derived too, so that several keys can be told apart while they are rotated.
"""

import hashlib
import hmac
from typing import Any

import attrs

from ..errors import RemoteProtocolError
from .messages import CloseCode, name
from .tokens import LEEWAY, TokenKind, epoch, number

TICKET = TokenKind(
    type="sse-trio-ticket+jwt",
    audience="sse-trio/join",
    claims=("room", "session", "epoch", "iat", "exp", "jti"),
)


@attrs.frozen
class Ticket:
    """What a ticket proves."""

    room: str = attrs.field(repr=False)
    session: str = attrs.field(repr=False)
    epoch: int
    """The login's, in its room."""
    issued: float = attrs.field(default=0.0, eq=False)
    """Unix seconds, with their fraction: a notify may be as young."""


class Tickets:
    """Mints with the first authkey, verifies with all. `lifetime` is seconds."""

    def __init__(self, authkeys: tuple[str, ...], *, lifetime: float) -> None:
        self._keys = {_derive(key, "kid").hex()[:16]: _derive(key, "ticket") for key in authkeys}
        self._lifetime = lifetime

    @property
    def can_sign(self) -> bool:
        """Whether there is a key to sign with."""
        return bool(self._keys)

    def mint(self, ticket: Ticket, *, now: float, jti: str) -> str | None:
        """Sign `ticket` at `now` (Unix seconds); None where there is no key to sign with."""
        if not self._keys:
            return None
        kid, key = next(iter(self._keys.items()))
        claims = {
            "room": ticket.room,
            "session": ticket.session,
            "epoch": ticket.epoch,
            "iat": now,
            "exp": now + self._lifetime,
            "jti": jti,
        }
        return TICKET.sign(claims, kid=kid, key=key)

    def verify_untrusted(self, token: str, *, now: float) -> Ticket:
        """Read a ticket, also one from the future: the room decides what that proves.

        The hub signed such a ticket before its clock was put back. To refuse it would keep out
        a user who has just logged in.

        Raises:
            RemoteProtocolError: it is forged, expired, or for something else; closes with
                4401. Which of these it is stays untold.
        """
        try:
            _, claims = TICKET.read_untrusted(token, self._keys)
            return _ticket(claims, now, self._lifetime)
        except ValueError:
            raise RemoteProtocolError("the ticket is not valid", CloseCode.BAD_TICKET) from None


def _ticket(claims: dict[str, Any], now: float, lifetime: float) -> Ticket:
    issued, expires, begins = (number(claims.get(claim, 0)) for claim in ("iat", "exp", "nbf"))
    # Rooms remember for the present lifetime, whatever it was when this was signed.
    expires = min(expires, issued + lifetime)
    if now >= expires + LEEWAY:
        raise ValueError
    room, session = name(claims["room"], "room"), name(claims["session"], "session")
    # A ticket that is not valid yet (`nbf`) is from the future too (RFC 7519, section 4.1.5).
    if begins > now + LEEWAY:
        issued = max(issued, begins)
    return Ticket(room, session, epoch(claims["epoch"]), issued)


def _derive(authkey: str, label: str) -> bytes:
    """Derive 32 bytes for one purpose: HKDF's expand step (RFC 5869) with one block."""
    return hmac.digest(authkey.encode(), f"sse-trio {label} v1\x01".encode(), hashlib.sha256)
