"""The SQLite file of a ledger: its layout, and every call that blocks.

Write-ahead log and ``synchronous=FULL`` (https://www.sqlite.org/pragma.html): a commit returns
after the log is on the disk. There are two connections: one writes, the other reads. Each has a
lock, which is held during every use, and during the close.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..core.logins import Record
from ..core.notify import REMEMBERED_SECONDS, Answer
from ..errors import LedgerError
from . import files
from .checks import KEY, SESSION, check_key, check_session
from .rows import DAMAGE, forget_texts, from_answer, from_record, to_answer, to_record

T = TypeVar("T")

# Marks the file as a ledger ("sseT"), so that no other database is used as one.
APPLICATION_ID = int.from_bytes(b"sseT", "big")

# Seconds that another program may hold the file's own lock, to copy it for example.
PATIENCE = 1.0

# Seconds between two attempts to interrupt a running read.
_INTERRUPT = 0.05

# Bytes that the log may keep when it is empty again. It grows to as much as that in ordinary use:
# SQLite empties it after 1,000 pages.
LOG_LIMIT = 8 * 2**20

# Each updates a file from the version of its index to the next. A released one is never changed,
# because users have files of that version.
MIGRATIONS = (
    """
    CREATE TABLE standings (
        room TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        floor INTEGER NOT NULL,
        touched REAL NOT NULL,      -- Unix seconds
        notified REAL NOT NULL,
        logins TEXT NOT NULL,       -- JSON: {session: [epoch, since, seen, named, ended]}
        terminations TEXT NOT NULL  -- JSON: [[epoch, reason, detail]]
    ) WITHOUT ROWID;
    CREATE TABLE answers (
        id TEXT PRIMARY KEY,
        at REAL NOT NULL,           -- Unix seconds
        answer TEXT NOT NULL        -- JSON
    ) WITHOUT ROWID;
    CREATE INDEX answers_by_time ON answers (at);
    """,
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        room TEXT NOT NULL,
        kind TEXT NOT NULL,
        app_type TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        created REAL NOT NULL,      -- Unix seconds
        seen REAL NOT NULL,
        user_agent TEXT NOT NULL,
        address TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user);
    CREATE INDEX sessions_by_room ON sessions (room);
    CREATE TABLE keys (
        kid TEXT PRIMARY KEY,
        secret BLOB NOT NULL,
        created REAL NOT NULL
    ) WITHOUT ROWID;
    """,
    # No release has written any session before this.
    """
    ALTER TABLE sessions ADD COLUMN provider TEXT NOT NULL DEFAULT '';
    ALTER TABLE sessions ADD COLUMN kid TEXT NOT NULL DEFAULT '';
    DROP INDEX sessions_by_user;
    CREATE INDEX sessions_by_user ON sessions (provider, user);
    CREATE INDEX sessions_by_contact ON sessions (provider, kind, seen);
    CREATE INDEX sessions_by_age ON sessions (provider, kind, created);
    CREATE INDEX sessions_by_key ON sessions (kid);
    """,
    # An older server has not recorded which sessions it has forgotten.
    "ALTER TABLE standings ADD COLUMN forgotten INTEGER NOT NULL DEFAULT -1",
    # From here on a login's JSON has a sixth part, `about`, and an answer's a member `ended`.
    "ALTER TABLE standings ADD COLUMN places INTEGER",  # NULL: as many as configured
    # From here on a login's JSON has a seventh part, `until`, and none at its end that is null.
    "",
)

_REMEDY = "restore a copy, or move it away with its -wal and -shm and begin with none"

# Oldest first, and then by room or id, so that a row always has the same number.
_STANDINGS = (
    "SELECT room, epoch, floor, touched, notified, logins, terminations, forgotten, places "
    "FROM standings ORDER BY touched, room"
)
_ANSWERS = "SELECT id, at, answer FROM answers ORDER BY at, id"

# Tables that other modules keep in the file, and read when they need them.
_SESSIONS = f"SELECT {SESSION} FROM sessions ORDER BY id"  # noqa: S608
_KEYS = f"SELECT {KEY} FROM keys ORDER BY kid"  # noqa: S608

