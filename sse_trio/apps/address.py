"""The address of a hub: http://host:port, https://host/path, unix:/path."""

import http.client
import os
import urllib.parse
from typing import Final

import attrs

from ..errors import ConfigError
from ..fields import to_authkeys

URL: Final = "SSE_TRIO_URL"
"""The environment's name for the address; several are separated by commas."""
KEY: Final = "SSE_TRIO_KEY"
"""The environment's name for the authkey."""
PUBLIC_URL: Final = "SSE_TRIO_PUBLIC_URL"
"""The environment's name for the address that browsers reach."""

LIKE: Final = "must look like http://host:port or unix:/path"

_USUAL_PORTS: Final = {"http": http.client.HTTP_PORT, "https": http.client.HTTPS_PORT}


@attrs.frozen
class Address:
    """One hub's address."""

    url: str
    """As it was written. It contains no password."""
    host: str = "localhost"
    port: int = 0
    is_tls: bool = False
    path: str = ""
    """What goes before the path of each request."""
    unix: str = ""
    """The path of a Unix socket, in place of host and port."""

    @property
    def host_header(self) -> str:
        """The value of ``Host`` (RFC 9110, section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = not self.port or self.port == _USUAL_PORTS["https" if self.is_tls else "http"]
        return host if usual else f"{host}:{self.port}"


def parse(url: str) -> Address:
    """Return the address that a URL names.

    Raises:
        ConfigError: it names none. The error does not quote it, because it may contain a password.
    """
    if url.startswith("unix:"):
        where = url.removeprefix("unix:")
        if not where:
            raise ConfigError(f"the hub's URL {LIKE}")
        return Address(url, unix=where)
    try:
        parts = urllib.parse.urlsplit(url)
        usual_port = _USUAL_PORTS[parts.scheme]
        port = usual_port if parts.port is None else parts.port
        host = (parts.hostname or "").encode("idna" if "%" not in url else "ascii").decode()
    except (KeyError, ValueError):
        raise ConfigError(f"the hub's URL {LIKE}") from None
    if not host or not port or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(f"the hub's URL {LIKE}")
    path = urllib.parse.quote(parts.path.rstrip("/"), safe="/%")
    return Address(url, host, port, parts.scheme == "https", path)


def addresses(url: str | None) -> tuple[Address, ...]:
    """Return the addresses in `url`, or without it those of the environment.

    Raises:
        ConfigError: there is none, or one is wrong.
    """
    listed = [part.strip() for part in (url or os.environ.get(URL, "")).split(",")]
    if not any(listed):
        raise ConfigError(f"the hub's address is required: pass url, or set {URL}")
    return tuple(parse(part) for part in listed if part)


def key(given: str | None) -> str:
    """Return the given authkey, or without one that of the environment.

    Raises:
        ConfigError: there is none, or it cannot be sent.
    """
    keys = to_authkeys(given or os.environ.get(KEY) or None)
    if not keys:
        raise ConfigError(f"the hub's key is required: pass key, or set {KEY}")
    return keys[0]
