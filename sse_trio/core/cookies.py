"""The values of a cookie in a request (RFC 6265, section 5.4)."""

import functools
import re
from collections.abc import Iterable


def cookie_values(headers: Iterable[bytes], name: str) -> list[bytes | None]:
    """Return the values of the cookie `name` in the ``Cookie`` headers, as they come.

    A cookie without an equals sign has the value None: the caller decides what that means.
    """
    found = [match[1] for header in headers for match in _pattern(name).finditer(b";" + header)]
    # Only spaces and tabs: other characters that Python strips are part of the value.
    return [value and value.rstrip(b" \t") for value in found]


@functools.lru_cache(8)
def _pattern(name: str) -> re.Pattern[bytes]:
    """Find the values of a cookie; splitting a head of nothing but semicolons would take 6 ms.

    Each cookie begins with a semicolon, the first one too: to look for one character is quick.
    """
    return re.compile(rb";[ \t]*" + re.escape(name.encode()) + rb"(?:=([^;]*)|[ \t]*(?=;|\Z))")
