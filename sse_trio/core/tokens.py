"""Signed tokens: JWTs (RFC 7519) by the advice of RFC 8725.

One fixed algorithm (HS256); a type and an audience for each kind, so that a token of one kind is
never taken for one of another; every claim required; one spelling of each signature. The callers
judge times, which are arguments in the core.
"""

import base64
import binascii
import functools
import hashlib
import hmac
import json
import sys
from collections.abc import Mapping
from typing import Any

import jwt

from .. import strict_json
from ..values import frozen

ALGORITHM = "HS256"
ISSUER = "sse-trio"

# The largest number that every JSON parser reads exactly (RFC 8259, section 6), and a ledger can
# hold.
MAX_EPOCH = 2**53

_URL_SAFE = bytes.maketrans(b"+/", b"-_")

# Seconds by which two machines' clocks may differ.
LEEWAY = 30


class UnknownKey(ValueError):
    """A token names a key that is not in use any more, or never was."""


@frozen
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
        signed = _header(self.type, kid) + _base64url(payload.encode())
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
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self.audience,
                issuer=ISSUER,
                # PyJWT would ask the system's clock; ours is an argument.
                options={
                    "require": ["iss", "aud", *self.claims],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except UnknownKey:
            raise
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise ValueError("the token is not valid") from None
        return kid, claims


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
    header = strict_json.dumps({"alg": ALGORITHM, "kid": kid, "typ": typ})
    return _base64url(header.encode()) + b"."


def _signature(key: bytes, signed: bytes) -> bytes:
    mac = _mac(key).copy()
    mac.update(signed)
    return _base64url(mac.digest())


@functools.lru_cache(64)
def _mac(key: bytes) -> hmac.HMAC:
    """Begin an HMAC of this key: a copy of it takes two thirds of the time of a new one."""
    return hmac.new(key, digestmod=hashlib.sha256)


def _base64url(data: bytes) -> bytes:
    """Encode as JWS does (RFC 7515, section 2): the module `base64` takes twice as long."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


def _peek_untrusted(token: str) -> dict[str, Any]:
    """Return the header of a token, by which a key is chosen; PyJWT reads it again, and judges.

    PyJWT's own look at a header reads the whole token for it, as its verification does.
    """
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    return header
