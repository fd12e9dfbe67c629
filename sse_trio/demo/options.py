"""The options of the demo, and the configuration of the hub and the logins that follows from them.

Nothing of the extra is imported here: the command knows its options without it.
"""

import ipaddress
import secrets
from typing import Any

import attrs

from ..auth.settings import SessionSettings, Settings
from ..config import Config
from ..fields import Tcp

# Seconds between heartbeats: short, so that users see them.
HEARTBEAT = 5


def _option(default: Any, about: str) -> Any:
    return attrs.field(default=default, metadata={"about": about})


@attrs.frozen(kw_only=True)
class Options:
    """Each is an option of `sse-trio demo`; the hub's own checks find wrong values."""

    host: str = _option("127.0.0.1", "address or host name that both listen on")
    port: int = _option(8000, "port of the application; 0 lets the system choose")
    hub_port: int = _option(8080, "port of the hub; 0 lets the system choose")
    ledger: str = _option("memory:", "where logins are kept; or in a file, sqlite:///demo.db")
    cache_minutes: float = _option(5, "a cookie is believed without a look at the store")
    idle_minutes: float = _option(20, "without contact until a session login ends")
    max_sessions: int = _option(1, "active sessions of one user")

    def where(self) -> Tcp:
        """Return where the application listens.

        Raises:
            ConfigError: there is no such address.
        """
        config = Config(ipaddr=self.host, port=self.port)
        return Tcp(config.ipaddr, config.port)

    def hub(self, port: int) -> Config:
        """Configure the hub of an application on this port.

        Raises:
            ConfigError: an option is out of its range.
        """
        return Config(
            ipaddr=self.host,
            port=self.hub_port,
            ledger=self.ledger,
            max_sessions=self.max_sessions,
            # Only this process notifies, and pages join with the tickets that it has signed.
            authkey=secrets.token_urlsafe(32),
            join="ticket",
            origins=self._origins(port),
            heartbeat_interval=HEARTBEAT,
        )

    def logins(self) -> Settings:
        """Configure the logins.

        Raises:
            ConfigError: an option is out of its range.
        """
        return Settings(
            https=False,
            navigations=True,
            cache_time_minutes=self.cache_minutes,
            session=SessionSettings(max_idle_minutes=self.idle_minutes),
        )

    def is_local(self) -> bool:
        """Whether only this machine's own browsers can connect."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def _origins(self, port: int) -> tuple[str, ...] | None:
        """Return the application's origins; None if it has names that it cannot know."""
        if not self.is_local():
            return None
        host = f"[{self.host}]" if ":" in self.host else self.host
        return tuple(f"http://{name}:{port}" for name in (host, "127.0.0.1", "localhost"))
