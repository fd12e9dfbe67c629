"""The file of a ledger: what is written is read again, by its owner, and by nobody else.

Faults are real ones where they can be had: other processes, their death, limits of the
system, bytes overwritten. What has to die does so in a process of its own.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import shutil
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sse_trio import LAST_JOINED, LedgerError
from sse_trio.core.logins import RELEASED, Login, Record, StoredLogins, Termination
from sse_trio.core.notify import REMEMBERED_SECONDS, Answer, Notify
from sse_trio.ledger.sqlite_file import APPLICATION_ID, LOG_LIMIT, MIGRATIONS, LedgerFile

from ..strategies import epochs, json_objects, names, printable, sessions
from .fakes import DEADLINE, Watched

NEWEST = len(MIGRATIONS)
PAGE = 4096


def login(epoch: int = 1) -> Login:
    return Login(epoch, since=1.25, seen=2.5)


def record(epoch: int = 1, touched: float = 5.0) -> Record:
    termination = Termination(epoch, "login", {"on": "Firefox"})
    return Record(epoch, epoch, {"s1": login(epoch)}, (termination,), touched, 4.0)


def answer(id: str, at: float = 1000.0) -> Answer:
    return Answer(id, "u1", "s1", "s1", 1, terminated=2, at=at)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[LedgerFile]:
    with contextlib.closing(LedgerFile(path)) as file:
        yield file


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """The file, as a program sees it that knows nothing of ledgers."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        yield db


def loaded(path: Path) -> tuple[dict[str, Record], dict[str, Answer]]:
    with opened(path) as file:
        records, answers = file.load()
        return dict(records), {answer.id: answer for answer in answers}


def exactly(value: Any) -> str:
    """Every difference that there can be: order, types, and what is not compared."""
    return repr([attrs.astuple(part, recurse=True) for part in value])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


# -- what is written is read again ------------------------------------------------------


def nested(levels: int, innermost: dict[str, Any]) -> dict[str, Any]:
    for _ in range(levels):
        innermost = {"in": innermost}
    return innermost


seconds: SearchStrategy[float] = st.floats(0, 1e11)
details = st.none() | st.builds(nested, st.integers(0, 30), json_objects)
logins = st.builds(
    Login,
    epochs,
    seconds,
    seconds,
    st.booleans(),
    st.none() | st.just(RELEASED) | epochs,
    st.none() | json_objects,
    st.none() | seconds,
)
records = st.builds(
    lambda counts, *rest: Record(max(counts), min(counts), *rest),
    st.tuples(epochs, epochs),
    st.dictionaries(names, logins, max_size=4),
    st.lists(st.builds(Termination, epochs, printable, details), max_size=3).map(tuple),
    seconds,
    seconds,
)
records |= st.builds(
    lambda record, epoch, limit: attrs.evolve(record, forgotten=epoch, limit=limit),
    records,
    epochs,
    st.none() | st.integers(1, 65536),
)
asked = st.just(LAST_JOINED) | st.none() | names
answers = st.builds(
    Answer,
    printable.filter(bool),
    names,
    asked,
    st.none() | names,
    epochs,
    epochs,
    seconds,
    st.lists(names, max_size=3),
    st.lists(names, max_size=3),
)


@given(st.dictionaries(names, records, max_size=4), st.lists(answers, max_size=1))
@settings(max_examples=25)
def test_what_is_written_is_read_again_in_its_order(
    written: dict[str, Record], answered: list[Answer]
) -> None:
    with tempfile.TemporaryDirectory() as directory, opened(Path(directory) / "x") as file:
        file.commit(written, answered)
        read, repeated = file.load()
        assert exactly(repeated) == exactly(answered)
        assert [room for room, _ in read] == sorted(
            dict(read), key=lambda room: dict(read)[room].touched
        )
        for room, record in written.items():
            found = dict(read)[room]
            assert exactly([attrs.evolve(found, logins=dict(found.logins))]) == exactly([record])
            assert found == record
            assert isinstance(found.logins, StoredLogins)
            named = [login for login in record.logins.values() if login.named]
            assert found.logins.was_named == bool(named)
            assert found.logins.is_held == any(login.ended is None for login in named)
        assert dict(read).keys() == written.keys()


