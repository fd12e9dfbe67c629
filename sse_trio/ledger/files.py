"""The ledger's files: checks that they are the server's own, and that only one server uses them.

Another user may have replaced one of these files. So each file is checked before it is opened, and
none is opened through a symbolic link. The folder's owner and group are trusted. If every user can
replace a file after the check, there is a warning.
"""

import contextlib
import errno
import fcntl
import logging
import os
import re
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from ..errors import LedgerError

logger = logging.getLogger("sse_trio")

# The files that SQLite keeps beside a file; the last one only before it is in this mode.
LOG, _INDEX, _JOURNAL = "-wal", "-shm", "-journal"

# The file that this module keeps beside it.
LOCK = ".lock"

_ALL = ("", LOG, _INDEX, _JOURNAL, LOCK)

_PRIVATE = 0o600

# Linux's table of what is mounted where (proc(5)), with octal escapes for what would break a line.
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


def companion(path: Path, suffix: str) -> Path:
    """Return the path of a file beside the ledger's own: its lock, or one of SQLite's."""
    return path.with_name(path.name + suffix)


def resolve(path: Path, *, user: int | None = None) -> Path:
    """Return the file to which `path` leads.

    `user` is the user id that this process runs as, unless a test passes another one.

    Raises:
        LedgerError: it is a symbolic link that another user has made.
    """
    user = os.geteuid() if user is None else user
    with contextlib.suppress(OSError):
        link = path.lstat()
        if stat.S_ISLNK(link.st_mode) and link.st_uid not in (user, 0):
            raise LedgerError(
                f"cannot open the ledger {path}: it is a symbolic link that "
                f"{_whose(link.st_uid, user)}: name the file itself"
            )
    return Path(os.path.realpath(path))


def check_trusted(
    path: Path, *, user: int | None = None, mount_points: Collection[Path] | None = None
) -> None:
    """Check that a ledger's existing files can be trusted.

    Raises:
        LedgerError: one cannot; the message says which, why, and what to do.
        OSError: a file cannot be checked.
    """
    user = os.geteuid() if user is None else user
    mount_points = _mount_points() if mount_points is None else mount_points
    for suffix in _ALL:
        file = companion(path, suffix)
        try:
            found = file.lstat()
        except FileNotFoundError:
            continue
        if objection := _objection(found, user, is_mounted=file in mount_points):
            which = file if suffix else "it"
            raise LedgerError(f"cannot open the ledger {path}: {which} {objection}")


def warn_of_folder(path: Path) -> None:
    """Warn if every user may replace a ledger's files.

    That is only a warning, because volumes of containers are often like this, and the container has
    no other users.
    """
    mode = path.parent.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        logger.warning(
            "every user may replace the ledger's files in %s: remove that right (chmod o-w), "
            "or name a file in a folder of its own",
            path.parent,
        )


def _objection(found: os.stat_result, user: int, *, is_mounted: bool) -> str | None:
    """Say what is wrong with a file, and what to do about it."""
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link, where only a file is allowed: remove it"
    if not stat.S_ISREG(found.st_mode):
        return "is not a file: name another one"
    if is_mounted:
        return (
            "is mounted as a single file, so the files beside it would be lost with the "
            "container: mount its folder instead"
        )
    if found.st_uid != user:
        return f"{_whose(found.st_uid, user)}: chown it, or name another file"
    if found.st_mode & stat.S_IWOTH:
        return "can be written by every user: if you trust its contents, chmod 600 it"
    return None


def _whose(owner: int, user: int) -> str:
    return f"belongs to user {owner}, and this process runs as user {user}"


def _mount_points() -> Collection[Path]:
    try:
        return read_mount_points(_MOUNTS.read_bytes())
    except OSError:  # another system than Linux
        return ()


def read_mount_points(table: bytes) -> set[Path]:
    """Return the mount points in Linux's table of mounts."""
    fields = (line.split(b" ") for line in table.splitlines())
    return {
        Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), points[4])))
        for points in fields
        if len(points) > 4
    }


def create(path: Path) -> None:
    """Create the ledger's own file, empty and private, if there is none."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE))


def make_private(path: Path) -> None:
    """Make a ledger's files unreadable for others: restored copies may be readable.

    Raises:
        LedgerError: a file has been replaced since it was checked.
    """
    # SQLite has opened the files by now, so they must be the ones that are in place.
    check_trusted(path)
    for suffix in _ALL:
        file = companion(path, suffix)
        # A file system without permissions (vfat) has none to take away.
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if stat.S_IMODE(file.lstat().st_mode) != _PRIVATE:
                _chmod_private(file)


def _chmod_private(file: Path) -> None:
    if os.chmod in os.supports_follow_symlinks:
        file.chmod(_PRIVATE, follow_symlinks=False)
        return
    # Linux can do this only by a descriptor. Closing an ordinary one would release the locks that
    # SQLite has on the file (fcntl(2), "Record locks are automatically released").
    number = os.open(file, os.O_PATH | os.O_NOFOLLOW)
    try:
        Path(f"/proc/self/fd/{number}").chmod(_PRIVATE)
    finally:
        os.close(number)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other servers from using the ledger; the system unlocks it at any end of this one.

    SQLite's own locks cannot do that: SQLite releases them after each transaction, so that a copy
    of the file can be made at any time.

    Raises:
        LedgerError: another process has it, or the lock's file cannot be used.
    """
    lock = companion(path, LOCK)
    with os.fdopen(_open_lock(path, lock), "r+", errors="replace") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LedgerError(
                f"the ledger {path} is in use by process {file.read().strip() or 'unknown'}: "
                "stop that one, or name another file"
            ) from None
        if not re.fullmatch(r"\d*\n?", file.read()):
            raise LedgerError(f"{lock} exists and is not a lock file: name another ledger")
        file.seek(0)
        file.truncate()
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _open_lock(path: Path, lock: Path) -> int:
    try:
        return os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, _PRIVATE)
    except OSError as error:
        reason = os.strerror(error.errno or errno.EIO)
        what = lock if os.path.lexists(lock) else f"its folder {path.parent}"
        raise LedgerError(f"cannot open the ledger {path}: {what}: {reason}") from None
