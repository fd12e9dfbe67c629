"""The task that writes: groups, failures that pass, and an end that loses nothing.

Files are real, in a thread; what a disk does to them is a subclass's. Time is virtual and
stands still unless a test moves it, so that no timeout passes while a thread is at work.
"""

import contextlib
import errno
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio import Commit, Config, LedgerError, SqliteLedger
from sse_trio.core.logins import Login, Record, Termination
from sse_trio.core.notify import Answer
from sse_trio.ledger import open_ledger
from sse_trio.ledger.sqlite import CLOSING, PROGRESS, RETRY, STUCK, Group
from sse_trio.ledger.sqlite_file import Change, LedgerFile

from .fakes import DEADLINE, Watched, propose


class Disk(LedgerFile):
    """A ledger's file on a disk that can fail, or hang; counts what it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.error: Exception | None = None
        self.attempts = 0
        self.sizes: list[int] = []
        """Of the groups that were written, in rooms."""
        self.answering = threading.Event()
        self.answering.set()
        self.closed = threading.Event()

    def _commit(
        self,
        records: Mapping[str, Record | None],
        answers: Collection[Answer],
        changes: Collection[Change],
    ) -> None:
        self.attempts += 1
        assert self.answering.wait(DEADLINE)
        if self.error is not None:
            raise self.error
        super()._commit(records, answers, changes)
        self.sizes.append(len(records))

    def close(self) -> None:
        super().close()
        self.closed.set()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        self.answering.clear()
        try:
            yield
        finally:
            self.answering.set()


NO_SPACE = os.strerror(errno.ENOSPC)
FULL = OSError(errno.ENOSPC, NO_SPACE)


def record(epoch: int = 1, touched: float = 5.0) -> Record:
    login = Login(epoch, since=1.25, seen=2.5)
    return Record(epoch, epoch, {"s1": login}, (Termination(epoch, "login"),), touched, 4.0)


def answer(id: str, at: float = 1000.0) -> Answer:
    return Answer(id, "u1", "s1", "s1", 1, terminated=2, at=at)


def stored(path: Path) -> dict[str, Record]:
    """What is in the file, for whoever opens it next."""
    with contextlib.closing(LedgerFile(path)) as file:
        return dict(file.load()[0])


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what a thread is about to bring about."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        await trio.lowlevel.checkpoint()


def durable(commit: Group) -> bool:
    return commit.tried and commit.error is None


async def fails(waiting: Awaitable[None], message: str) -> None:
    with pytest.raises(LedgerError) as failed:
        await waiting
    assert str(failed.value) == message


@pytest.fixture
def clock() -> MockClock:
    """Stands still, but for a test that would hang."""
    return MockClock(autojump_threshold=DEADLINE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def disk(path: Path) -> Iterator[Disk]:
    disk = Disk(path)
    yield disk
    assert disk.closed.wait(DEADLINE)


# -- groups -----------------------------------------------------------------------------


async def test_what_has_been_waited_for_is_in_the_file(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        commit = propose(ledger, "u1", record(), answer("x"))
        assert not durable(commit)
        await commit.durable()
        assert durable(commit)
        assert await ledger.load() == ([("u1", record())], [answer("x")])
        await propose(ledger, "u1", None).durable()
        assert await ledger.load() == ([], [answer("x")])
    assert stored(path) == {}


async def test_a_thousand_at_once_are_one_transaction(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    rooms = [f"u{number}" for number in range(1000)]
    async with SqliteLedger(disk).writing() as ledger, trio.open_nursery() as nursery:
        for room in rooms:
            nursery.start_soon(propose(ledger, room, record()).durable)
    assert disk.sizes == [1000]
    assert stored(path).keys() == set(rooms)


async def test_what_is_noted_during_a_commit_is_the_next_group(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        with disk.hanging():
            first = propose(ledger, "u1", record(1))
            await until(lambda: disk.attempts == 1)
            later = [propose(ledger, room, record(2)) for room in ("u1", "u2", "u1", "u3")]
            await wait_all_tasks_blocked()
            assert not any(durable(commit) for commit in (first, *later))
        await first.durable()
        assert not any(durable(commit) for commit in later)
        for commit in later:
            await commit.durable()
    assert disk.sizes == [1, 3]
    assert stored(path) == dict.fromkeys(("u1", "u2", "u3"), record(2))


async def test_within_a_group_the_last_word_on_a_room_counts(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        propose(ledger, "u1", record(1))
        propose(ledger, "u2", record(1))
        propose(ledger, "u1", None)
        propose(ledger, "u2", None)
        propose(ledger, "u2", record(2), answer("x"))
    assert disk.attempts == 1
    assert stored(path) == {"u2": record(2)}


async def test_who_no_longer_waits_undoes_nothing(path: Path, disk: Disk, clock: MockClock) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        with disk.hanging():
            commit = propose(ledger, "u1", record())
            async with trio.open_nursery() as waiting:
                waiting.start_soon(commit.durable)
                await until(lambda: disk.attempts == 1)
                waiting.cancel_scope.cancel()
            assert not durable(commit)
        await commit.durable()
    assert stored(path) == {"u1": record()}


# -- failures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (FULL, NO_SPACE),
        (sqlite3.OperationalError("database is locked"), "database is locked"),
        (OSError("it has been replaced"), "it has been replaced"),
    ],
)
async def test_a_failure_is_told_to_who_waits_and_passes_by_itself(
    path: Path, disk: Disk, clock: MockClock, error: Exception, message: str
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        disk.error = error
        commits = [propose(ledger, "u1", record()), propose(ledger, "u2", record())]
        for commit in commits:
            await fails(commit.durable(), message)
        assert not ledger.ready
        disk.error = None
        clock.jump(RETRY)
        # Nobody has to come and notify for it.
        await until(lambda: ledger.ready)
        assert disk.sizes == [2]
    assert stored(path) == {"u1": record(), "u2": record()}


async def test_it_is_tried_again_every_second_and_no_more_often(
    disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        disk.error = FULL
        await fails(propose(ledger, "u1", record()).durable(), NO_SPACE)
        for attempts in range(2, 5):
            clock.jump(RETRY * 0.9)
            later = propose(ledger, "u2", record())
            await wait_all_tasks_blocked()
            assert disk.attempts == attempts - 1
            clock.jump(RETRY * 0.11)
            await fails(later.durable(), NO_SPACE)
            assert disk.attempts == attempts
            assert not ledger.ready
        disk.error = None
        clock.jump(RETRY)


async def test_what_was_noted_since_goes_above_what_could_not_be_written(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        await propose(ledger, "u3", record()).durable()
        disk.error = FULL
        with disk.hanging():
            first = [propose(ledger, room, record(1)) for room in ("u1", "u2")]
            first += [propose(ledger, "u3", None, answer("x"))]
            await until(lambda: disk.attempts == 2)
            # While the attempt that will fail is on its way, and after it.
            during = propose(ledger, "u1", record(2), answer("y"))
        for commit in first:
            await fails(commit.durable(), NO_SPACE)
        after = propose(ledger, "u4", record(3))
        disk.error = None
        clock.jump(RETRY)
        await after.durable()
        assert durable(during)
        records, answers = await ledger.load()
        assert dict(records) == {"u1": record(2), "u2": record(1), "u4": record(3)}
        assert answers == [answer("x"), answer("y")]


async def test_the_log_says_each_change_once_and_names_no_room(
    path: Path, disk: Disk, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    locked = sqlite3.OperationalError("database is locked")
    async with SqliteLedger(disk).writing() as ledger:
        commit = propose(ledger, "a user's room", record())
        for error in (FULL, FULL, FULL, locked, locked, None, None):
            disk.error = error
            clock.jump(RETRY)
            with contextlib.suppress(LedgerError):
                await commit.durable()
            commit = propose(ledger, "a user's room", record())
    lines = [(entry.levelno, entry.getMessage()) for entry in caplog.records]
    assert lines == [
        (logging.ERROR, f"the ledger {path} cannot be written: {NO_SPACE}"),
        (logging.ERROR, f"the ledger {path} cannot be written: database is locked"),
        (logging.WARNING, f"the ledger {path} can be written again"),
    ]


async def test_a_disk_that_does_not_answer_counts_as_failing_until_it_does(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        with disk.hanging():
            commit = propose(ledger, "u1", record())
            await until(lambda: disk.attempts == 1)
            clock.jump(STUCK * 0.99)
            assert ledger.ready
            clock.jump(STUCK * 0.01)
            assert not ledger.ready
        await commit.durable()
        assert ledger.ready
    assert stored(path) == {"u1": record()}


# -- the end ----------------------------------------------------------------------------


async def test_what_was_noted_last_is_written_before_the_end(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with SqliteLedger(disk).writing() as ledger:
        with disk.hanging():
            propose(ledger, "u1", record())
            await until(lambda: disk.attempts == 1)
            propose(ledger, "u2", record())
    assert stored(path).keys() == {"u1", "u2"}


async def test_what_was_noted_is_written_even_if_everything_is_cancelled(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:

        async def serve() -> None:
            async with SqliteLedger(disk).writing() as ledger:
                with disk.hanging():
                    propose(ledger, "u1", record())
                    await until(lambda: disk.attempts == 1)
                    propose(ledger, "u2", record())
                    nursery.cancel_scope.cancel()
                await trio.sleep_forever()

        nursery.start_soon(serve)
    assert nursery.cancel_scope.cancelled_caught
    assert stored(path).keys() == {"u1", "u2"}


async def test_a_failure_that_passes_at_the_end_has_lost_nothing(
    path: Path, disk: Disk, nursery: trio.Nursery, clock: MockClock
) -> None:
    async def mend_when_failed(commit: Commit) -> None:
        await fails(commit.durable(), NO_SPACE)
        disk.error = None
        clock.jump(RETRY)

    async with SqliteLedger(disk).writing() as ledger:
        disk.error = FULL
        with disk.hanging():
            nursery.start_soon(mend_when_failed, propose(ledger, "u1", record()))
            await until(lambda: disk.attempts == 1)
    assert stored(path) == {"u1": record()}


async def test_a_failure_that_does_not_pass_ends_after_one_more_attempt(
    path: Path,
    disk: Disk,
    nursery: trio.Nursery,
    clock: MockClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def jump_when_failed(commit: Commit) -> None:
        await fails(commit.durable(), NO_SPACE)
        clock.jump(RETRY)

    async with SqliteLedger(disk).writing() as ledger:
        disk.error = FULL
        with disk.hanging():
            nursery.start_soon(jump_when_failed, propose(ledger, "u1", record()))
            await until(lambda: disk.attempts == 1)
            propose(ledger, "u2", record())
    assert disk.attempts == 2
    assert stored(path) == {}
    assert "could not be written completely: the last of 2 rooms and of 0 other" in caplog.text


async def pass_time(clock: MockClock) -> None:
    """Let seconds pass while nothing happens."""
    while True:
        await wait_all_tasks_blocked(cushion=0.001)
        clock.jump(RETRY)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_disk_that_does_not_answer_holds_up_the_end_for_so_long_only(
    path: Path, disk: Disk, nursery: trio.Nursery, clock: MockClock, cancelled: bool
) -> None:
    with disk.hanging():
        began = trio.current_time()
        with trio.CancelScope() as scope:
            async with SqliteLedger(disk).writing() as ledger:
                propose(ledger, "u1", record())
                await until(lambda: disk.attempts == 1)
                if cancelled:
                    scope.cancel()
                nursery.start_soon(pass_time, clock)
        assert CLOSING <= trio.current_time() - began <= 2 * (CLOSING + RETRY)
        assert not disk.sizes
    # The threads were left alone with it: what has begun is done, and then the file is closed.
    await until(lambda: disk.sizes == [1])
    await until(disk.closed.is_set)
    assert stored(path) == {"u1": record()}


async def test_what_the_block_raises_comes_out_as_it_is(
    path: Path, disk: Disk, clock: MockClock
) -> None:
    async def note_and_fail() -> None:
        async with SqliteLedger(disk).writing() as ledger:
            propose(ledger, "u1", record())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await note_and_fail()
    assert stored(path) == {"u1": record()}


# -- a path in, a ledger out ------------------------------------------------------------


async def test_opening_twice_is_refused_and_the_first_goes_on(path: Path) -> None:
    async with SqliteLedger.open(path) as ledger:
        with pytest.raises(LedgerError, match="in use by process"):
            async with SqliteLedger.open(path):
                pass
        await propose(ledger, "u1", record()).durable()
    assert stored(path) == {"u1": record()}


async def test_a_damaged_file_is_said_to_be_so_and_let_go(path: Path) -> None:
    with contextlib.closing(LedgerFile(path)) as file:
        file.commit({"u1": record()}, [])
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE standings SET logins = ''")
    for _ in range(2):
        with pytest.raises(LedgerError, match="damaged"):
            async with SqliteLedger.open(path) as ledger:
                await ledger.load()


async def test_who_is_cancelled_while_opening_leaves_nothing_open(path: Path) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        async with SqliteLedger.open(path):
            await trio.sleep_forever()
    assert scope.cancelled_caught
    assert stored(path) == {}


async def test_reading_that_is_given_up_is_over_before_the_file_is_closed(
    path: Path, nursery: trio.Nursery, clock: MockClock
) -> None:
    """Or else it would read from what is closed, and crash."""
    file = Watched(path)
    file.watch()

    async def give_up() -> None:
        await until(file.reading.is_set)
        scope.cancel()
        await wait_all_tasks_blocked()
        file.go_on.set()

    with trio.CancelScope() as scope:
        async with SqliteLedger(file).writing() as ledger:
            nursery.start_soon(give_up)
            await ledger.load()
    assert scope.cancelled_caught
    assert stored(path) == {}


async def test_what_takes_long_is_told_of_while_it_does(
    path: Path, clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with contextlib.closing(LedgerFile(path)) as before:
        before.commit({"u1": record()}, [])
    file = Watched(path)
    file.watch()

    async def tell_twice() -> None:
        await until(file.reading.is_set)
        for _ in range(2):
            clock.jump(PROGRESS)
            await wait_all_tasks_blocked()
        file.go_on.set()

    async with SqliteLedger(file).writing() as ledger, trio.open_nursery() as telling:
        telling.start_soon(tell_twice)
        await ledger.load()
    assert [entry.getMessage() for entry in caplog.records] == [
        f"reading the ledger {path}: 0 rooms so far",
        f"reading the ledger {path}: 0 rooms so far",
        f"the ledger {path} remembers 1 rooms",
    ]


async def test_a_configuration_names_the_file(path: Path) -> None:
    config = Config(ledger=f"sqlite:///{path}")
    async with open_ledger(config) as ledger:
        await propose(ledger, "u1", record()).durable()
    assert stored(path) == {"u1": record()}


async def test_what_waits_is_the_last_that_was_changed(tmp_path: Path) -> None:
    """Also where it has been written since somebody asked."""
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        assert ledger.waiting()("thing") is None
        first = ledger.change("thing", "SELECT ?", 1)
        waiting = ledger.waiting()
        assert waiting("thing") == (1,)
        await first.durable()
        assert waiting("thing") == (1,)
        second = ledger.change("thing", "SELECT ?", 2)
        assert waiting("thing") == (2,)
        await second.durable()
        await ledger.change("other", "SELECT ?", 3).durable()
        assert waiting("thing") in ((1,), (2,))
        assert waiting("other") == (3,)
        assert ledger.waiting()("thing") is None