def test_a_detail_as_deep_as_a_notify_may_carry_is_read_again(path: Path) -> None:
    detail = nested(31, {})
    with pytest.raises(ValueError, match="detail"):
        Notify(room="u1", detail=detail)
    deep = Termination(1, "login", Notify(room="u1", detail=detail["in"]).detail)
    with opened(path) as file:
        file.commit({"u1": attrs.evolve(record(), terminations=(deep,))}, [])
    assert loaded(path)[0]["u1"].terminations == (deep,)


def test_the_sender_of_a_notify_is_read_again_as_it_was_asked_for(path: Path) -> None:
    asked = (LAST_JOINED, None, "s1")
    with opened(path) as file:
        file.commit({}, [attrs.evolve(answer(repr(sender)), asked=sender) for sender in asked])
    _, read = loaded(path)
    assert [read[repr(sender)].asked for sender in asked] == list(asked)


groups = st.tuples(
    st.dictionaries(st.sampled_from(("u1", "u2", "u3")), st.none() | records, max_size=3),
    st.lists(
        st.builds(
            answer, sessions, st.sampled_from((0.0, REMEMBERED_SECONDS, REMEMBERED_SECONDS + 1.0))
        ),
        max_size=3,
        unique_by=lambda answer: answer.id,
    ),
)


@given(st.lists(groups, max_size=5))
@settings(max_examples=25)
def test_the_last_word_on_each_room_and_id_counts_and_answers_last_ten_minutes(
    committed: list[tuple[dict[str, Record | None], list[Answer]]],
) -> None:
    model: dict[str, Record] = {}
    remembered: dict[str, Answer] = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "x"
        for group, answered in committed:
            with opened(path) as file:
                file.commit(group, answered)
            for room, record in group.items():
                model.pop(room, None)
                if record is not None:
                    model[room] = record
            remembered |= {answer.id: answer for answer in answered}
            horizon = max((answer.at for answer in answered), default=0) - REMEMBERED_SECONDS
            remembered = {kept.id: kept for kept in remembered.values() if kept.at >= horizon}
        assert loaded(path) == (model, remembered)


def test_what_is_noted_of_nothing_changes_nothing(path: Path) -> None:
    with opened(path) as file:
        file.commit({"u1": record()}, [answer("x")])
        file.commit({"u2": None}, [])
        file.commit({}, [])
    assert loaded(path) == ({"u1": record()}, {"x": answer("x")})


def test_a_group_that_cannot_be_written_whole_is_not_written_at_all(path: Path) -> None:
    """Epochs this large cannot be: whatever is wrong in the middle, the rest waits for it."""
    with opened(path) as file:
        file.commit({"u1": record(1)}, [answer("x")])
        with pytest.raises(OverflowError):
            file.commit({"u1": None, "u2": record(1), "u3": record(2**63)}, [answer("y")])
        assert file.load() == ([("u1", record(1))], [answer("x")])
        file.commit({"u2": record(1)}, [answer("y")])
    assert loaded(path)[0].keys() == {"u1", "u2"}


# -- whose file it is -------------------------------------------------------------------


def test_nobody_else_can_read_it(path: Path) -> None:
    before = os.umask(0)
    try:
        with opened(path) as file:
            file.commit({"u1": record()}, [])
            modes = {found.name: found.stat().st_mode & 0o777 for found in path.parent.iterdir()}
    finally:
        os.umask(before)
    names = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"}
    assert modes == dict.fromkeys(names, 0o600)


def test_a_copy_can_be_made_while_it_is_open(path: Path, tmp_path: Path) -> None:
    with opened(path) as file:
        file.commit({"u1": record()}, [])
        with database(path) as db, database(tmp_path / "copy") as copy:
            db.backup(copy)
        file.commit({"u2": record()}, [])
    assert loaded(tmp_path / "copy")[0].keys() == {"u1"}


def test_commits_are_in_a_write_ahead_log_that_is_flushed(path: Path) -> None:
    """The mode is the file's own; how it is flushed is a connection's, and asked of it."""
    seen: dict[str, object] = {}

    class Asking(LedgerFile):
        def ask(self) -> None:
            for pragma in ("journal_mode", "synchronous"):
                [seen[pragma]] = self._db.execute(f"PRAGMA {pragma}").fetchone()

    with contextlib.closing(Asking(path)) as file:
        file.ask()
    assert seen == {"journal_mode": "wal", "synchronous": 2}
    with database(path) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_log_of_a_large_commit_is_cut_when_it_is_done_with(path: Path) -> None:
    log = path.with_name("ledger.db-wal")
    many = {f"s{number}": login(number) for number in range(300)}
    with opened(path) as file:
        large = {f"u{number}": attrs.evolve(record(), logins=many) for number in range(2000)}
        file.commit(large, [])
        assert log.stat().st_size > 2 * LOG_LIMIT
        for epoch in (1, 2):
            file.commit({"u1": record(epoch)}, [])
        assert log.stat().st_size <= LOG_LIMIT
        assert len(file.load()[0]) == len(large)


