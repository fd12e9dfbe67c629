"""The SQLite file of a ledger: whose it is, how it is laid out, and what blocks.

Write-ahead log and ``synchronous=FULL`` (https://www.sqlite.org/pragma.html): a commit
returns after the log is on the disk. A file lock beside it keeps other servers out.
"""

import contextlib
import fcntl
import json
import os
import re
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from .. import strict_json
from ..core.notify import LAST_JOINED, REMEMBERED_SECONDS, Answer
from ..core.standing import Login, Record, Termination
from ..errors import LedgerError

# Says whose file this is ("sseT"), so that nobody's data is taken for a ledger, or made one.
APPLICATION_ID = int.from_bytes(b"sseT", "big")

# Seconds that another program may hold the file's own lock, to copy it for example.
PATIENCE = 1.0

# Each brings a file from the version of its index to the next. What has been released is
# never changed: it is somebody's file.
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
)

_REMEDY = "restore a copy, or move it away with its -wal and -shm and begin with none"

# What SQLite keeps beside a file in this mode.
_LOG, _INDEX = "-wal", "-shm"

# What this module keeps beside it.
_LOCK = ".lock"

_PUT_STANDING = "INSERT OR REPLACE INTO standings VALUES (?, ?, ?, ?, ?, ?, ?)"
_DROP_STANDING = "DELETE FROM standings WHERE room = ?"
_PUT_ANSWER = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)"
_DROP_ANSWERS = "DELETE FROM answers WHERE at < ?"

Change = tuple[str, tuple[Any, ...]]
"""A statement of SQL that changes something, and its parameters."""


