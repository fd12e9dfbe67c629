"""A ledger in one SQLite file: its contents survive any end of the process, also a power cut.

One task writes. All proposals that come while it is busy are the next group, and a group is one
transaction: a thousand notifies at once wait for one fsync. A group that fails is kept, merged
under what was proposed since, and tried again every second until the disk takes it. The file is
read only at the start: the server's memory has all of it.
"""

import contextlib
import logging
import math
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import attrs
import trio

from ..core.logins import Record
from ..core.notify import REMEMBERED_NOTIFIES, Answer
from ..core.standing import Standing
from ..errors import LedgerError, LocalProtocolError
from ..strict_json import has_lone_surrogates
from .proposals import LocalProposal, Swap
from .sqlite_file import FAULTS, Change, LedgerFile, words

T = TypeVar("T")

logger = logging.getLogger("sse_trio")

# Seconds: between two attempts; until a disk that does not answer counts as failing; and at
# the end, for what is left to be written.
RETRY = 1.0
STUCK = 5.0
CLOSING = 5.0

# Seconds between two log lines about the progress of a long read.
PROGRESS = 5.0


# How many standings a group records together, when it is written: some milliseconds. It records
# later ones, while a disk does not answer, one by one.
_TOGETHER = 1000


@attrs.define(eq=False)
class Group(LocalProposal):
    """The changes of one transaction, and the tasks that wait for it."""

    rooms: dict[str, Standing | Record | None] = attrs.field(factory=dict, repr=False)
    answers: dict[str, Answer] = attrs.field(factory=dict, repr=False)
    changes: dict[Hashable, Change] = attrs.field(factory=dict, repr=False)
    """Changes by other modules: the last change of each thing, in their order."""
    last: set[Hashable] = attrs.field(factory=set, repr=False)
    """Those of them that move behind all others when they are changed again."""
    error: str | None = None
    _tried: trio.Event = attrs.Factory(trio.Event)

    @property
    def tried(self) -> bool:
        """Whether there was an attempt to write it, which may have failed."""
        return self._tried.is_set()

    @property
    def done(self) -> bool:
        """Whether it is durable."""
        return self.tried and self.error is None

    async def durable(self) -> None:
        """Return when it is durable.

        Raises:
            LedgerError: the first attempt has failed.
        """
        await self._tried.wait()
        if self.error is not None:
            raise LedgerError(self.error)

    def put_room(self, room: str, standing: Standing | None) -> None:
        """Put a room's standing in the place of an earlier one."""
        is_late = len(self.rooms) >= _TOGETHER
        self.rooms[room] = standing.record() if standing and is_late else standing

    def records(self) -> dict[str, Record | None]:
        """Return each room's record as it is now; later changes do not affect it."""
        records = {
            room: standing.record() if isinstance(standing, Standing) else standing
            for room, standing in self.rooms.items()
        }
        self.rooms.update(records)
        return records

    def put(self, thing: Hashable, change: Change, *, last: bool) -> None:
        """Put a change in the place of an earlier one of the same thing, or behind all others."""
        if last:
            self.changes.pop(thing, None)
            self.last.add(thing)
        self.changes[thing] = change

    def settle(self, error: str | None) -> None:
        """Wake the tasks that wait."""
        self.error = error
        self._tried.set()

    def merge_under(self, later: "Group") -> None:
        """Move to `later` what this group could not write, unless it is replaced there."""
        # It may have grown for hours; only the later changes cost time.
        self.rooms.update(later.rooms)
        self.answers.update(later.answers)
        while len(self.answers) > REMEMBERED_NOTIFIES:
            del self.answers[next(iter(self.answers))]
        later.rooms, later.answers = self.rooms, self.answers
        for thing, change in later.changes.items():
            self.put(thing, change, last=thing in later.last)
        later.changes, later.last = self.changes, self.last


