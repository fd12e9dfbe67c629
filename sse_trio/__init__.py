"""Single-session enforcement on Trio.

A login on a new device ends every other session of that user, at once and for certain.
`serve` runs the server inside your own Trio program; `open_member` joins one as a client.

Each name is imported when it is first used, so that a program pays for no more than it needs.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .client import open_member
    from .config import Config
    from .core.notify import LAST_JOINED
    from .core.verdict import Verdict
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
    from .ledger import (
        Commit,
        Ledger,
        LocalProposal,
        MemoryLedger,
        Proposal,
        SqliteLedger,
        Swap,
    )
    from .roster import Roster, SessionInfo
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
    "LocalProposal",
    "LocalProtocolError",
    "MemberClosed",
    "MemoryLedger",
    "Outcome",
    "Proposal",
    "RemoteProtocolError",
    "Roster",
    "SessionInfo",
    "SqliteLedger",
    "SseTrioError",
    "Statistics",
    "Swap",
    "Verdict",
    "open_member",
    "serve",
]

# All others are errors.
_HOMES = {
    "open_member": "client",
    "Config": "config",
    "LAST_JOINED": "core.notify",
    "Verdict": "core.verdict",
    "Roster": "roster",
    "SessionInfo": "roster",
    "Commit": "ledger",
    "Ledger": "ledger",
    "LocalProposal": "ledger",
    "Proposal": "ledger",
    "Swap": "ledger",
    "MemoryLedger": "ledger",
    "SqliteLedger": "ledger",
    "Hub": "hub.hub",
    "Outcome": "hub.member",
    "serve": "server.serve",
    "Statistics": "hub.statistics",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f".{_HOMES.get(name, 'errors')}", __name__)
    value = globals()[name] = getattr(home, name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