# The errors of SQLite. Their messages may quote damaged text, which cannot be decoded.
FAULTS = (sqlite3.Error, UnicodeDecodeError)

# Raised for a row that no server can have written.
_DAMAGE = (sqlite3.Error, *DAMAGE)

_PUT_STANDING = "INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_DROP_STANDING = "DELETE FROM standings WHERE room = ?"
_PUT_ANSWER = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)"
_DROP_ANSWERS = "DELETE FROM answers WHERE at < ?"

Change = tuple[str, tuple[Any, ...]]
"""A statement of SQL that changes something, and its parameters."""


class LedgerFile:
    """The open file, for calls from any thread. `is_new` is whether there was none.

    Raises:
        LedgerError: the file is not a ledger, is of a newer version, is in use by another process,
            belongs to another user, or cannot be written; the message says what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = files.resolve(path)
        self._rooms: list[tuple[str, Record]] = []
        self._mutex = threading.Lock()
        self._reading = threading.Lock()
        with contextlib.ExitStack() as stack:
            try:
                files.check_trusted(self.path)
                files.warn_of_folder(self.path)
                stack.enter_context(files.locked(self.path))
                self.is_new = not self.path.exists() or not self.path.stat().st_size
                if self.is_new:
                    self._create()
                self._db = stack.enter_context(contextlib.closing(_connect(self.path)))
                self._check_owner()
                files.make_private(self.path)
                self._prepare()
                self._inodes = self._present_inodes()
                self._reader = stack.enter_context(contextlib.closing(_connect(self.path)))
                self._reader.execute("PRAGMA query_only = TRUE")
            except (OSError, sqlite3.OperationalError) as error:
                raise LedgerError(f"cannot open the ledger {self.path}: {words(error)}") from None
            except FAULTS as error:
                raise LedgerError(
                    f"cannot open the ledger {self.path}: {words(error)}; name another file, "
                    f"or {_REMEDY}"
                ) from None
            self._stack = stack.pop_all()

    def _create(self) -> None:
        log = files.companion(self.path, files.LOG)
        if log.exists() and log.stat().st_size:
            raise LedgerError(
                f"the ledger {self.path} is gone, and its log {log} is there: put the ledger back, "
                "or move the log away and begin with none"
            )
        files.create(self.path)

    def _check_owner(self) -> None:
        [application] = self._db.execute("PRAGMA application_id").fetchone()
        [objects] = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != APPLICATION_ID and (application or objects):
            raise LedgerError(f"{self.path} is a database, but not a ledger: name another file")

    def _prepare(self) -> None:
        """Update the file to the present version, and check that it can be written."""
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"the ledger {self.path} is of version {version}, and this sse_trio knows only "
                f"{len(MIGRATIONS)}: use a newer sse_trio, or another file"
            )
        [mode] = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise LedgerError(
                f"the ledger {self.path} must be on a file system with shared memory (WAL): "
                "a local one"
            )
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA journal_size_limit = {LOG_LIMIT}")
        # Something is written in any case: if it cannot be, that shows now, not at a login.
        pragmas = f"application_id = {APPLICATION_ID}", f"user_version = {len(MIGRATIONS)}"
        steps = [*MIGRATIONS[version:], *(f"PRAGMA {pragma}" for pragma in pragmas)]
        self._db.executescript(f"BEGIN IMMEDIATE; {'; '.join(steps)}; COMMIT")

    @property
    def remembered(self) -> int:
        """How many rooms have been loaded so far."""
        return len(self._rooms)

    def load(self) -> tuple[list[tuple[str, Record]], list[Answer]]:
        """Read and check everything; return the rooms and the answers, the oldest first.

        Raises:
            LedgerError: it is damaged, or the file is being closed.
        """
        self._rooms = []
        answers: list[Answer] = []
        with self._reading:
            try:
                # This also checks the pages that nothing below reads.
                if self._reader.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                    raise sqlite3.DatabaseError
                self._read("sessions", _SESSIONS, check_session, [])
                self._read("keys", _KEYS, check_key, [])
                self._read("standings", _STANDINGS, to_record, self._rooms)
                self._read("answers", _ANSWERS, to_answer, answers)
            except _DAMAGE as error:
                raise self._unreadable(error, type(error).__name__) from None
            else:
                return self._rooms, answers
            finally:
                self._rooms = []
                forget_texts()

    def _read(self, table: str, sql: str, convert: Callable[..., T], found: list[T]) -> None:
        rows = self._reader.execute(sql)
        try:
            found.extend(convert(*row) for row in rows)
        except _DAMAGE as error:
            # The row's name is a user's, so the message gives its number instead.
            raise self._unreadable(error, f"row {len(found) + 1} of {table}") from None

    def _unreadable(self, error: Exception, what: str) -> LedgerError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
            # The disk failed, or the file is being closed; the file itself may be undamaged.
            return LedgerError(f"cannot read the ledger {self.path}: {words(error)}")
        return self._damaged(what)

    def _damaged(self, what: str) -> LedgerError:
        # The errors' own texts may quote what is stored.
        return LedgerError(f"the ledger {self.path} is damaged ({what}): {_REMEDY}")

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Read what has been committed; a commit in progress keeps nobody waiting.

        Raises:
            LedgerError: it cannot be read.
        """
        try:
            with self._reading:
                return self._reader.execute(sql, parameters).fetchall()
        except FAULTS as error:
            raise LedgerError(f"cannot read the ledger {self.path}: {words(error)}") from None

    def commit(
        self,
        records: Mapping[str, Record | None],
        answers: Collection[Answer],
        changes: Collection[Change] = (),
    ) -> None:
        """Write all of it in one transaction, or nothing.

        Raises:
            sqlite3.Error, UnicodeDecodeError, OSError: it was not written.
        """
        with self._mutex:
            if self._present_inodes() != self._inodes:
                raise OSError("it has been replaced; put it back, or restart the server")
            self._commit(records, answers, changes)

    def _commit(
        self,
        records: Mapping[str, Record | None],
        answers: Collection[Answer],
        changes: Collection[Change],
    ) -> None:
        with self._transaction():
            for room, record in records.items():
                if record is None:
                    self._db.execute(_DROP_STANDING, (room,))
                else:
                    self._db.execute(_PUT_STANDING, from_record(room, record))
            self._db.executemany(_PUT_ANSWER, map(from_answer, answers))
            if answers:
                newest = max(answer.at for answer in answers)
                self._db.execute(_DROP_ANSWERS, (newest - REMEMBERED_SECONDS,))
            for sql, parameters in changes:
                self._db.execute(sql, parameters)

    def fill(self, contents: Iterable[tuple[str, Iterable[tuple[Any, ...]]]]) -> None:
        """Write many rows in one transaction, or nothing: each statement with all of its rows.

        Raises:
            LedgerError: it was not written.
        """
        try:
            with self._mutex, self._transaction():
                for sql, rows in contents:
                    self._db.executemany(sql, rows)
        except (*FAULTS, OSError) as error:
            raise LedgerError(f"cannot write the ledger {self.path}: {words(error)}") from None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(*FAULTS):  # a full disk has rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file, once nothing is being written, and let others have it.

        A read that is running is interrupted.
        """
        while not self._reading.acquire(timeout=_INTERRUPT):
            self._reader.interrupt()
        try:
            with self._mutex:
                self._stack.close()
        finally:
            self._reading.release()

    def _present_inodes(self) -> list[tuple[int, int]]:
        found = [files.companion(self.path, s).stat() for s in ("", files.LOG, files.LOCK)]
        return [(each.st_dev, each.st_ino) for each in found]


def words(error: Exception) -> str:
    """Say in the system's words, or SQLite's, what is wrong; they do not quote what is stored."""
    if isinstance(error, UnicodeDecodeError):
        return "the file is damaged"
    return getattr(error, "strerror", None) or str(error)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