class SqliteLedger:
    """Standings and answers in a file; made by :meth:`open`."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file
        self._next = Group()
        self._current = Group()
        self._proposed = trio.Event()
        self._error: str | None = None
        self._since = math.inf
        # Its own thread limit, so that a program's other threads cannot delay the ledger.
        self._limiter = trio.CapacityLimiter(1)
        self._readers = trio.CapacityLimiter(1)

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, path: str | Path) -> AsyncIterator["SqliteLedger"]:
        """Open the file, create it if there is none, and write to it until the end.

        Changes proposed by then are written within `CLOSING` seconds, or lost.

        Raises:
            LedgerError: it is no ledger, a newer one, in use by another process, or cannot
                be written; the message says what to do.
        """
        file = await trio.to_thread.run_sync(LedgerFile, Path(path))
        async with cls(file).writing() as ledger:
            yield ledger

    @contextlib.asynccontextmanager
    async def writing(self) -> AsyncIterator["SqliteLedger"]:
        """Write proposals until the end, and then close the file.

        An exception of the caller's own block leaves it unchanged.
        """
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            # Decisions are written even if the server is cancelled.
            writing = trio.CancelScope(shield=True)
            nursery.start_soon(self._write, writing)
            try:
                yield self
            except BaseException as error:  # noqa: BLE001
                # Raised again as it is, beyond the nursery that would wrap it in a group.
                failure = error
            with trio.move_on_after(CLOSING, shield=True):
                await self._finish()
            writing.cancel()
            self._report_lost()
            with trio.move_on_after(CLOSING, shield=True):
                # If the disk still hangs, the file is closed when it no longer does.
                await trio.to_thread.run_sync(self._file.close, abandon_on_cancel=True)
        if failure is not None:
            try:
                raise failure
            finally:
                del failure  # it refers to this frame, by its traceback

    @property
    def ready(self) -> bool:
        """Whether the last attempt to write has succeeded, and the present one is not stuck."""
        return self._error is None and trio.current_time() - self._since < STUCK

    async def load(self) -> tuple[Iterable[tuple[str, Record]], Iterable[Answer]]:
        """Read everything.

        Raises:
            LedgerError: the file is damaged.
        """
        # An earlier server may have left changes to write.
        await self._finish()
        async with self._telling_progress():
            records, answers = await self._in_thread(self._file.load)
        if self._file.is_new:
            logger.warning("the ledger %s is new: nothing is remembered", self._file.path)
        else:
            logger.info("the ledger %s remembers %d rooms", self._file.path, len(records))
        return records, answers

    @contextlib.asynccontextmanager
    async def _telling_progress(self) -> AsyncIterator[None]:
        """Log the progress of the block every few seconds; its exceptions pass unchanged."""

        async def tell() -> None:
            while True:
                await trio.sleep(PROGRESS)
                logger.info(
                    "reading the ledger %s: %d rooms so far", self._file.path, self._file.remembered
                )

        failure: Exception | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell)
            try:
                yield
            except LedgerError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    def propose(self, swap: Swap) -> Group:
        """Put it into the next group."""
        self._next.put_room(swap.room, swap.standing)
        if swap.answer is not None:
            self._next.answers[swap.answer.id] = swap.answer
        self._proposed.set()
        swap.carry_out()
        return self._next

    def change(self, thing: Hashable, sql: str, *parameters: Any, last: bool = False) -> Group:
        """Put a change of something that is not a room's into the next group.

        It takes the place of an earlier change of the same `thing` that is not written yet, but
        with `last`, which goes behind all others. It is committed together with what is proposed
        in the same step.

        Raises:
            LocalProtocolError: a parameter is not text, a number or bytes. A value that cannot be
                stored would be tried for ever, and nothing else would be written.
        """
        if not all(map(_is_storable, parameters)):
            raise LocalProtocolError("only text, numbers and bytes can be stored")
        self._next.put(thing, (sql, parameters), last=last)
        self._proposed.set()
        return self._next

    async def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Read what has been committed.

        Raises:
            LedgerError: it cannot be read, or not within `STUCK` seconds.
        """
        try:
            with trio.fail_after(STUCK):
                return await trio.to_thread.run_sync(
                    self._file.query, sql, parameters, abandon_on_cancel=True, limiter=self._readers
                )
        except trio.TooSlowError:
            raise LedgerError(f"the ledger {self._file.path} takes too long to read") from None

    def waiting(self) -> Callable[[Hashable], tuple[Any, ...] | None]:
        """Return a view of what is not written yet, to be taken before a query.

        It returns the parameters of a thing's last change, if that is not written yet or has been
        written since: so the query and this view together are complete.
        """
        before = (self._next, self._current)

        def last(thing: Hashable) -> tuple[Any, ...] | None:
            groups = (self._next, self._current, *before)
            return next((g.changes[thing][1] for g in groups if thing in g.changes), None)

        return last

    def pending(self, room: str) -> Group | None:
        """Return the group that the room's last change is in, if that is not written yet."""
        groups = [group for group in self._unwritten() if room in group.rooms]
        return groups[-1] if groups else None

    def _unwritten(self) -> Iterator[Group]:
        """Yield the groups that have not been tried, and are not empty, in their order."""
        for group in (self._current, self._next):
            if (group.rooms or group.changes) and not group.tried:
                yield group

    async def _write(self, scope: trio.CancelScope) -> None:
        with scope:
            while True:
                await self._proposed.wait()
                self._proposed = trio.Event()
                group, self._next = self._next, Group()
                self._current = group
                error = await self._attempt(group)
                self._report(error)
                group.settle(error)
                if error is not None:
                    group.merge_under(self._next)
                    self._proposed.set()
                    await trio.sleep(RETRY)

    async def _attempt(self, group: Group) -> str | None:
        """Write a group; return its error."""
        self._since = trio.current_time()
        answers, changes = group.answers.values(), group.changes.values()
        try:
            await self._in_thread(partial(self._file.commit, group.records(), answers, changes))
        except (*FAULTS, OSError) as error:
            return words(error)
        finally:
            self._since = math.inf
        return None

    async def _in_thread(self, work: Callable[[], T]) -> T:
        # A disk that hangs must not delay the end of the server too.
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._limiter)

    def _report(self, error: str | None) -> None:
        if error is not None and error != self._error:
            logger.error("the ledger %s cannot be written: %s", self._file.path, error)
        if error is None and self._error is not None:
            logger.warning("the ledger %s can be written again", self._file.path)
        self._error = error

    async def _finish(self) -> None:
        """Wait until everything proposed is written, or could not be."""
        # The next group is checked after the current one, which may leave it something.
        for group in self._unwritten():
            with contextlib.suppress(LedgerError):
                await group.durable()

    def _report_lost(self) -> None:
        rooms = {room for group in self._unwritten() for room in group.rooms}
        changes = {thing for group in self._unwritten() for thing in group.changes}
        if rooms or changes:
            logger.error(
                "the ledger %s could not be written completely: the last of %d rooms and of %d "
                "other things is lost; repeat what was answered 503",
                self._file.path,
                len(rooms),
                len(changes),
            )


def _is_storable(value: object) -> bool:
    if isinstance(value, str):
        return not has_lone_surrogates(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return isinstance(value, float | bytes)
