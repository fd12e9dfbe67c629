"""Sessions of a framework that keeps them in a store: those whose login has ended are deleted.

For the hub, a login has another name than the key of the framework's session: that key is a secret,
and pages see the name. So beside each session the store keeps an entry that says where it is. The
entry's key is made from the name and a secret. So no search is needed, and two logins at once write
different entries.
"""

import hmac
from typing import Any, Final, Protocol

from ..errors import ConfigError
from .answers import Notified


class Cache(Protocol):
    """A store as cachelib has it: what Flask-Session keeps its sessions in."""

    def get(self, key: str, /) -> Any:
        """Return a value, or None."""

    def set(self, key: str, value: Any, /, timeout: int | None = None) -> Any:
        """Keep a value for so many seconds."""

    def delete(self, key: str, /) -> Any:
        """Delete a value, if it is there."""


# Seconds: at least as long as the framework's sessions, and the hub's tickets.
LIFETIME: Final = 31 * 24 * 3600


class KeptSessions:
    """The sessions of a framework in a cache: ``KeptSessions(FileSystemCache(...), secret)``.

    `secret` is the application's secret; `prefix` is what the framework puts before a session's id.
    """

    def __init__(
        self, cache: Cache, secret: str, *, prefix: str = "session:", lifetime: int = LIFETIME
    ) -> None:
        if not secret:
            raise ConfigError("a secret is required")
        self._cache = cache
        self._secret = secret
        self._prefix = prefix
        self._lifetime = lifetime

    def apply(self, answer: Notified | None, key: str = "") -> None:
        """Carry out the answer to a login or a logout: delete the sessions that have ended.

        After a login, `key` is the id of the framework's session that the new login is in.
        """
        if answer is None:
            return
        for session in answer.ended:
            where = self._where(session)
            ended = self._cache.get(where)
            self._cache.delete(where)
            if isinstance(ended, str) and ended != key:
                self._cache.delete(self._prefix + ended)
        if answer.session is not None and key:
            self._cache.set(self._where(answer.session), key, timeout=self._lifetime)

    def _where(self, session: str) -> str:
        return f"sse_trio:{place(self._secret, session)}"


def place(secret: str, session: str) -> str:
    """Return the key under which it is kept where the session of a login is: 32 hex digits."""
    return hmac.digest(secret.encode(), f"sse_trio {session}".encode(), "sha256").hex()[:32]