@contextlib.contextmanager
def in_thread(work: Callable[[], object]) -> Iterator[None]:
    """Do it meanwhile; at the end of the block it has been done."""
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_a_file_that_is_being_read_is_closed_after_that(path: Path) -> None:
    """To close a connection in the middle of a statement is to crash."""
    with opened(path) as file:
        file.commit({f"u{number}": record() for number in range(100)}, [])
    watched = Watched(path)
    watched.watch()

    def load() -> None:
        # Whether it is interrupted depends on how far it is.
        with contextlib.suppress(LedgerError):
            assert len(watched.load()[0]) == 100

    with in_thread(load):
        assert watched.reading.wait(DEADLINE)
        with in_thread(watched.close):
            with pytest.raises(LedgerError, match="in use"):
                LedgerFile(path)
            watched.go_on.set()
    assert len(loaded(path)[0]) == 100


def test_what_is_being_read_does_not_hold_up_the_close(path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i FROM n) SELECT max(i) FROM n"
    errors = []
    watched = Watched(path)
    watched.watch()
    watched.go_on.set()

    def query() -> None:
        try:
            watched.query(endless)
        except LedgerError as error:
            errors.append(str(error))

    with in_thread(query):
        assert watched.reading.wait(DEADLINE)
        watched.close()
    assert errors == [f"cannot read the ledger {path}: interrupted"]


@pytest.mark.parametrize("content", [b"Dear diary\n", b"\x00" * 5000, b"SQLite format 3\x00"])
def test_what_is_no_database_is_refused_and_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    before = path.stat().st_mtime_ns
    with pytest.raises(LedgerError, match=r"not a database; name another file, or restore") as no:
        LedgerFile(path)
    assert str(path) in str(no.value)
    assert path.read_bytes() == content
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE diary (entry TEXT); INSERT INTO diary VALUES ('Dear diary')",
        "PRAGMA application_id = 1684628577",
        "PRAGMA journal_mode = WAL; CREATE TABLE diary (entry TEXT)",
        # The same version number, and even a table of the same name.
        f"PRAGMA user_version = {NEWEST}; CREATE TABLE standings (room TEXT)",
    ],
)
def test_somebody_elses_database_is_refused_and_left_alone(path: Path, script: str) -> None:
    with database(path) as db:
        db.executescript(script)
    content, before = path.read_bytes(), path.stat().st_mtime_ns
    with pytest.raises(LedgerError, match="a database, but not a ledger: name another file"):
        LedgerFile(path)
    assert path.read_bytes() == content
    assert path.stat().st_mtime_ns == before


def test_a_newer_ledger_is_refused_and_left_alone(path: Path) -> None:
    with opened(path) as file:
        file.commit({"u1": record()}, [])
    with database(path) as db:
        db.execute(f"PRAGMA user_version = {NEWEST + 1}")
    content = path.read_bytes()
    with pytest.raises(LedgerError, match=f"version {NEWEST + 1}.*only {NEWEST}: use a newer"):
        LedgerFile(path)
    assert path.read_bytes() == content


def test_what_an_older_server_has_written_is_read(path: Path) -> None:
    """Before it was noted what a room forgets, and whom a notify was to end, and has ended."""
    with database(path) as db:
        db.executescript(";".join(MIGRATIONS[:3]))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 3")
        db.execute(
            "INSERT INTO standings VALUES ('u1', 2, 2, 7.5, 6.5, ?, ?)",
            ('{"s1": [2, 1.25, 2.5, true, null]}', '[[2, "login", null]]'),
        )
        written = '{"room": "u1", "sender": "s1", "epoch": 2, "terminated": 3}'
        db.execute("INSERT INTO answers VALUES ('x', 6.5, ?)", (written,))
    assert loaded(path) == (
        {"u1": Record(2, 2, {"s1": login(2)}, (Termination(2, "login"),), 7.5, 6.5, -1)},
        {"x": Answer("x", "u1", LAST_JOINED, "s1", 2, terminated=3, at=6.5)},
    )


