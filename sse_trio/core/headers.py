"""The headers of a request, as h11 has read them."""

import h11

from .problems import Problem

Headers = list[tuple[bytes, bytes]]


class RequestHeaders:
    """The headers of one request. h11 has lowered the names and checked the values."""

    def __init__(self, request: h11.Request) -> None:
        self._items = list(request.headers)

    def values(self, wanted: bytes) -> list[bytes]:
        """Return the values, in their order."""
        return [value for key, value in self._items if key == wanted]

    def get(self, wanted: bytes) -> bytes | None:
        """Return the value; a header sent twice is joined as RFC 9110, section 5.3 says."""
        values = self.values(wanted)
        return b", ".join(values) if values else None

    def tokens(self, wanted: bytes) -> list[bytes]:
        """Return a comma-separated list (RFC 9110, section 5.6.1: empty elements are none)."""
        tokens = map(bytes.strip, (self.get(wanted) or b"").split(b","))
        return [token for token in tokens if token]

    def lists(self, wanted: bytes, token: bytes) -> bool:
        """Whether a case-insensitive list holds `token`."""
        return token in map(bytes.lower, self.tokens(wanted))

    def etags(self) -> frozenset[bytes]:
        """Return the versions that the client has (RFC 9110, section 13.1.2).

        By the weak comparison, because a proxy that compresses makes an ETag weak.
        """
        return frozenset(etag.removeprefix(b"W/") for etag in self.tokens(b"if-none-match"))

    def announces_body(self) -> bool:
        """Whether a body follows (RFC 9112, section 6.3)."""
        return (
            self.get(b"transfer-encoding") is not None or int(self.get(b"content-length") or 0) > 0
        )


def media_type(value: bytes | None) -> str:
    """Return the type in a ``Content-Type``, without its parameters (RFC 9110, section 8.3.1)."""
    return (value or b"").decode("latin-1").lower().partition(";")[0].strip()


def unlike_media_type(value: bytes | None, expected: str) -> Problem | None:
    """Refuse a ``Content-Type`` that is not the expected one, in UTF-8."""
    if media_type(value) != expected:
        return Problem("unsupported-media-type", f"Content-Type must be {expected}")
    _, _, parameters = (value or b"").decode("latin-1").lower().partition(";")
    for parameter in parameters.split(";"):
        key, _, text = parameter.partition("=")
        if key.strip() == "charset" and text.strip().strip('"') not in ("utf-8", "utf8"):
            return Problem("unsupported-media-type", "the only charset is UTF-8")
    return None
