"""The part that is the same in every client: addresses, the key, deadlines."""

import hmac
import ssl
from collections.abc import Callable, Iterator
from typing import Final

from . import address as addressing
from .calls import NOTIFY_TIMEOUT, TIMEOUT
from .flows import pauses

# Connections that a process has to the hubs at once, by default. Further calls wait.
CONNECTIONS: Final = 32


class BaseClient:
    """What asks a hub.

    `url` and `key` default to the environment's ``SSE_TRIO_URL`` and ``SSE_TRIO_KEY``; `url` may
    list several nodes, separated by commas, which are tried in turn, the one that has answered last
    first. `timeout` is in seconds, for all that a check, a release or a list of sessions takes;
    `notify_timeout` that of a notify, which waits for the hub's disk: the hub's ``ledger_timeout``
    and one second more. At most `connections` are open at once. `tls` is for an ``https:`` address;
    by default it trusts the system's certificate authorities. `pauses` yields the seconds before
    each attempt in the background.

    Raises:
        ConfigError: `url` or `key` is missing or wrong.
    """

    def __init__(
        self,
        url: str | None = None,
        key: str | None = None,
        *,
        timeout: float = TIMEOUT,
        notify_timeout: float = NOTIFY_TIMEOUT,
        connections: int = CONNECTIONS,
        tls: ssl.SSLContext | None = None,
        pauses: Callable[[], Iterator[float]] = pauses,
    ) -> None:
        self._addresses = addressing.addresses(url)
        self._order = list(self._addresses)
        """The addresses; first the one that has answered last."""
        self._key = addressing.key(key)
        self.timeout = timeout
        self.notify_timeout = notify_timeout
        self._connections = connections
        if tls is None and any(each.is_tls for each in self._addresses):
            tls = ssl.create_default_context()  # now, because to read it takes a while
        self._tls = tls
        self._pauses = pauses

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {', '.join(each.url for each in self._addresses)}>"

    @property
    def public_url(self) -> str:
        """The first address; nothing, which means the application's own host, for a Unix socket."""
        first = self._addresses[0]
        return "" if first.unix else first.url

    def derive(self, purpose: bytes) -> bytes:
        """Return a key for one purpose. The authkey cannot be derived from it."""
        return hmac.digest(self._key.encode(), purpose, "sha256")