def test_what_a_server_of_version_4_has_written_is_read(path: Path) -> None:
    """Before there were limits of a room's own, and words about a login."""
    with database(path) as db:
        db.executescript((Path(__file__).parent / "version-4.sql").read_text())
        assert db.execute("PRAGMA user_version").fetchone() == (4,)
    began = 1_800_000_000.0
    records, answers = loaded(path)
    assert records == {
        "u1": Record(
            3,
            1,
            {
                "s2": Login(2, began + 1, began + 1, ended=3),
                "s1": Login(1, began, began),
                "s3": Login(3, began + 2.5, began + 2.5),
            },
            (
                Termination(1, "login", {"on": "Firefox"}),
                Termination(2, "login"),
                Termination(3, "new phone"),
            ),
            began + 2.5,
            began + 2.5,
        ),
        "u2": Record(
            0, 0, {"s8": Login(0, began + 3.5, began + 4.5, ended=RELEASED)}, (), began + 4.5, 0.0
        ),
        "u3": Record(1, 1, {}, (Termination(1, "login"),), began + 4.5, began + 4.5),
    }
    at = {"login 3": began + 2.5, "left out": began + 4.5}
    assert answers == {
        "login 3": Answer("login 3", "u1", "s3", "s3", 3, 0, at["login 3"], end=["s2"]),
        "left out": Answer("left out", "u3", LAST_JOINED, None, 1, 0, at["left out"]),
    }
    # From now on it is written as it is today.
    about = Login(3, 1.0, 2.0, about={"device": "phone"})
    changed = attrs.evolve(records["u1"], logins={"s3": about}, limit=5)
    with opened(path) as file:
        file.commit({"u1": changed}, [attrs.evolve(answers["login 3"], ended=["s1"])])
    assert loaded(path)[0]["u1"] == changed
    assert loaded(path)[1]["login 3"].ended == ("s1",)


