"""Reads or fills a whole ledger in PostgreSQL, while no node is registered.

A lock on the table of nodes keeps them from registering, and from renewing, until this is over.
"""

import contextlib
import secrets
from collections.abc import Callable, Iterator
from typing import Any, LiteralString

from ...errors import LedgerError
from ...values import frozen
from ..copying import BATCH, Contents, converted
from ..rows import (
    from_answer,
    record_from_text,
    record_to_text,
    to_answer,
    to_key,
    to_session,
)
from .connection import Connection
from .direct import connected
from .schema import prepare, present_version

# Seconds: the longest possible lease. A node that has written or registered within that time may
# still run.
LONGEST_LEASE = 60.0

# Held to the end: a node that registers or renews changes this table, a node that writes locks a
# row of it, and so does another copy.
_LOCK = "LOCK TABLE sse_trio.nodes IN EXCLUSIVE MODE"

# The node that was active last, and how long ago. If it is not known whether a node was registered,
# it has never written: it continues under another name.
_NEWEST_NODE = """
    SELECT n.node, n.address, sse_trio.wall() - greatest(
        n.registered, (SELECT max(l.at) FROM sse_trio.log l WHERE l.writer = n.node)
    ) AS age
    FROM sse_trio.nodes n ORDER BY age LIMIT 1
"""

# Between two batches it may wait as long as the other ledger takes.
_PATIENCE = "SET LOCAL idle_in_transaction_session_timeout = 0"

_IS_EMPTY = """
    SELECT NOT EXISTS (SELECT FROM sse_trio.rooms) AND NOT EXISTS (SELECT FROM sse_trio.answers)
        AND NOT EXISTS (SELECT FROM sse_trio.sessions) AND NOT EXISTS (SELECT FROM sse_trio.keys)
"""


@frozen
class _Kind:
    """How the database has the rows of one kind."""

    select: LiteralString
    to_row: Callable[..., Any]
    copy: LiteralString
    from_row: Callable[["_Origin", Any], tuple[Any, ...]]


@frozen
class _Origin:
    """The batch number in copied rows."""

    writer: str
    """A name that no node has: a copied room has another version than before."""
    count: int
    seq: int = 0
    """Every node counts as having applied it."""


def _from_room(origin: _Origin, row: Any) -> tuple[Any, ...]:
    room, record = row
    return (
        *(room, origin.count, origin.writer, origin.seq),
        *(record.touched, record_to_text(record)),
    )


def _from_answer(origin: _Origin, row: Any) -> tuple[Any, ...]:
    return (*from_answer(row), origin.writer, origin.seq)


_SESSION: LiteralString = (
    'id, "user", name, provider, room, kind, app_type, epoch, created, seen, kid, user_agent, '
    "address"
)

_KINDS = {
    "rooms": _Kind(
        "SELECT room, record FROM sse_trio.rooms",
        lambda room, text: (room, record_from_text(text)),
        "COPY sse_trio.rooms (room, count, writer, seq, touched, record) FROM STDIN",
        _from_room,
    ),
    "answers": _Kind(
        "SELECT id, at, answer FROM sse_trio.answers",
        to_answer,
        "COPY sse_trio.answers (id, at, answer, writer, seq) FROM STDIN",
        _from_answer,
    ),
    "sessions": _Kind(
        "SELECT " + _SESSION + " FROM sse_trio.sessions",  # noqa: S608
        to_session,
        "COPY sse_trio.sessions (" + _SESSION + ") FROM STDIN",
        lambda _, row: row,
    ),
    "keys": _Kind(
        "SELECT kid, secret, created FROM sse_trio.keys",
        to_key,
        "COPY sse_trio.keys (kid, secret, created) FROM STDIN",
        lambda _, row: row,
    ),
}


class DatabaseStore:
    """A ledger in a database; made by :meth:`open`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def open(cls, url: str, *, is_target: bool) -> Iterator["DatabaseStore"]:
        """Begin a transaction; commit it at the end, or roll it back if the block fails.

        Raises:
            LedgerError: it cannot be used, or nodes are registered; or it is to be read, and no
                node has ever used it.
        """
        with connected(url, is_long=True) as connection:
            if not is_target and not present_version(connection):
                raise LedgerError("the database is not a ledger: no node has used it yet")
            prepare(connection)
            with connection.transaction():
                # The snapshot is taken when no node writes any more.
                connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                connection.execute(_PATIENCE)
                connection.execute(_LOCK)
                _refuse_nodes(connection)
                yield cls(connection)

    def read(self, kind: str) -> Iterator[Any]:
        """See `Store.read`."""
        shape = _KINDS[kind]
        with self._connection.cursor(f"copy_{kind}") as cursor:
            cursor.itersize = BATCH
            rows = cursor.execute(shape.select)
            yield from converted(rows, shape.to_row, of="the database", where=kind)

    def fill(self, contents: Contents) -> None:
        """See `Store.fill`. Nodes that did not deregister can write nothing any more."""
        if self._connection.execute(_IS_EMPTY).fetchone() != (True,):
            raise LedgerError("the database is not empty: name another one")
        self._connection.execute("DELETE FROM sse_trio.nodes")
        [[now]] = self._connection.execute("SELECT sse_trio.wall()").fetchall()
        origin = _Origin(secrets.token_hex(8), int(now * 1e6))
        for kind, rows in contents:
            shape = _KINDS[kind]
            with self._connection.cursor() as cursor, cursor.copy(shape.copy) as copy:
                for row in rows:
                    copy.write_row(shape.from_row(origin, row))


def _refuse_nodes(connection: Connection) -> None:
    newest = connection.execute(_NEWEST_NODE).fetchone()
    if newest is None:
        return
    node, address, age = newest
    if age < LONGEST_LEASE:
        raise LedgerError(
            f"the database is in use by the node {node} at {address}, which wrote or registered "
            f"{age:.0f} s ago: stop it. If it was killed, wait {LONGEST_LEASE:.0f} s"
        )
