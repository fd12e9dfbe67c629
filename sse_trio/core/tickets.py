"""Tickets: signed proof that the bearer may join a room as a session, of a login epoch.

The application hands its new page the ticket that came with the notify's answer. A ticket
is a JWT (RFC 7519) by the advice of RFC 8725: one fixed algorithm (HS256), a type and
an audience of its own, every claim required. Time is an argument.

The signing key is derived from the authkey, so that neither can stand in for the other;
its `kid` is derived too, so that several keys can be told apart while they are rotated.
"""

import base64
import hashlib
import hmac
import json
import math
from typing import Any

import attrs
import jwt

from ..errors import RemoteProtocolError
from .messages import CloseCode, name

ALGORITHM = "HS256"
TYPE = "sse-trio-ticket+jwt"
ISSUER = "sse-trio"
AUDIENCE = "sse-trio/join"

# Seconds by which two machines' clocks may differ.
LEEWAY = 30

# What every JSON parser reads exactly (RFC 8259, section 6), and a ledger can hold.
MAX_EPOCH = 2**53

_CLAIMS = ["iss", "aud", "room", "session", "epoch", "iat", "exp", "jti"]


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

    def mint(self, ticket: Ticket, *, now: float, jti: str) -> str | None:
        """Sign `ticket` at `now` (Unix seconds); None where there is no key to sign with."""
        if not self._keys:
            return None
        kid, key = next(iter(self._keys.items()))
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "room": ticket.room,
            "session": ticket.session,
            "epoch": ticket.epoch,
            "iat": now,
            "exp": now + self._lifetime,
            "jti": jti,
        }
        headers = {"typ": TYPE, "kid": kid}
        return jwt.encode(claims, key, ALGORITHM, headers=headers, json_encoder=_Utf8Encoder)

    def verify_untrusted(self, token: str, *, now: float) -> Ticket:
        """Read a ticket.

        Raises:
            RemoteProtocolError: it is forged, expired, or for something else; closes with
                4401. Which of these it is stays untold.
        """
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid")))
            if key is None or header.get("typ") != TYPE or not _is_canonical(token):
                raise ValueError
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                # PyJWT would ask the system's clock; ours is an argument.
                options={
                    "require": _CLAIMS,
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
            return _ticket(claims, now, self._lifetime)
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise RemoteProtocolError("the ticket is not valid", CloseCode.BAD_TICKET) from None


class _Utf8Encoder(json.JSONEncoder):
    """Names go into a ticket as UTF-8: escaped, the longest would not fit into a message."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False})


def _ticket(claims: dict[str, Any], now: float, lifetime: float) -> Ticket:
    issued, expires, begins = (_number(claims.get(claim, 0)) for claim in ("iat", "exp", "nbf"))
    epoch = claims["epoch"]
    if not isinstance(epoch, int) or _number(epoch) > MAX_EPOCH:
        raise ValueError
    # Rooms remember for the present lifetime, whatever it was when this was signed.
    expires = min(expires, issued + lifetime)
    if not max(issued, begins) - LEEWAY <= now < expires + LEEWAY:
        raise ValueError
    room, session = name(claims["room"], "room"), name(claims["session"], "session")
    return Ticket(room, session, epoch, issued)


def _number(value: object) -> float:
    """Check a NumericDate (RFC 7519, section 2), or another number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError
    return value


def _is_canonical(token: str) -> bool:
    """Whether the signature's last character leaves unused bits at zero (RFC 4648, 3.5)."""
    signature = token.rpartition(".")[2].encode() + b"="
    return base64.urlsafe_b64encode(base64.urlsafe_b64decode(signature)) == signature


def _derive(authkey: str, label: str) -> bytes:
    """Derive 32 bytes for one purpose: HKDF's expand step (RFC 5869) with one block."""
    return hmac.digest(authkey.encode(), f"sse-trio {label} v1\x01".encode(), hashlib.sha256)
