"""The database for a command that is not a node: one connection."""

import contextlib
from collections.abc import Iterator

import psycopg

from ...errors import LedgerError
from ..cluster.engine import EngineError
from .connection import Connection, connect, words
from .schema import check
from .settings import Settings

# Seconds that a busy database may accept no data during a large transfer.
_UNSENT = 60.0


@contextlib.contextmanager
def connected(url: str, *, is_long: bool = False) -> Iterator[Connection]:
    """Connect to a database, which need not have a schema; a failure raises a `LedgerError`.

    With `is_long` there is no time limit.

    Raises:
        LedgerError: it cannot be reached, is a standby, or no database for a ledger; or what the
            block has asked of it has failed.
    """
    settings = Settings(url, unsent=_UNSENT) if is_long else Settings(url)
    try:
        with contextlib.closing(connect(settings.parameters(commits=is_long))) as connection:
            check(connection)
            yield connection
    except psycopg.Error as error:
        raise LedgerError(f"the ledger's database: {words(error)}") from None
    except EngineError as error:
        raise LedgerError(f"the ledger: {error}") from None
