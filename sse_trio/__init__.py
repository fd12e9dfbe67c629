"""Single-session enforcement on Trio.

A login on a new device ends every other session of that user, at once and for certain.
`serve` runs the server inside your own Trio program; `open_member` joins one as a client.
"""

from .client import open_member
from .config import Config
from .core.notify import LAST_JOINED
from .errors import (
    ConfigError,
    Conflict,
    Draining,
    LedgerError,
    LimitReached,
    LocalProtocolError,
    MemberClosed,
    RemoteProtocolError,
    SseTrioError,
)
from .hub.hub import Hub
from .hub.member import Outcome
from .hub.statistics import Statistics
from .ledger import Commit, Ledger, MemoryLedger, SqliteLedger
from .server.serve import serve

__all__ = [
    "LAST_JOINED",
    "Commit",
    "Config",
    "ConfigError",
    "Conflict",
    "Draining",
    "Hub",
    "Ledger",
    "LedgerError",
    "LimitReached",
    "LocalProtocolError",
    "MemberClosed",
    "MemoryLedger",
    "Outcome",
    "RemoteProtocolError",
    "SqliteLedger",
    "SseTrioError",
    "Statistics",
    "open_member",
    "serve",
]
