"""The schema of the database: updated to the present version, by one node at a time.

A newer schema says how old a node may be that still uses it: so nodes of two versions can run
beside each other while they are replaced one by one.
"""

import logging
from collections.abc import Sequence
from importlib import resources
from typing import LiteralString

from ...errors import LedgerError
from .connection import Connection

logger = logging.getLogger("sse_trio")

# Each brings a database from the version of its index to the next.
MIGRATIONS: Sequence[str] = ("schema.sql", "sessions.sql", "poll.sql")

OLDEST_SERVER = 14

# Held by who migrates ("sseT").
_LOCK = 0x73736554

# Read from the catalog itself: functions like `to_regclass` may remember the state before a lock.
_HAS_SCHEMA = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'sse_trio')"
_HAS_TABLES = """
    SELECT EXISTS (
        SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'sse_trio' AND c.relname = 'cluster'
    )
"""
_VERSION = "SELECT schema, min_version FROM sse_trio.cluster"

# Settings with which a failover may lose acknowledged commits: each with its reason.
_RISKS: Sequence[tuple[LiteralString, str]] = (
    (
        "SELECT current_setting('synchronous_commit') IN ('off', 'local')",
        "synchronous_commit does not wait for the disk or the standby",
    ),
    (
        """
        SELECT current_setting('synchronous_standby_names') = ''
            AND EXISTS (SELECT FROM pg_stat_replication)
        """,
        "it has standbys, and synchronous_standby_names is empty",
    ),
    ("SELECT current_setting('fsync') = 'off'", "fsync is off"),
)


def prepare(connection: Connection) -> None:
    """Make the schema, or update it; warn of settings that break the promise.

    Raises:
        LedgerError: the server is too old, or the schema of a newer version.
        psycopg.Error: it cannot be written.
    """
    check(connection)
    if present_version(connection) < len(MIGRATIONS):
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SET LOCAL lock_timeout = 0")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
            _migrate(connection, present_version(connection))
    for question, risk in _RISKS:
        if connection.execute(question).fetchone() == (True,):
            logger.warning("the ledger's database may lose what it has acknowledged: %s", risk)


def check(connection: Connection) -> None:
    """Check that a database can be a ledger.

    Raises:
        LedgerError: it cannot.
    """
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        raise LedgerError(f"the ledger needs PostgreSQL {OLDEST_SERVER} or newer")
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise LedgerError("the ledger needs a database in UTF8: create one with ENCODING 'UTF8'")


def present_version(connection: Connection) -> int:
    """Return the version of the schema, 0 if there is none.

    Raises:
        LedgerError: it is that of a newer sse_trio, or damaged.
    """
    if connection.execute(_HAS_TABLES).fetchone() != (True,):
        return 0
    row = connection.execute(_VERSION).fetchone()
    if row is None:
        raise LedgerError("the ledger's database is damaged: its table cluster is empty")
    version: int
    oldest: int
    version, oldest = row
    if oldest > len(MIGRATIONS):
        raise LedgerError(
            f"the ledger's database is of version {version}, which needs {oldest}, and this "
            f"sse_trio knows only {len(MIGRATIONS)}: use a newer sse_trio, or another database"
        )
    return version


def _migrate(connection: Connection, version: int) -> None:
    if connection.execute(_HAS_SCHEMA).fetchone() != (True,):
        # An operator may have made it for a user who may not create a schema.
        connection.execute("CREATE SCHEMA sse_trio")
    for name in MIGRATIONS[version:]:
        # Without parameters, it may be several statements.
        connection.execute(resources.files(__package__).joinpath(name).read_bytes())
    if version == 0:
        connection.execute(
            "INSERT INTO sse_trio.cluster (schema, min_version) VALUES (%s, 1)", (len(MIGRATIONS),)
        )
    else:
        connection.execute("UPDATE sse_trio.cluster SET schema = %s", (len(MIGRATIONS),))