@pytest.mark.parametrize("version", range(NEWEST + 1))
def test_an_older_ledger_is_brought_to_the_present(path: Path, version: int) -> None:
    with database(path) as db:
        db.executescript(";".join(MIGRATIONS[:version]))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {version}")
    with opened(path) as file:
        file.commit({"u1": record()}, [answer("x")])
    assert loaded(path) == ({"u1": record()}, {"x": answer("x")})
    with database(path) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (NEWEST,)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("/proc/x.db", "its folder /proc: No such file or directory"),
        ("missing/x.db", "No such file or directory"),
        ("file/x.db", "Not a directory"),
        ("directory", "it is not a file: name another one"),
    ],
)
def test_a_place_where_no_file_can_be_is_said_to_be_so(
    tmp_path: Path, where: str, words: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    path = tmp_path / where
    with pytest.raises(LedgerError, match=f"^cannot open the ledger {path}: {words}$"):
        LedgerFile(path)
    assert list((tmp_path / "directory").iterdir()) == []


def test_a_link_is_followed_so_that_one_file_has_one_lock(path: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(path)
    with opened(tmp_path / "link"), pytest.raises(LedgerError, match="in use"):
        LedgerFile(path)


# -- one process per file ---------------------------------------------------------------


@contextlib.contextmanager
def another_process(
    target: Callable[[Connection, Path], None], path: Path
) -> Iterator[tuple[BaseProcess, Connection]]:
    """Run `target` in a process that inherits nothing, and kill it at the end."""
    spawning = multiprocessing.get_context("spawn")
    ours, theirs = spawning.Pipe()
    process = spawning.Process(target=target, args=(theirs, path))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def told(ours: Connection) -> Any:
    """Wait for what the other process says; it has an error if it dies instead."""
    assert ours.poll(DEADLINE)
    return ours.recv()


def hold(parent: Connection, path: Path) -> None:
    """Open the ledger, write to it, and keep it until killed."""
    file = LedgerFile(path)
    file.commit({"u1": record()}, [answer("x")])
    parent.send("open")
    parent.recv()


def test_a_second_opener_in_the_same_process_is_refused(path: Path) -> None:
    with opened(path) as file:
        with pytest.raises(LedgerError, match=rf"in use by process {os.getpid()}: stop that one"):
            LedgerFile(path)
        file.commit({"u1": record()}, [])
    assert loaded(path)[0] == {"u1": record()}


def test_a_second_process_is_refused_until_the_first_is_dead(path: Path) -> None:
    with another_process(hold, path) as (process, ours):
        assert told(ours) == "open"
        with pytest.raises(
            LedgerError,
            match=f"^the ledger {path} is in use by process {process.pid}: stop that one, "
            "or name another file$",
        ):
            LedgerFile(path)
        process.kill()
        process.join(DEADLINE)
        # Nothing was merged into the file, or tidied up.
        assert path.with_name("ledger.db-wal").stat().st_size
        assert loaded(path) == ({"u1": record()}, {"x": answer("x")})


def test_a_lock_file_that_was_left_is_no_lock(path: Path) -> None:
    lock = path.with_name("ledger.db.lock")
    lock.write_text("1234567890123\n")
    with opened(path):
        assert lock.read_text() == f"{os.getpid()}\n"


def test_somebody_elses_lock_file_is_left_alone(path: Path) -> None:
    lock = path.with_name("ledger.db.lock")
    lock.write_text("a list of packages\n")
    with pytest.raises(LedgerError, match="exists and is not a lock file"):
        LedgerFile(path)
    assert lock.read_text() == "a list of packages\n"
    assert not path.exists()


# -- faults of the disk -----------------------------------------------------------------


def test_a_file_that_another_program_writes_to_can_be_written_after_it(path: Path) -> None:
    with opened(path) as file:
        with database(path) as db:
            db.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                file.commit({"u1": record(1)}, [])
            db.execute("ROLLBACK")
        file.commit({"u1": record(2)}, [])
    assert loaded(path)[0] == {"u1": record(2)}


def test_a_file_that_was_replaced_is_not_written_until_it_is_back(path: Path) -> None:
    """What is written to a file without a name is lost with the process."""
    aside = path.with_name("aside")
    with opened(path) as file:
        path.rename(aside)
        with pytest.raises(FileNotFoundError):
            file.commit({"u1": record()}, [])
        shutil.copy(aside, path)
        with pytest.raises(OSError, match="replaced; put it back, or restart"):
            file.commit({"u1": record()}, [])
        aside.rename(path)
        file.commit({"u1": record()}, [])
    assert loaded(path)[0] == {"u1": record()}


def test_every_page_that_is_damaged_is_noticed(path: Path, tmp_path: Path) -> None:
    rooms = {f"u{number}": record(number) for number in range(100)}
    many = {f"s{number}": login(number) for number in range(300)}
    rooms["a long one"] = attrs.evolve(record(), logins=many)
    with opened(path) as file:
        file.commit(rooms, [answer(f"x{number}", 1000.0 + number) for number in range(200)])
    whole = path.read_bytes()
    assert len(whole) > 12 * PAGE
    damaged = tmp_path / "damaged"
    for start in range(0, len(whole), PAGE):
        for rubbish in (b"\x00", b"\xff", b"["):
            damaged.write_bytes(whole[:start] + rubbish * PAGE + whole[start + PAGE :])
            with pytest.raises(LedgerError, match="restore a copy, or move it away"):
                loaded(damaged)
        if start:
            damaged.write_bytes(whole[:start])
            with pytest.raises(LedgerError, match="restore a copy, or move it away"):
                loaded(damaged)


def test_damaged_text_that_sqlite_complains_of_is_damage(path: Path) -> None:
    """Its complaint quotes it, and cannot be decoded."""
    with opened(path):
        pass
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"INDEX sessions_by_room", b"INDEX\xc9sessions_by_room"))
    with pytest.raises(LedgerError, match=r"the file is damaged; name another file, or restore"):
        LedgerFile(path)


def set_login(**parts: str) -> str:
    """Write another value into a part of the second room's login, as JSON or SQL spells it."""
    [(part, value)] = parts.items()
    place = [field.name for field in attrs.fields(Login)].index(part)
    return (
        f"UPDATE standings SET logins = json_set(logins, '$.s1[{place}]', {value}) "
        "WHERE room = 'u2'"
    )


