"""Authentication: the user of each request. Cookies, verdicts, keys and sessions.

A termination ends a page. This part invalidates the login behind it: it issues the two cookies of a
login, judges every request by them, and asks the hub's own memory whether the login is still
active.
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
