"""Signed tokens: JWTs (RFC 7519) by the advice of RFC 8725.

One fixed algorithm (HS256); a type and an audience for each kind, so that a token of one kind is
never taken for one of another; every claim required; one accepted spelling of each part. The
callers judge times, which are arguments in the core.
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

# PyJWT's HS256 alone. `jwt.decode` checks each character of a token in Python, and the signature
# last. That takes 30 us for a login, and 600 us for a forged token of 15 KiB.
_HS256 = jwt.get_algorithm_by_name(ALGORITHM)

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

    def sign(self, claims: str, *, kid: str, key: hmac.HMAC) -> str:
        """Write a token of `claims`: members of a JSON object, each after a comma, as `written`.

        `key` is `begin_signature` of the key; it is not changed. PyJWT takes five times as long.
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
            signed, _, signature = token.encode("ascii").rpartition(b".")
            encoded_header, _, payload = signed.partition(b".")
            header = _peek_untrusted(encoded_header)
            kid = str(header.get("kid"))
            if header.get("typ") != self.type:
                raise ValueError
            key = keys.get(kid)
            if key is None:
                raise UnknownKey("the token is signed with a key that is not in use")
            if not _HS256.verify(signed, key, _decode_untrusted(signature)):
                raise ValueError
            # Only now, because a forger could send many headers, and long ones.
            _judge_header(encoded_header)
            claims = json.loads(_decode_untrusted(payload).decode())
            self._check(claims)
        except UnknownKey:
            raise
        except (jwt.PyJWTError, ValueError, RecursionError):
            raise ValueError("the token is not valid") from None
        return kid, claims

    def _check(self, claims: Any) -> None:
        """Check what is common to all kinds; the callers judge the rest, and the times.

        Raises:
            ValueError: a claim is missing, or of another kind of token.
        """
        if not isinstance(claims, dict):
            raise ValueError
        if (claims.get("iss"), claims.get("aud")) != (ISSUER, self.audience):
            raise ValueError
        for claim in self.claims:
            if claims.get(claim) is None:
                raise ValueError
        # These two must be strings (RFC 7519, sections 4.1.2 and 4.1.7).
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
    header = strict_json.dumps({"alg": ALGORITHM, "kid": kid, "typ": typ})
    return _base64url(header.encode()) + b"."


def begin_signature(key: bytes) -> hmac.HMAC:
    """Begin signatures with a key: to copy this takes two thirds of the time of a new HMAC."""
    return hmac.new(key, digestmod=hashlib.sha256)


def _signature(key: hmac.HMAC, signed: bytes) -> bytes:
    mac = key.copy()
    mac.update(signed)
    return _base64url(mac.digest())


def _base64url(data: bytes) -> bytes:
    """Encode as JWS does (RFC 7515, section 2). Not by `base64`, which takes twice as long."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=")


def _decode_untrusted(segment: bytes) -> bytes:
    """Decode a segment.

    Raises:
        ValueError: it is not spelled as `_base64url` spells it.
    """
    data = base64.urlsafe_b64decode(segment + b"==")
    if _base64url(data) != segment:
        raise ValueError
    return data


def _peek_untrusted(segment: bytes) -> dict[str, Any]:
    """Return the header of a token, by which a key is chosen; PyJWT reads it again, and judges."""
    header = json.loads(_decode_untrusted(segment).decode())
    if not isinstance(header, dict):
        raise ValueError("the header is not an object")
    return header


@functools.lru_cache(64)
def _judge_header(segment: bytes) -> None:
    """Let PyJWT judge the header of an authentic token; all tokens of one kind and key share it.

    PyJWT judges a header only as part of a token. So this makes one that claims nothing, signed
    with a key of zeros.

    Raises:
        PyJWTError: it names another algorithm, or an extension that PyJWT does not know.
    """
    key, signed = bytes(32), segment + b"." + _base64url(b"{}")
    token = signed + b"." + _signature(begin_signature(key), signed)
    jwt.decode(token, key, algorithms=[ALGORITHM])
