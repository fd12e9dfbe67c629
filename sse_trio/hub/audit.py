"""The audit log: one JSON object a line for each session that begins, ends or is refused.

It is the only place that writes rooms and `about`. A session is written as its fingerprint, because
in open mode anyone who knows a session can join as it. The hash needs no key: sessions are random,
and an attacker cannot try them all. So an operator who has the id of a session finds its lines. 64
bits distinguish a billion sessions.

A decision is written in the step that makes it, and so before its answer. If it cannot be written,
that is counted and reported, and the answer does not change.

The last records are kept in memory for operators, even if nothing is written. Most are never looked
at, so a record is made only when it is written or looked at.
"""

import errno
import heapq
import json
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from itertools import count, islice
from operator import itemgetter
from typing import Any, Final, Protocol

import attrs

from ..core.notify import LAST_JOINED, Notify, Release
from ..core.questions import MAX_DECISIONS
from ..roster import fingerprint
from ..values import frozen
from .member import Outcome

logger = logging.getLogger("sse_trio.audit")

MAX_WRONG_KEYS: Final = 10
"""Records of wrong keys that are kept in memory."""

IN_PROCESS: Final = "in-process"
"""The caller, if it is the program that the hub is part of."""


class Sink(Protocol):
    """Where the lines go; neither call waits."""

    def write(self, lines: bytes) -> None:
        """Append whole lines.

        Raises:
            OSError: not all of them could be written.
        """
        ...

    def reopen(self) -> None:
        """Use the file that has the name now.

        Raises:
            OSError: it cannot be opened; the old one is kept.
        """
        ...


class AuditFile:
    """A file that is only appended to: other programs may read, rename or truncate it meanwhile.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._open()
        self._is_torn = False

    def write(self, lines: bytes) -> None:
        """Append whole lines, in one call: to the kernel's memory, which takes microseconds."""
        data = b"\n" + lines if self._is_torn else lines
        written = os.write(self._file, data)
        if written:
            self._is_torn = not data[:written].endswith(b"\n")
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def reopen(self) -> None:
        """Use the file that has the name now."""
        old, self._file = self._file, self._open()
        self._is_torn = False
        os.close(old)

    def close(self) -> None:
        """Close it."""
        os.close(self._file)

    def _open(self) -> int:
        # Without waiting: a pipe that nobody reads is an error.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)


class _Log:
    """The logger ``sse_trio.audit``: its lines wait, and can be lost, like those of any logger."""

    def write(self, lines: bytes) -> None:
        for line in lines.splitlines():
            logger.info("%s", line.decode())

    def reopen(self) -> None:
        pass


@contextmanager
def open_sink(where: str | None) -> Iterator[Sink | None]:
    """Open the sink that `Config.audit` names; yield None if it names none.

    Raises:
        OSError: it cannot be opened.
    """
    if where is None:
        yield None
    elif where == "log":
        yield _Log()
    else:
        try:
            file = AuditFile(where)
        except OSError as error:
            why = f"cannot write the audit log {where}: {error.strerror}"
            raise OSError(error.errno, why) from None
        try:
            yield file
        finally:
            file.close()


@frozen
class LoginByTicket:
    """A login that a room knows by a ticket, and not by a notify; and what it has ended."""

    room: str = attrs.field(repr=False)
    session: str = attrs.field(repr=False)
    epoch: int
    ended: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    raises_epoch: bool = False
    """Whether its epoch was higher than the room's, so that it may have ended others."""


# What is known of one: the event; its other members; its session, and what is said about that.
_Record = tuple[str, dict[str, Any], str | None, dict[str, Any] | None]

# Records of one decision are made when they are looked at.
_Records = Callable[[], list[_Record]]

# One decision: its number, its time, and its records, of which there is at least one.
_Kept = tuple[int, float, _Records]


