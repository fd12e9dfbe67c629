"""The store for a ledger, and the keyring for a store."""

from collections.abc import Callable
from typing import Any

from ..ledger import Ledger, SharedLedger, SqliteLedger
from .keyring import Keyring, OwnKeyring
from .sessions import MemorySessions, Sessions, SqliteSessions
from .shared import SharedKeyring, SharedSessions

Store = Sessions | SharedSessions


def store_in(ledger: Ledger) -> Store:
    """Return a store that lasts as long as this ledger."""
    if isinstance(ledger, SharedLedger):
        return SharedSessions(ledger.tables, ledger.wall)
    return SqliteSessions(ledger) if isinstance(ledger, SqliteLedger) else MemorySessions()


def keyring_of(store: Store, wall: Callable[[], float]) -> Keyring[Any]:
    """Return the keys of a store; `wall` is Unix time in seconds."""
    if isinstance(store, SharedSessions):
        return SharedKeyring(store, wall)
    return OwnKeyring(store, wall)
