"""A whole ledger is copied into another one that is empty, while no server uses either.

Rows are read in batches, checked as at a start, and written as they come: so the memory that this
takes does not depend on how many there are. Everything is written in one transaction.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

from ..errors import LedgerError
from ..ledger_url import path_of
from ..values import frozen
from .checks import KEY, SESSION
from .postgres import needing_psycopg
from .rows import (
    DAMAGE,
    from_answer,
    from_record,
    to_answer,
    to_key,
    to_record,
    to_session,
)
from .sqlite_file import LedgerFile

# The kinds of rows, in the order in which they are copied.
KINDS = ("rooms", "answers", "sessions", "keys")

# Rows that one query reads.
BATCH = 1000

Contents = Iterable[tuple[str, Iterator[Any]]]
"""The rows of each kind, as `rows` makes them, the same for every ledger."""


class Store(Protocol):
    """A ledger that is read or written whole."""

    def read(self, kind: str) -> Iterator[Any]:
        """Yield the rows of a kind.

        Raises:
            LedgerError: they cannot be read, or are damaged.
        """
        ...

    def fill(self, contents: Contents) -> None:
        """Write all of it in one transaction, or nothing.

        Raises:
            LedgerError: the ledger is not empty, or cannot be written.
        """
        ...


def converted(
    rows: Iterable[tuple[Any, ...]], to_row: Callable[..., Any], *, of: str, where: str
) -> Iterator[Any]:
    """Yield the result of `to_row` for each row of columns, read from `where` in `of`.

    Raises:
        LedgerError: no server can have written one of them. Its name is a user's, so the message
            gives its number instead.
    """
    for number, columns in enumerate(rows, 1):
        try:
            row = to_row(*columns)
        except DAMAGE:
            raise LedgerError(f"{of} is damaged (row {number} of {where})") from None
        yield row


def copy(
    source: Store, target: Store, progress: Callable[[str, int], object] = lambda *_: None
) -> Mapping[str, int]:
    """Copy everything, and return how many rows there were of each kind; this blocks.

    `progress` is called after every `BATCH` rows with their kind, and how many there were so far.

    Raises:
        LedgerError: the target is not empty, or something cannot be read or written.
    """
    counts = dict.fromkeys(KINDS, 0)

    def counted(kind: str) -> Iterator[Any]:
        for row in source.read(kind):
            counts[kind] += 1
            if not counts[kind] % BATCH:
                progress(kind, counts[kind])
            yield row

    target.fill((kind, counted(kind)) for kind in KINDS)
    return counts


@contextlib.contextmanager
def opened(ledger: str, *, is_target: bool) -> Iterator[Store]:
    """Open a ledger by its URL, so that no server can use it meanwhile. A target is created.

    Raises:
        LedgerError: it cannot be opened, or a server uses it; or the source does not exist.
    """
    if path := path_of(ledger):
        if not is_target and not path.exists():
            raise LedgerError(f"there is no ledger {path}")
        with contextlib.closing(LedgerFile(path)) as file:
            yield FileStore(file)
    else:
        with needing_psycopg():
            from .postgres.store import DatabaseStore
        with DatabaseStore.open(ledger, is_target=is_target) as store:
            yield store


@frozen
class _Kind:
    """How SQLite has the rows of one kind. The first column is the key."""

    table: str
    columns: str
    to_row: Callable[..., Any]
    from_row: Callable[[Any], tuple[Any, ...]]

    def select(self, condition: str = "") -> str:
        """Return the statement that reads a batch with this `condition` on the key."""
        key = self.columns.partition(",")[0]
        where = f"WHERE {key} {condition}" if condition else ""
        return (
            f"SELECT {self.columns} FROM {self.table} {where} "  # noqa: S608
            f"ORDER BY {key} LIMIT {BATCH}"
        )

    def insert(self) -> str:
        """Return the statement that writes a row."""
        places = ", ".join("?" * len(self.columns.split(",")))
        return f"INSERT INTO {self.table} ({self.columns}) VALUES ({places})"  # noqa: S608


_KINDS = {
    "rooms": _Kind(
        "standings",
        "room, epoch, floor, touched, notified, logins, terminations, forgotten, places",
        to_record,
        lambda row: from_record(*row),
    ),
    "answers": _Kind("answers", "id, at, answer", to_answer, from_answer),
    "sessions": _Kind("sessions", SESSION, to_session, tuple),
    "keys": _Kind("keys", KEY, to_key, tuple),
}


class FileStore:
    """A ledger in a file of SQLite. Its lock keeps servers away."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def read(self, kind: str) -> Iterator[Any]:
        """See `Store.read`."""
        shape = _KINDS[kind]
        of = f"the ledger {self._file.path}"
        return converted(self._read(shape), shape.to_row, of=of, where=shape.table)

    def _read(self, shape: _Kind) -> Iterator[tuple[Any, ...]]:
        batch = self._file.query(shape.select())
        while batch:
            yield from batch
            batch = self._file.query(shape.select("> ?"), (batch[-1][0],))

    def fill(self, contents: Contents) -> None:
        """See `Store.fill`."""
        tables = [kind.table for kind in _KINDS.values()]
        if any(self._file.query(f"SELECT 1 FROM {table} LIMIT 1") for table in tables):  # noqa: S608
            raise LedgerError(f"the ledger {self._file.path} is not empty: name another file")
        self._file.fill(
            (_KINDS[kind].insert(), map(_KINDS[kind].from_row, rows)) for kind, rows in contents
        )
