"""Which ledger a configuration names: the memory, a file, or a database that several nodes share.

A database's URL may hold a password. The check is so strict that the place of a password is
certain. Neither a password nor a refused URL is ever shown.
"""

import re
from pathlib import Path
from urllib.parse import unquote

from .errors import ConfigError

MEMORY = "memory:"

# As SQLAlchemy writes it: what comes after the third slash is the path. (SQLite would take
# a path that begins with a colon for a database in memory.)
_FILE = re.compile(r"sqlite:///([^:\x00][^\x00]*)")

# As libpq reads it (PostgreSQL's documentation, "Connection URIs"): of printable ASCII, and
# whatever could be taken for something else is percent-encoded.
_HOST = r"(?:\[[^][/?#@,]*\]|[^][:/?#@,]*)(?::[0-9]*)?"
_DATABASE = re.compile(
    r"(?=[!-~]*\Z)(?P<scheme>postgresql://)(?:(?P<user>[^:/?#@]*)(?P<password>:[^/?#@]*)?@)?"
    rf"(?P<place>{_HOST}(?:,{_HOST})*(?:/[^/?#@]*)?)(?P<settings>\?[^#@]*)?"
)


def to_ledger(value: object) -> str:
    """Take ``memory:``, ``sqlite:///path`` or ``postgresql://user@host/database``."""
    if isinstance(value, str) and (value == MEMORY or is_shared(value)):
        return value
    if not isinstance(value, str) or not _FILE.fullmatch(value):
        raise ConfigError(
            'ledger must be "memory:", "sqlite:///relative/path", "sqlite:////absolute/path" '
            'or "postgresql://user@host/database"'
        )
    if value.rpartition("/")[2] in ("", ".", ".."):
        raise ConfigError("ledger must name a file, not a folder")
    return value


def to_feed(value: object) -> str | None:
    """Take a database, or null."""
    if value is None or (isinstance(value, str) and is_shared(value)):
        return value
    raise ConfigError('ledger_feed must be null or "postgresql://user@host/database"')


def is_shared(ledger: str) -> bool:
    """Whether it is a database that several nodes share."""
    return _DATABASE.fullmatch(ledger) is not None


def path_of(ledger: str) -> Path | None:
    """Return the ledger's file, if it is one."""
    found = _FILE.fullmatch(ledger)
    return Path(found[1]) if found else None


def may_hold_password(ledger: str) -> bool:
    """Whether a password may stand in it, or what is a secret like that."""
    found = _DATABASE.fullmatch(ledger)
    if found is None:
        return False
    # libpq decodes the names of settings too.
    return bool(found["password"]) or "password" in unquote(found["settings"] or "")


def without_secrets(ledger: str) -> str:
    """Return it as it may be shown: without a password, and without the values of settings.

    Those may be passwords too, or name files of keys.
    """
    found = _DATABASE.fullmatch(ledger)
    if found is None:
        return ledger
    password = ":***" if found["password"] else ""
    user = "" if found["user"] is None else f"{found['user']}{password}@"
    return f"{found['scheme']}{user}{found['place']}" + ("?***" if found["settings"] else "")