class Audit:
    """Writes decisions to a sink, if there is one, and keeps the last of them in memory.

    Of decisions it keeps the last `MAX_DECISIONS`, and of wrong keys the last `MAX_WRONG_KEYS`.

    `wall` is Unix time in seconds; `failed` is called with what could not be written.
    """

    def __init__(
        self,
        sink: Sink | None,
        *,
        wall: Callable[[], float],
        failed: Callable[[OSError], object],
    ) -> None:
        self._sink = sink
        self._wall = wall
        self._failed = failed
        self._number = count()
        self._last: deque[_Kept] = deque(maxlen=MAX_DECISIONS)
        # Strangers can cause these at will, so only few are kept.
        self._wrong_keys: deque[_Kept] = deque(maxlen=MAX_WRONG_KEYS)

    def last(self, limit: int = MAX_DECISIONS) -> list[dict[str, Any]]:
        """Return the last records, the newest first, as they are written."""
        both = reversed(self._last), reversed(self._wrong_keys)
        kept = (
            (moment, record)
            for _, moment, records in heapq.merge(*both, key=itemgetter(0), reverse=True)
            for record in reversed(records())
        )
        return [_members(*each) for each in islice(kept, limit)]

    def reopen(self) -> None:
        """Open the file of that name again; if it cannot be opened, keep using the old one."""
        if self._sink is not None:
            try:
                self._sink.reopen()
            except OSError as error:
                self._failed(error)

    def decided(self, wanted: Notify | Release, outcome: Outcome, by: str) -> None:
        """Write which sessions have begun and which have ended by a notify or a release."""
        ended = outcome.ended
        if ended or isinstance(wanted, Notify):
            who = (outcome.room, outcome.epoch, outcome.sender, ended)
            self._note(partial(_decided, wanted, *who, by))

    def began_by_ticket(self, login: LoginByTicket, by: str) -> None:
        """Write that a room knows a login by its ticket, and what that login has ended."""
        self._note(partial(_began_by_ticket, login, by))

    def refused(self, notify: Notify, epoch: int, by: str) -> None:
        """Write that there was no place for a login."""
        self._note(partial(_refused, notify, epoch, by))

    def wrong_key(self, by: str) -> None:
        """Write that a request had a wrong key, or none."""
        self._note(partial(_wrong_key, by), self._wrong_keys)

    def _note(self, records: _Records, last: deque[_Kept] | None = None) -> None:
        now = self._wall()
        (self._last if last is None else last).append((next(self._number), now, records))
        if self._sink is None:
            return
        lines = (json.dumps(_members(now, each), separators=(",", ":")) for each in records())
        # ASCII, so that what applications say `about` a login cannot control a reader's terminal.
        text = "".join(f"{line}\n" for line in lines)
        try:
            self._sink.write(text.encode())
        except OSError as error:
            self._failed(error)


def _decided(
    wanted: Notify | Release,
    room: str,
    epoch: int,
    sender: str | None,
    ended: Iterable[str],
    by: str,
) -> list[_Record]:
    what = {"room": room, "epoch": epoch, "reason": wanted.reason, "by": by}
    if isinstance(wanted, Release):
        return [("released", what, session, None) for session in ended]
    records: list[_Record] = [("ended", what, session, None) for session in ended]
    if sender is None:
        # Sessions that are not known have ended too.
        return [*records, ("ended", what, None, None)]
    return [*records, ("began", what, sender, wanted.about)]


def _began_by_ticket(login: LoginByTicket, by: str) -> list[_Record]:
    what = {"room": login.room, "epoch": login.epoch, "reason": "login", "by": by}
    records: list[_Record] = [("ended", what, each, None) for each in sorted(login.ended)]
    return [*records, ("began", what | {"reason": "ticket"}, login.session, None)]


def _refused(notify: Notify, epoch: int, by: str) -> list[_Record]:
    what = {"room": notify.room, "epoch": epoch, "reason": notify.reason, "by": by}
    sender = None if notify.sender is LAST_JOINED else notify.sender
    return [("refused", what, sender, notify.about)]


def _wrong_key(by: str) -> list[_Record]:
    return [("wrong key", {"by": by}, None, None)]


def _members(moment: float, record: _Record) -> dict[str, Any]:
    """Return one line's members, at a time in Unix seconds; unknown ones are left out."""
    event, what, session, about = record
    time = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    line = {"time": time.replace("+00:00", "Z"), "event": event, **what}
    if session is not None:
        line["session"] = fingerprint(session)
    if about is not None:
        line["about"] = about
    return line