class LedgerFile:
    """The open file, for calls from any thread. `is_new` is whether there was none.

    Raises:
        LedgerError: it is no ledger, a newer one, in use by another process, or cannot be
            written; the message says what to do.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._mutex = threading.Lock()
        self._reading = threading.Lock()
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(_locked(self.path))
                self.is_new = not self.path.exists() or not self.path.stat().st_size
                if self.is_new:
                    self._create()
                self._db = stack.enter_context(contextlib.closing(_connect(self.path)))
                self._check_owner()
                self._hide()
                self._prepare()
                self._inodes = self._present_inodes()
                self._reader = stack.enter_context(contextlib.closing(_connect(self.path)))
                self._reader.execute("PRAGMA query_only = TRUE")
            except (OSError, sqlite3.OperationalError) as error:
                raise LedgerError(f"cannot open the ledger {self.path}: {words(error)}") from None
            except sqlite3.DatabaseError as error:
                raise LedgerError(
                    f"cannot open the ledger {self.path}: {words(error)}; name another file, "
                    f"or {_REMEDY}"
                ) from None
            self._stack = stack.pop_all()

    def _create(self) -> None:
        log = _beside(self.path, _LOG)
        if log.exists() and log.stat().st_size:
            raise LedgerError(
                f"the ledger {self.path} is gone, and its log {log} is there: put the ledger back, "
                "or move the log away and begin with none"
            )
        self.path.touch(0o600)

    def _hide(self) -> None:
        """With sessions in it, it is nobody else's to read: neither is a copy that was put back."""
        for suffix in ("", _LOG, _INDEX, _LOCK):
            with contextlib.suppress(FileNotFoundError, PermissionError):
                _beside(self.path, suffix).chmod(0o600)

    def _check_owner(self) -> None:
        [application] = self._db.execute("PRAGMA application_id").fetchone()
        [objects] = self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        if application != APPLICATION_ID and (application or objects):
            raise LedgerError(f"{self.path} is a database, but no ledger: name another file")

    def _prepare(self) -> None:
        """Bring the file to the present version, and see that it can be written."""
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
        # Something is written in any case: if it cannot be, that shows now, not at a login.
        pragmas = f"application_id = {APPLICATION_ID}", f"user_version = {len(MIGRATIONS)}"
        steps = [*MIGRATIONS[version:], *(f"PRAGMA {pragma}" for pragma in pragmas)]
        self._db.executescript(f"BEGIN IMMEDIATE; {'; '.join(steps)}; COMMIT")

    def load(self) -> tuple[list[tuple[str, Record]], list[Answer]]:
        """Read everything, the oldest first."""
        try:
            # Also of pages that nothing below reads.
            [found] = self._db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise sqlite3.DatabaseError
            standings = self._db.execute(
                "SELECT room, epoch, floor, touched, notified, logins, terminations "
                "FROM standings ORDER BY touched"
            )
            answers = self._db.execute("SELECT id, at, answer FROM answers ORDER BY at")
            return [_to_record(*row) for row in standings], [_to_answer(*row) for row in answers]
        except (sqlite3.Error, ValueError, TypeError, AttributeError, RecursionError) as error:
            # Their words may quote what is stored.
            raise LedgerError(
                f"the ledger {self.path} is damaged ({type(error).__name__}): {_REMEDY}"
            ) from None

    def query(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Read what has been committed; a commit in progress keeps nobody waiting.

        Raises:
            LedgerError: it cannot be read.
        """
        try:
            with self._reading:
                return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise LedgerError(f"cannot read the ledger {self.path}: {words(error)}") from None

    def commit(
        self,
        records: Mapping[str, Record | None],
        answers: Collection[Answer],
        changes: Collection[Change] = (),
    ) -> None:
        """Write all of it in one transaction, or nothing.

        Raises:
            sqlite3.Error, OSError: it was not written.
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
        self._db.execute("BEGIN IMMEDIATE")
        try:
            for room, record in records.items():
                if record is None:
                    self._db.execute(_DROP_STANDING, (room,))
                else:
                    self._db.execute(_PUT_STANDING, _from_record(room, record))
            self._db.executemany(_PUT_ANSWER, map(_from_answer, answers))
            if answers:
                newest = max(answer.at for answer in answers)
                self._db.execute(_DROP_ANSWERS, (newest - REMEMBERED_SECONDS,))
            for sql, parameters in changes:
                self._db.execute(sql, parameters)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):  # a full disk has rolled back by itself
                self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file, once nothing is being written, and let others have it."""
        with self._mutex, self._reading:
            self._stack.close()

    def _present_inodes(self) -> list[tuple[int, int]]:
        found = [_beside(self.path, suffix).stat() for suffix in ("", _LOG, _LOCK)]
        return [(each.st_dev, each.st_ino) for each in found]


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep other servers from using the ledger; the system unlocks it however this one ends.

    SQLite's own locks are not for that: it drops them after each transaction, so that
    a copy of the file can be made at any time.
    """
    lock = _beside(path, _LOCK)
    lock.touch(0o600)
    with lock.open("r+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"the ledger {path} is in use by process {file.read().strip() or 'unknown'}: "
                "stop that one, or name another file"
            ) from None
        if not re.fullmatch(r"\d*\n?", file.read()):
            raise LedgerError(f"{lock} is in the way, and no ledger's lock: name another file")
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def words(error: Exception) -> str:
    """Say in the system's words, or SQLite's, what is wrong; they do not quote what is stored."""
    return getattr(error, "strerror", None) or str(error)


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=PATIENCE, isolation_level=None, check_same_thread=False)


def _from_record(room: str, record: Record) -> tuple[Any, ...]:
    logins = {session: attrs.astuple(login) for session, login in record.logins.items()}
    terminations = [attrs.astuple(t, recurse=False) for t in record.terminations]
    return (
        room,
        record.epoch,
        record.floor,
        record.touched,
        record.notified,
        strict_json.dumps(logins),
        strict_json.dumps(terminations),
    )


def _to_record(
    room: str, epoch: int, floor: int, touched: float, notified: float, logins: str, ends: str
) -> tuple[str, Record]:
    return room, Record(
        epoch,
        floor,
        {session: Login(*login) for session, login in json.loads(logins).items()},
        tuple(Termination(*termination) for termination in json.loads(ends)),
        touched,
        notified,
    )


def _from_answer(answer: Answer) -> tuple[Any, ...]:
    members = attrs.asdict(answer)
    if answer.asked is LAST_JOINED:
        del members["asked"]
    return members.pop("id"), members.pop("at"), strict_json.dumps(members)


def _to_answer(id: str, at: float, answer: str) -> Answer:
    return Answer(id=id, at=at, **{"asked": LAST_JOINED, **json.loads(answer)})
