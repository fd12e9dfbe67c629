"""The database for a command that is no node: one connection, which asks and goes."""

import contextlib
from collections.abc import Iterator

import psycopg

from ...errors import LedgerError
from ..cluster.engine import EngineError
from .line import Connection, connect, words
from .schema import check
from .settings import Settings


@contextlib.contextmanager
def connected(url: str) -> Iterator[Connection]:
    """Connect to a database, which need not have a schema; what fails there is a `LedgerError`.

    Raises:
        LedgerError: it cannot be reached, is a standby, or no database for a ledger; or what the
            block has asked of it has failed.
    """
    try:
        with contextlib.closing(connect(Settings(url).parameters())) as connection:
            check(connection)
            yield connection
    except psycopg.Error as error:
        raise LedgerError(f"the ledger's database: {words(error)}") from None
    except EngineError as error:
        raise LedgerError(f"the ledger: {error}") from None