@pytest.mark.parametrize(
    "script",
    [
        *(
            f"UPDATE standings SET {column} = {value} WHERE room = 'u2'"
            for column in ("epoch", "floor", "touched", "notified")
            for value in ("'text of u2'", "-1", "x'05'", "9e999", "9007199254740994")
        ),
        "UPDATE standings SET floor = 2 WHERE room = 'u2'",
        *(
            f"UPDATE standings SET forgotten = {value} WHERE room = 'u2'"
            for value in ("'text of u2'", "-2", "0.5", "x'05'", "9007199254740994")
        ),
        *(
            f"UPDATE standings SET places = {value} WHERE room = 'u2'"
            for value in ("'text of u2'", "0", "-1", "1.5", "x'05'", "9007199254740994")
        ),
        "UPDATE standings SET epoch = 1.5 WHERE room = 'u2'",
        "UPDATE standings SET room = char(10) WHERE room = 'u2'",
        "UPDATE standings SET room = '' WHERE room = 'u2'",
        "UPDATE standings SET room = x'75' WHERE room = 'u2'",
        "UPDATE standings SET logins = logins || ' ' WHERE room = 'u2'",
        "UPDATE standings SET logins = '{\"\\ud800\": [1, 1, 1, true, null]}' WHERE room = 'u2'",
        "UPDATE standings SET logins = '{\"s1\": [1, NaN, 1, true, null]}' WHERE room = 'u2'",
        *(set_login(**{part: "'text'"}) for part in ("epoch", "since", "seen", "named", "ended")),
        *(set_login(**{part: "-2"}) for part in ("epoch", "since", "seen", "named", "ended")),
        *(set_login(**{part: "1.5"}) for part in ("epoch", "named", "ended")),
        *(set_login(**{part: "json('true')"}) for part in ("epoch", "since", "seen", "ended")),
        set_login(since="json('1e999')"),
        set_login(seen=f"json('{10**400}')"),
        set_login(named="null"),
        *(set_login(about=value) for value in ("5", "'text'", "json('[]')", "json('true')")),
        set_login(about="json('{\"x\": 1e999}')"),
        set_login(about='json(\'{"x": "\\ud800"}\')'),
        *(set_login(until=value) for value in ("'text'", "-2", "json('true')", "json('1e999')")),
        "UPDATE standings SET logins = json_set(logins, '$.s1[7]', 1) WHERE room = 'u2'",
        "UPDATE standings SET terminations = '[[1, 5, null]]' WHERE room = 'u2'",
        "UPDATE standings SET terminations = '[[1, \"login\", 5]]' WHERE room = 'u2'",
        "UPDATE standings SET terminations = '[[-1, \"login\", null]]' WHERE room = 'u2'",
        "UPDATE standings SET terminations = '[[1, \"\\ud800\", null]]' WHERE room = 'u2'",
        "UPDATE standings SET terminations = '[[1, \"\", {\"x\": NaN}]]' WHERE room = 'u2'",
        "UPDATE standings SET terminations = '[[1, \"\"]]' WHERE room = 'u2'",
    ],
)
def test_a_room_that_is_damaged_is_told_by_its_number(path: Path, script: str) -> None:
    every_part = attrs.evolve(login(), about={"device": "phone"}, until=3.5)
    rooms = {
        f"u{number}": attrs.evolve(record(touched=float(number)), logins={"s1": every_part})
        for number in (1, 2, 3)
    }
    with opened(path) as file:
        file.commit(rooms, [])
    with database(path) as db:
        db.executescript(script)
    with pytest.raises(
        LedgerError, match=r"is damaged \(row \d of standings\): restore"
    ) as damaged:
        loaded(path)
    assert "u2" not in str(damaged.value).replace(str(path), "")
    # As the page on operating says.
    with database(path) as db:
        [row] = re.findall(r"row (\d) of standings", str(damaged.value))
        db.execute(
            "DELETE FROM standings WHERE room = (SELECT room FROM standings "
            "ORDER BY touched, room LIMIT 1 OFFSET ? - 1)",
            (row,),
        )
    assert loaded(path)[0].keys() == {"u1", "u3"}


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE answers SET id = '' WHERE id = 'y'",
        "UPDATE answers SET id = x'79' WHERE id = 'y'",
        "UPDATE answers SET at = 'text' WHERE id = 'y'",
        *(
            f"UPDATE answers SET answer = json_set(answer, '$.{part}', {value}) WHERE id = 'y'"
            for part, value in [
                ("room", "5"),
                ("room", "null"),
                ("asked", "5"),
                ("sender", "''"),
                ("end", "'s1'"),
                ("end", "json('[5]')"),
                ("end", "null"),
                ("ended", "'s1'"),
                ("ended", "json('[5]')"),
                ("ended", "json('[\"\"]')"),
                ("ended", "null"),
                ("epoch", "'text'"),
                ("epoch", "-1"),
                ("terminated", "null"),
                ("more", "1"),
            ]
        ),
    ],
)
def test_an_answer_that_is_damaged_is_told_by_its_number(path: Path, script: str) -> None:
    with opened(path) as file:
        file.commit({}, [answer("x", 1000.0), answer("y", 1001.0), answer("z", 1002.0)])
    with database(path) as db:
        db.executescript(script)
    with pytest.raises(LedgerError, match=r"is damaged \(row \d of answers\): restore"):
        loaded(path)


