"""How a connection to the database is made, and the texts of its errors. These functions block."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg.pq import DiagnosticField
from psycopg.pq.abc import PGresult

from ..cluster.engine import EngineError, Expelled

Connection = psycopg.Connection[tuple[Any, ...]]

# The errors that the functions of the schema raise.
EXPELLED = "SS001"
USED_BEFORE = "SS002"


def connect(parameters: Mapping[str, str]) -> Connection:
    """Connect to a server that can be written to.

    Raises:
        psycopg.Error: that was not possible.
        EngineError: it is a standby.
    """
    try:
        connection = _connect(parameters)
    except psycopg.OperationalError as error:
        # A pooler accepts no options that last longer than a transaction, and says so.
        if "unsupported startup parameter" not in str(error):
            raise
        connection = _connect({k: v for k, v in parameters.items() if k != "options"})
    try:
        row = connection.execute("SELECT pg_is_in_recovery()").fetchone()
        if row != (False,):
            raise EngineError("the database is a standby: name all hosts, and read-write")
    except BaseException:
        connection.close()
        raise
    return connection


def _connect(parameters: Mapping[str, str]) -> Connection:
    # Not every pooler passes prepared statements on, and the functions keep their own plans.
    arguments: dict[str, Any] = dict(parameters)
    return psycopg.connect(**arguments, autocommit=True, prepare_threshold=None)


def words(error: psycopg.Error) -> str:
    """Return what is wrong, without stored data."""
    return _words(error.diag.message_primary, error.sqlstate, error)


def translated(error: psycopg.Error) -> Exception:
    """Return the engine's exception for it."""
    return _translated(error.sqlstate, words(error))


def failure(result: PGresult) -> Exception:
    """Return the engine's exception for a statement that has failed."""

    def part(field: DiagnosticField) -> str | None:
        value = result.error_field(field)
        return None if value is None else value.decode(errors="replace")

    state = part(DiagnosticField.SQLSTATE)
    primary = part(DiagnosticField.MESSAGE_PRIMARY)
    return _translated(state, _words(primary, state, result.get_error_message()))


def _words(primary: str | None, state: str | None, whole: object) -> str:
    if primary is not None:
        return f"{primary} ({state})"
    # libpq's own words, of a connection: they name the host and the user.
    return " ".join(str(whole).split()) or type(whole).__name__


def _translated(state: str | None, told: str) -> Exception:
    if state == EXPELLED:
        return Expelled()
    if state == USED_BEFORE:
        return ValueError("the name of a node was used before")
    return EngineError(told)
