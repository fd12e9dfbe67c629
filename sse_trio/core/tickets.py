"""Tickets and tokens: signed proof of a login, of a session in a room, of an epoch.

The application gives its new page the *ticket* from the notify's answer: scripts can read it, and
it gives access to a room's events only. The *token* of the same login is for the application alone:
it sets it as a cookie that no script can read, and asks about it. They differ in type, audience and
key, so the hub never takes one for the other. Time is an argument.

The signing keys are derived from the authkey, so that none can be used in place of another. Their
`kid` is derived too: during a rotation it says which authkey has signed.
"""

import functools
import hashlib
import hmac
from typing import Any

import attrs

from .. import strict_json
from ..errors import RemoteProtocolError
from ..values import frozen
from .messages import CloseCode, name
from .tokens import LEEWAY, TokenKind, begin_signature, epoch, number

# About 1 KiB each, and 6 KiB with the longest names. Without a key a client cannot fill it: forged
# ones are not remembered.
REMEMBERED_TOKENS = 4096


@frozen
class ProofKind(TokenKind):
    """What is common to all proofs of a login for one purpose."""

    purpose: str
    """What their key is derived for."""


_CLAIMS = ("room", "session", "epoch", "iat", "exp", "jti")

TICKET = ProofKind("sse-trio-ticket+jwt", "sse-trio/join", _CLAIMS, "ticket")
TOKEN = ProofKind("sse-trio-token+jwt", "sse-trio/check", _CLAIMS, "token")


@frozen
class Ticket:
    """What a ticket proves, or a token."""

    room: str = attrs.field(repr=False)
    session: str = attrs.field(repr=False)
    epoch: int
    """The login's, in its room."""
    issued: float = attrs.field(default=0.0, eq=False)
    """Unix seconds, with their fraction, because a notify may come in the same second."""
    expires: float = attrs.field(default=0.0, eq=False)
    """Unix seconds."""


class Tickets:
    """All of one kind: signs with the first authkey, verifies with all. `lifetime` is seconds."""

    def __init__(
        self, authkeys: tuple[str, ...], *, lifetime: float, kind: ProofKind = TICKET
    ) -> None:
        self._kind = kind
        keys = {_derive(key, "kid").hex()[:16]: _derive(key, kind.purpose) for key in authkeys}
        self._signing = next(((kid, begin_signature(key)) for kid, key in keys.items()), None)
        self._lifetime = lifetime

        # It has no reference to `self`: otherwise a cycle would keep the old keys and tokens after
        # a reload, until the garbage collector runs.
        def read_untrusted(token: str) -> tuple[Ticket, float]:
            return _ticket(kind.read_untrusted(token, keys)[1], lifetime)

        # An application asks about the same token with each request of a browser. To read it takes
        # five times as long as the rest of the answer, and its claims never change.
        self._read_untrusted = functools.lru_cache(REMEMBERED_TOKENS)(read_untrusted)

    @property
    def can_sign(self) -> bool:
        """Whether there is a key to sign with."""
        return self._signing is not None

    def mint(self, ticket: Ticket, *, now: float, jti: str) -> str | None:
        """Sign `ticket` at `now` (Unix seconds); None where there is no key to sign with."""
        return self.sign(claims_of(ticket, now=now, lifetime=self._lifetime, jti=jti))

    def sign(self, claims: str) -> str | None:
        """Sign `claims_of` a ticket; None where there is no key to sign with."""
        if self._signing is None:
            return None
        kid, key = self._signing
        return self._kind.sign(claims, kid=kid, key=key)

    def verify_untrusted(self, token: str, *, now: float) -> Ticket:
        """Read one, also one from the future: the room decides what such a one proves.

        The hub signed such a ticket before its clock was set back. A refusal would keep out a user
        who has just logged in.

        Raises:
            RemoteProtocolError: it is forged, expired, or for something else; closes with
                4401. The error does not say which of these it is.
        """
        try:
            ticket, begins = self._read_untrusted(token)
            if now >= ticket.expires + LEEWAY:
                raise ValueError
        except ValueError:
            raise RemoteProtocolError(
                f"the {self._kind.purpose} is not valid", CloseCode.BAD_TICKET
            ) from None
        # A ticket that is not valid yet (`nbf`) is from the future too (RFC 7519, section 4.1.5).
        if begins > now + LEEWAY:
            return attrs.evolve(ticket, issued=max(ticket.issued, begins))
        return ticket


def claims_of(ticket: Ticket, *, now: float, lifetime: float, jti: str) -> str:
    """Write the claims of a proof of `ticket`, for any kind. Times are Unix seconds."""
    room, session = strict_json.dumps(ticket.room), strict_json.dumps(ticket.session)
    # Not by `written`, which takes twice as long: every notify needs this.
    return (
        f',"room":{room},"session":{session},"epoch":{ticket.epoch:d},'
        f'"iat":{now!r},"exp":{now + lifetime!r},"jti":{strict_json.dumps(jti)}'
    )


def _ticket(claims: dict[str, Any], lifetime: float) -> tuple[Ticket, float]:
    """Return what a proof claims, and when it begins to be valid, in Unix seconds."""
    issued, expires, begins = (number(claims.get(claim, 0)) for claim in ("iat", "exp", "nbf"))
    room, session = name(claims["room"], "room"), name(claims["session"], "session")
    # Rooms remember for the present lifetime, even if it was another when this was signed.
    expires = min(expires, issued + lifetime)
    return Ticket(room, session, epoch(claims["epoch"]), issued, expires), begins


def _derive(authkey: str, label: str) -> bytes:
    """Derive 32 bytes for one purpose: HKDF's expand step (RFC 5869) with one block."""
    return hmac.digest(authkey.encode(), f"sse-trio {label} v1\x01".encode(), hashlib.sha256)