@pytest.mark.parametrize(
    ("table", "script"),
    [
        ("sessions", "UPDATE sessions SET seen = 'text'"),
        ("sessions", "UPDATE sessions SET epoch = 1.5"),
        ("sessions", "UPDATE sessions SET user = x'75'"),
        ("keys", "UPDATE keys SET secret = 'text'"),
        ("keys", "UPDATE keys SET created = x'00'"),
        # What could not be told of, and so not be ended.
        *(
            ("sessions", f"UPDATE sessions SET {column} = {value}")
            for column in ("id", "user", "name", "room")
            for value in ("'u' || char(1)", "''", f"'{'u' * 257}'")
        ),
        ("sessions", "UPDATE sessions SET kind = 'for ever'"),
        ("sessions", "UPDATE sessions SET epoch = -1"),
        ("sessions", "UPDATE sessions SET created = -1"),
        ("sessions", "UPDATE sessions SET seen = 9e999"),
        ("sessions", "UPDATE sessions SET address = CAST(x'ff' AS TEXT)"),
        ("keys", "UPDATE keys SET kid = ''"),
        ("keys", "UPDATE keys SET secret = x'01'"),
        ("keys", "UPDATE keys SET created = -1"),
    ],
)
def test_what_others_keep_is_what_it_must_be_too(path: Path, table: str, script: str) -> None:
    """It is read when somebody logs in, or swept: too late to notice."""
    with opened(path):
        pass
    with database(path) as db:
        db.execute("INSERT INTO keys VALUES ('k', zeroblob(32), 1.0)")
        db.execute(
            "INSERT INTO sessions VALUES "
            "('i', 'u', 'n', 'r', 'session', 'a', 1, 1.0, 1.0, 'b', 'c', '', '')"
        )
    assert loaded(path) == ({}, {})
    with database(path) as db:
        db.execute(script)
    with pytest.raises(LedgerError, match=rf"is damaged \(row 1 of {table}\): restore"):
        loaded(path)


@pytest.mark.parametrize(
    "script",
    [
        "UPDATE standings SET logins = 'no JSON of u1'",
        "UPDATE standings SET logins = '[]'",
        "UPDATE standings SET logins = '{\"s1\": 5}'",
        "UPDATE standings SET logins = x'80'",
        "UPDATE standings SET logins = CAST(x'80' AS TEXT)",
        "UPDATE standings SET terminations = '5'",
        f"UPDATE standings SET terminations = '{'[' * 10**5}'",
        "UPDATE answers SET answer = '[]'",
        "UPDATE answers SET answer = '{\"room of u1\": 5}'",
        "DROP TABLE answers",
    ],
)
def test_what_cannot_be_understood_is_damaged_and_not_quoted(path: Path, script: str) -> None:
    with opened(path) as file:
        file.commit({"u1": record()}, [answer("x")])
    with database(path) as db:
        db.executescript(script)
    with pytest.raises(LedgerError, match=r"damaged \([\w ]+\): restore a copy") as damaged:
        loaded(path)
    assert "u1" not in str(damaged.value).replace(str(path), "")
    assert damaged.value.__suppress_context__


def test_an_empty_file_is_a_new_ledger(path: Path) -> None:
    """What is left if the process is killed before it has written anything."""
    path.touch()
    assert loaded(path) == ({}, {})


def test_what_was_cut_off_while_it_was_made_is_made_again(path: Path, tmp_path: Path) -> None:
    with opened(path):
        file, log = path.read_bytes(), path.with_name("ledger.db-wal").read_bytes()
    assert len(log) > 4 * PAGE
    for length in range(0, len(log), 1000):
        cut_off = tmp_path / f"{length}.db"
        cut_off.write_bytes(file)
        cut_off.with_name(f"{length}.db-wal").write_bytes(log[:length])
        assert loaded(cut_off) == ({}, {})


