"""What the middleware adds to the headers of an application's answer, and its own answers."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from ..core.messages import CloseCode
from ..errors import ConfigError

Fields = list[tuple[bytes, bytes]]

NO_STORE: Final = (b"cache-control", b"no-store")

# The kinds of data that a browser can be told to delete:
# https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Clear-Site-Data
SITE_DATA: Final = (
    "*",
    "cache",
    "clientHints",
    "cookies",
    "executionContexts",
    "prefetchCache",
    "prerenderCache",
    "storage",
)

# Other headers by which a cache may decide to keep an answer.
_CACHING: Final = (b"expires", b"surrogate-control", b"edge-control", b"x-accel-expires")

# Seconds until a client may ask again.
_RETRY: Final = 2


def is_caching(header: bytes) -> bool:
    """Whether a header tells caches what to do with the answer."""
    # Some caches have their own header: cdn-cache-control, cloudflare-cdn-cache-control.
    return header.lower().endswith(b"cache-control") or header.lower() in _CACHING


def depending_on_cookies(headers: Fields) -> Fields:
    """Return the headers with ``Cookie`` added to the application's ``Vary``, in one field."""
    others = [(key, value) for key, value in headers if key.lower() != b"vary"]
    varied = [value.strip() for key, value in headers if key.lower() == b"vary" and value.strip()]
    said = {name.strip().lower() for value in varied for name in value.split(b",")}
    if said & {b"cookie", b"*"}:
        return headers
    return [*others, (b"vary", b", ".join([*varied, b"Cookie"]))]


def clear_site_data(kinds: Collection[str]) -> Fields:
    """Return the header of a logout's answer; an empty list if there is nothing to clear.

    Raises:
        ConfigError: browsers do not know one of these kinds of data.
    """
    if not _is_list(kinds) or not all(kind in SITE_DATA for kind in kinds):
        raise ConfigError(f"clear_site_data must be a list, of {', '.join(SITE_DATA)}")
    value = ", ".join(f'"{kind}"' for kind in kinds)
    return [(b"clear-site-data", value.encode())] if value else []


def _is_list(values: object) -> bool:
    """Whether this is a collection of strings. A single string does not count as one."""
    return (
        isinstance(values, Collection)
        and not isinstance(values, str)
        and all(isinstance(value, str) for value in values)
    )


class Paths:
    """A set of paths: ``/favicon.ico`` is that path alone, ``/static/`` every path below it.

    Raises:
        ConfigError: this is not a list of paths.
    """

    def __init__(self, paths: Collection[str]) -> None:
        if not _is_list(paths) or not all(path.startswith("/") for path in paths):
            raise ConfigError("leave_out must be a list of paths, which begin with a slash")
        self._exact = frozenset(paths)
        self._folders = tuple(path for path in paths if path.endswith("/"))

    def __contains__(self, path: str) -> bool:
        """Whether the set has this path, or a folder above it."""
        return path in self._exact or path.startswith(self._folders)


def unavailable(scope: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the answer to a request while the store cannot be read to authenticate it."""
    if scope["type"] == "websocket":
        return [{"type": "websocket.close", "code": CloseCode.TRY_AGAIN_LATER.value}]
    retry = (b"retry-after", b"%d" % _RETRY)
    return _plain(503, b"The server cannot find out now who you are. Try again.\n", retry)


def failed() -> list[dict[str, Any]]:
    """Return the answer to a request that the application has failed to answer."""
    return _plain(500, b"Internal Server Error\n")


def _plain(status: int, body: bytes, *more: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    length = (b"content-length", b"%d" % len(body))
    headers = [(b"content-type", b"text/plain; charset=utf-8"), length, *more, NO_STORE]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
