"""The second half: whose request this is. Cookies, verdicts, keys and sessions.

A termination ends a page. This part makes the login behind it worth nothing: it issues
the two cookies of a login, judges every request by them, and asks the hub's own memory
whether the login still stands.
"""

from .authority import Authority, LoggedIn
from .cookies import User
from .sessions import MemorySessions, Sessions, SqliteSessions
from .settings import Kind, PersistentSettings, SessionSettings, Settings
from .verdict import Anonymous, Authenticated, Reason, Session

__all__ = [
    "Anonymous",
    "Authenticated",
    "Authority",
    "Kind",
    "LoggedIn",
    "MemorySessions",
    "PersistentSettings",
    "Reason",
    "Session",
    "SessionSettings",
    "Sessions",
    "Settings",
    "SqliteSessions",
    "User",
]