def die_at_any_byte(parent: Connection, directory: Path) -> None:
    """Make and write ledgers, each in a process that is killed at one byte of a file.

    Tells of each how many of its commits had returned, and whether it was killed.
    """
    for limit in range(0, 28 * PAGE, 2300):
        reading, writing = os.pipe()
        if not os.fork():
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with contextlib.suppress(LedgerError), opened(directory / str(limit)) as file:
                for epoch in range(1, 6):
                    file.commit(dict.fromkeys(("u1", "u2"), record(epoch)), [answer(str(epoch))])
                    os.write(writing, b".")
            os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as returned:
            commits = len(returned.read())
        parent.send((limit, commits, os.WIFSIGNALED(os.wait()[1])))
    parent.send(None)


def test_who_is_killed_at_any_byte_leaves_whole_commits_and_none_is_missing(tmp_path: Path) -> None:
    seen = set()
    with another_process(die_at_any_byte, tmp_path) as (_, ours):
        while report := told(ours):
            limit, commits, killed = report
            records, answers = loaded(tmp_path / str(limit))
            written = len(answers)
            assert written in (commits, commits + 1)
            assert records == (dict.fromkeys(("u1", "u2"), record(written)) if written else {})
            assert answers.keys() == {str(epoch) for epoch in range(1, written + 1)}
            seen.add((commits, killed))
    # Before the first commit, after each, and not at all.
    assert seen == {*((commits, True) for commits in range(5)), (5, False)}


def run_out_of_space(parent: Connection, path: Path) -> None:
    """Commit where only so many more bytes fit, and then where there is space enough."""
    _, enough = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = path.with_name(path.name + "-wal")
    with opened(path) as file:
        for more in range(-3 * PAGE, 6 * PAGE, 700):
            file.commit({"u1": record(1), "u2": None}, [])
            resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + more, enough))
            error = None
            try:
                file.commit({"u1": record(2), "u2": record(2)}, [answer(str(more))])
            except (sqlite3.Error, OSError) as failed:
                error = str(failed)
            resource.setrlimit(resource.RLIMIT_FSIZE, (enough, enough))
            parent.send((more, error, *file.load()))
    parent.send(None)


def test_a_disk_that_is_full_at_any_byte_takes_a_commit_whole_or_not_at_all(path: Path) -> None:
    seen = []
    with another_process(run_out_of_space, path) as (_, ours):
        while report := told(ours):
            more, error, records, answers = report
            seen.append(error)
            written = {"u1": record(1)} if error else {"u1": record(2), "u2": record(2)}
            assert dict(records) == written
            assert (str(more) in {answer.id for answer in answers}) == (error is None)
    assert set(seen) == {None, "disk I/O error"}
    assert seen[0]
    assert seen[-1] is None
    assert loaded(path)[0] == written


# -- a file that was put back, or is gone -----------------------------------------------


def test_a_copy_that_was_put_back_is_nobody_elses_to_read(path: Path) -> None:
    with opened(path) as file:
        assert file.is_new
    path.chmod(0o644)
    with opened(path) as file:
        assert not file.is_new
        file.commit({"u1": record(1)}, [])
        assert {each.stat().st_mode & 0o777 for each in path.parent.glob("ledger.db*")} == {0o600}


def test_a_log_without_its_ledger_is_not_taken_for_a_new_one(path: Path) -> None:
    log = path.with_name("ledger.db-wal")
    log.write_bytes(b"what is left")
    with pytest.raises(LedgerError, match="is gone, and its log"):
        LedgerFile(path)
    assert not path.exists()
    assert log.read_bytes() == b"what is left"


def test_a_ledger_that_was_emptied_does_not_lose_its_log(path: Path) -> None:
    log = path.with_name("ledger.db-wal")
    path.touch()
    log.write_bytes(b"what is left")
    with pytest.raises(LedgerError, match="is gone, and its log"):
        LedgerFile(path)
    assert log.read_bytes() == b"what is left"


@pytest.mark.parametrize("suffix", ["-wal", ".lock"])
def test_what_is_beside_it_and_was_removed_is_noticed(path: Path, suffix: str) -> None:
    with opened(path) as file:
        path.with_name(path.name + suffix).unlink()
        with pytest.raises(FileNotFoundError):
            file.commit({"u1": record(1)}, [])
