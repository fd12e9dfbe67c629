"""Signed tokens: JWTs (RFC 7519) by the advice of RFC 8725.

One fixed algorithm (HS256); a type and an audience for each kind, so that a token of one kind is
never taken for one of another; every claim required; one spelling of each signature. The callers
judge times, which are arguments in the core.
"""

import base64
import functools
import hashlib
import hmac
import json
import sys
from collections.abc import Mapping
from typing import Any

import attrs
import jwt

from .. import strict_json

ALGORITHM = "HS256"
ISSUER = "sse-trio"

# The largest number that every JSON parser reads exactly (RFC 8259, section 6), and a ledger can
# hold.
MAX_EPOCH = 2**53

# It knows this algorithm only. It verifies signatures, and does not judge claims: PyJWT's judgement
# takes 8 µs, and asks the system's clock, where ours is an argument.
_JWS = jwt.PyJWS(algorithms=[ALGORITHM])

# Seconds by which two machines' clocks may differ.
LEEWAY = 30


class UnknownKey(ValueError):
    """A token names a key that is not in use any more, or never was."""


@attrs.frozen
class TokenKind:
    """What is common to all tokens for one purpose."""

    type: str
    audience: str
    claims: tuple[str, ...]
    """Beside `iss` and `aud`; all of them are required."""

    def sign(self, claims: str, *, kid: str, key: bytes) -> str:
        """Write a token of these claims, as `written`.

        PyJWT writes the same in five times the time, and this is the largest part of a notify. Only
        PyJWT reads tokens.
        """
        payload = f'{{"iss":"{ISSUER}","aud":"{self.audience}"{claims}}}'
        signed = _header(self.type, kid) + b"." + _base64url(payload.encode())
        return (signed + b"." + _signature(key, signed)).decode("ascii")

    def read_untrusted(self, token: str, keys: Mapping[str, bytes]) -> tuple[str, dict[str, Any]]:
        """Return the `kid` of the one of `keys` that has signed a token, and its claims.

        Raises:
            UnknownKey: it names none of the keys.
            ValueError: it is forged, or of another kind. The error does not say which of these.
        """
        try:
            header = _peek_untrusted(token)
            kid = str(header.get("kid"))
            if header.get("typ") != self.type:
                raise ValueError
            key = keys.get(kid)
            if key is None:
                raise UnknownKey("the token is signed with a key that is not in use")
            # PyJWT reads all of a token before it checks the signature. For a long forged token
            # that takes 150 times as long. A signature is compared in its one spelling only.
            signed, _, signature = token.encode("ascii").rpartition(b".")
            if not hmac.compare_digest(_signature(key, signed), signature):
                raise ValueError
            claims = json.loads(_JWS.decode(token, key, algorithms=[ALGORITHM]))
            self._check(claims)
        except UnknownKey:
            raise
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise ValueError("the token is not valid") from None
        return kid, claims

    def _check(self, claims: Any) -> None:
        """Check what is common to all kinds; the callers judge the rest, and the times."""
        if not isinstance(claims, dict):
            raise ValueError
        if (claims.get("iss"), claims.get("aud")) != (ISSUER, self.audience):
            raise ValueError
        for claim in self.claims:
            if claims.get(claim) is None:
                raise ValueError
        # RFC 7519, sections 4.1.2 and 4.1.7.
        for claim in ("sub", "jti"):
            if not isinstance(claims.get(claim, ""), str):
                raise ValueError


def written(claims: Mapping[str, Any]) -> str:
    """Write claims as members of an object: names as they go into JSON, neither `iss` nor `aud`."""
    # One by one, because they are strings and numbers: two thirds of what an object takes.
    return "".join([f',"{claim}":{strict_json.dumps(value)}' for claim, value in claims.items()])


def epoch(value: object) -> int:
    """Check the epoch of a login.

    Raises:
        ValueError: it is something else.
    """
    if not isinstance(value, int) or number(value) > MAX_EPOCH:
        raise ValueError
    return value


def number(value: object) -> float:
    """Check a NumericDate (RFC 7519, section 2), or another number that is not negative.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    # Neither infinite nor NaN, nor an integer that cannot be added to a float.
    if not 0 <= value <= sys.float_info.max:
        raise ValueError
    return value


@functools.lru_cache(64)
def _header(typ: str, kid: str) -> bytes:
    return _base64url(strict_json.dumps({"alg": ALGORITHM, "kid": kid, "typ": typ}).encode())


def _signature(key: bytes, signed: bytes) -> bytes:
    return _base64url(hmac.digest(key, signed, hashlib.sha256))


def _base64url(data: bytes) -> bytes:
    """Encode as JWS does (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _peek_untrusted(token: str) -> dict[str, Any]:
    """Return the header of a token, by which a key is chosen; PyJWT reads it again, and judges.

    PyJWT's own look at a header reads the whole token for it, as its verification does.
    """
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    return header
