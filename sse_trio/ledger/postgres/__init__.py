"""The engine of a cluster in PostgreSQL: what several nodes share.

Everything is in the schema `sse_trio` of a database, and every call is one call of a function
there. It needs PostgreSQL 14 or newer, and psycopg 3: the extra `postgres`, which is imported
only when such an engine is opened.
"""

import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from ...errors import LedgerError

if TYPE_CHECKING:
    from .engine import PostgresEngine

__all__ = ["needing_psycopg", "open_engine"]


@contextlib.contextmanager
def needing_psycopg() -> Iterator[None]:
    """Around an import that needs psycopg.

    Raises:
        LedgerError: it is not installed; the message says what to do.
    """
    try:
        yield
    except ImportError as error:
        raise LedgerError(
            f'a ledger in PostgreSQL needs psycopg: pip install "sse-trio[postgres]" ({error})'
        ) from None


@contextlib.asynccontextmanager
async def open_engine(
    url: str, *, lease: float = math.inf, feed_url: str | None = None
) -> AsyncIterator["PostgresEngine"]:
    """Open the database, and update it to the present version.

    The timeouts follow the `lease`, in seconds, if that is short. `feed_url` leads to the same
    database without a pooler, which does not pass notifications on.

    Raises:
        LedgerError: psycopg is not installed, or the database cannot be reached, is too old, is of
            a newer version, or may not be written; the message says what to do.
    """
    with needing_psycopg():
        from .engine import PostgresEngine
        from .settings import Settings
    settings = Settings.within(lease, url)
    async with PostgresEngine.open(settings, feed_url=feed_url) as engine:
        yield engine
