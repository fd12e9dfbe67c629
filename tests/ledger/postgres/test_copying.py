"""A ledger is copied from SQLite to PostgreSQL and back, whole or not at all."""

import contextlib
import re
import secrets
import sqlite3
import weakref
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import psycopg
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import sse_trio
from sse_trio import LedgerError
from sse_trio.core.logins import Record
from sse_trio.core.notify import Answer
from sse_trio.ledger.checks import SESSION
from sse_trio.ledger.copying import BATCH, Contents, copy, opened
from sse_trio.ledger.sqlite_file import LedgerFile
from sse_trio.ledger_url import to_ledger

from ...postgres import Server
from ...strategies import names
from ...support import KEY
from ..test_sqlite_file import answer, answers, record, records

MANY = 2 * BATCH + 1


@pytest.fixture
def database(postgres: Server) -> str:
    """The URL of a database of the test's own, which no node has used."""
    return postgres.create(f"copy_{secrets.token_hex(4)}")


def at(path: Path) -> str:
    return to_ledger(f"sqlite:///{path}")


def write(path: Path, rooms: Mapping[str, Record], given: Collection[Answer] = ()) -> str:
    """Make a ledger in a file; return its URL."""
    file = LedgerFile(path)
    file.commit(rooms, given)
    file.close()
    return at(path)


def contents(ledger: str) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that is stored there, as it is stored."""
    if ledger.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(ledger.removeprefix("sqlite:///"))) as db, db:
            return {
                table: db.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()
                for table in ("standings", "answers", "sessions", "keys")
            }
    with psycopg.connect(ledger) as connection:
        return {
            table: connection.execute(
                f"SELECT * FROM sse_trio.{table} ORDER BY 1".encode()
            ).fetchall()
            for table in ("rooms", "answers", "nodes", "sessions", "keys")
        }


def copied(source: str, target: str) -> Mapping[str, int]:
    with opened(source, is_target=False) as a, opened(target, is_target=True) as b:
        return copy(a, b)


def many() -> dict[str, Record]:
    return {f"u{n}": record(epoch=n, touched=float(n)) for n in range(MANY)}


# -- what is copied ---------------------------------------------------------------------


def real(record: Record) -> Record:
    """Touched at a time that there can be: PostgreSQL does not divide a smaller number by a day."""
    return attrs.evolve(record, touched=max(record.touched, 1e-300))


@given(
    st.dictionaries(names, records.map(real), max_size=9),
    st.lists(answers, max_size=5, unique_by=lambda answer: answer.id),
)
@settings(max_examples=6)
def test_there_and_back_nothing_has_changed(
    postgres: Server,
    tmp_path_factory: pytest.TempPathFactory,
    rooms: dict[str, Record],
    given: list[Answer],
) -> None:
    where = tmp_path_factory.mktemp("copies")
    database = postgres.create(f"copy_{secrets.token_hex(4)}")
    first, last = write(where / "first", rooms, given), at(where / "last")
    before = contents(first)
    assert len(before["standings"]) == len(rooms)
    counts = {"rooms": len(rooms), "answers": len(before["answers"]), "sessions": 0, "keys": 0}
    assert copied(first, database) == counts
    assert copied(database, last) == counts
    assert contents(first) == contents(last) == before


def test_more_than_a_batch_of_each(database: str, tmp_path: Path) -> None:
    given = [answer(f"i{n}", at=1000.0 + n / 100) for n in range(MANY)]
    first, last = write(tmp_path / "first", many(), given), at(tmp_path / "last")
    told: list[tuple[str, int]] = []
    with opened(first, is_target=False) as a, opened(database, is_target=True) as b:
        copy(a, b, lambda kind, count: told.append((kind, count)))
    kinds = ("rooms", "answers")
    assert told == [(kind, count) for kind in kinds for count in (BATCH, 2 * BATCH)]
    copied(database, last)
    assert contents(last) == contents(first)


def test_sessions_and_keys_are_copied_too(database: str, tmp_path: Path) -> None:
    first, last = write(tmp_path / "first", {"u1": record()}), at(tmp_path / "last")
    row = ("s1", "7", "Ada é", "Users", "u1", "session", "web", 1, 2.5, 3.5, "k1", "Firefox", "")
    with contextlib.closing(sqlite3.connect(tmp_path / "first")) as db, db:
        marks = ", ".join("?" * len(row))
        db.execute(f"INSERT INTO sessions ({SESSION}) VALUES ({marks})", row)
        db.execute("INSERT INTO keys VALUES ('k1', ?, 1.5)", (bytes(range(32)),))
    assert copied(first, database) == {"rooms": 1, "answers": 0, "sessions": 1, "keys": 1}
    assert refused(first, database) == "the database is not empty: name another one"
    copied(database, last)
    assert contents(last) == contents(first)


async def test_what_was_copied_counts_at_a_node(
    database: str, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Who has ended stays so, who stands can be ended, and an `id` has no second effect."""
    path = tmp_path / "first"
    config = sse_trio.Config(port=0, authkey=KEY, ledger=at(path))
    async with trio.open_nursery() as own:
        hub: sse_trio.Hub = await own.start(sse_trio.serve, config)
        old = await hub.notify("u1", sender="old")
        new = await hub.notify("u1", sender="new", id="x")
        hub.drain()
    await trio.to_thread.run_sync(copied, at(path), database)
    node: sse_trio.Hub = await nursery.start(
        sse_trio.serve, attrs.evolve(config, ledger=database, ledger_timeout=10)
    )
    again = await node.notify("u1", sender="new", id="x")
    assert (again.epoch, again.nodes, again.lapsed) == (new.epoch, 0, 0)
    await node.read("u1")
    assert [node.check(token=each.token).active for each in (old, new)] == [False, True]
    assert (await node.notify("u1", sender="newest")).epoch == new.epoch + 1


# -- what is refused --------------------------------------------------------------------


def refused(source: str, target: str) -> str:
    with pytest.raises(LedgerError) as error:
        copied(source, target)
    return str(error.value)


def test_a_target_that_is_not_empty(database: str, tmp_path: Path) -> None:
    first, last = write(tmp_path / "first", many()), write(tmp_path / "last", {"u1": record()})
    before = contents(last)
    assert refused(first, last) == f"the ledger {tmp_path / 'last'} is not empty: name another file"
    assert contents(last) == before
    copied(first, database)
    before = contents(database)
    assert refused(last, database) == "the database is not empty: name another one"
    assert contents(database) == before


@pytest.mark.parametrize("table", ["sessions", "keys"])
def test_a_file_with_other_things_is_not_empty(tmp_path: Path, table: str) -> None:
    first, last = write(tmp_path / "first", {}), write(tmp_path / "last", {})
    with contextlib.closing(sqlite3.connect(tmp_path / "last")) as db, db:
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        places = ", ".join("?" * len(columns))
        db.execute(f"INSERT INTO {table} VALUES ({places})", [1] * len(columns))
    assert "is not empty" in refused(first, last)


@pytest.mark.parametrize("is_target", [False, True])
def test_a_file_that_a_server_uses(database: str, tmp_path: Path, is_target: bool) -> None:
    write(tmp_path / "used", {})
    files = at(tmp_path / "other" if is_target else tmp_path / "used"), at(tmp_path / "used")
    write(tmp_path / "other", {})
    server = LedgerFile(tmp_path / "used")
    assert "is in use by process" in refused(files[0], files[1] if is_target else database)
    server.close()


def register(
    connection: psycopg.Connection[Any], node: str, wrote: float | None, registered: float = 0
) -> None:
    """Have a node that registered, and perhaps wrote, that many seconds ago."""
    connection.execute("SELECT sse_trio.register(%s, 'host:8080', '')", (node,))
    connection.execute(
        "UPDATE sse_trio.nodes SET registered = registered - %s WHERE node = %s", (registered, node)
    )
    if wrote is not None:
        connection.execute(
            "INSERT INTO sse_trio.log VALUES (%s, 1, sse_trio.wall() - %s, '{}', '{}')",
            (node, wrote),
        )


@pytest.mark.parametrize(
    ("wrote", "registered", "said"),
    [
        (3.0, 900.0, r"\d+ s ago"),
        (30.0, 900.0, r"[3-5]\d s ago"),
        (None, 0.0, r"\d+ s ago"),
        (None, 30.0, r"[3-5]\d s ago"),
    ],
)
def test_a_database_that_a_node_uses(
    database: str, tmp_path: Path, wrote: float | None, registered: float, said: str
) -> None:
    first = write(tmp_path / "first", {"u1": record()})
    copied(write(tmp_path / "empty", {}), database)
    with psycopg.connect(database) as connection:
        register(connection, "n0", None, 900)
        register(connection, "n1", wrote, registered)
    begins = (
        "the database is in use by the node n1 at host:8080, "
        f"which wrote or registered {said}: stop"
    )
    assert re.match(begins, refused(first, database))
    assert re.match(begins, refused(database, at(tmp_path / "last")))


@pytest.mark.parametrize("wrote", [61.0, None])
def test_a_node_that_was_killed_keeps_nobody_from_copying(
    database: str, tmp_path: Path, wrote: float | None
) -> None:
    """It may never have written: it was killed as soon as it was registered."""
    first = write(tmp_path / "first", {"u1": record()})
    copied(write(tmp_path / "empty", {}), database)
    with psycopg.connect(database) as connection:
        register(connection, "n1", wrote, 61)
    copied(first, database)
    # If it was only paused, it can write nothing when it wakes up.
    assert contents(database)["nodes"] == []
    with psycopg.connect(database) as connection:
        register(connection, "n2", wrote, 61)
    copied(database, at(tmp_path / "last"))
    assert contents(at(tmp_path / "last")) == contents(first)


def test_no_node_registers_during_a_copy(database: str, tmp_path: Path) -> None:
    copied(write(tmp_path / "empty", {}), database)
    for is_target in (False, True):
        with (
            opened(database, is_target=is_target),
            psycopg.connect(database, options="-c lock_timeout=100") as connection,
            pytest.raises(psycopg.errors.LockNotAvailable),
        ):
            register(connection, "n1", None)


def test_a_source_that_is_none(database: str, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    assert refused(at(nothing), database) == f"there is no ledger {nothing}"
    assert not nothing.exists()
    last = at(tmp_path / "last")
    assert refused(database, last) == "the database is not a ledger: no node has used it yet"


# -- all or nothing ---------------------------------------------------------------------


def damage(ledger: str) -> str:
    """Make the last room one that no server can have written; return where that is told."""
    if ledger.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(ledger.removeprefix("sqlite:///"))) as db, db:
            last = "(SELECT max(room) FROM standings)"
            db.execute(f"UPDATE standings SET epoch = -1 WHERE room = {last}")
        return f"row {MANY} of standings"
    with psycopg.connect(ledger) as connection:
        connection.execute("UPDATE sse_trio.rooms SET record = 'x' WHERE room = 'u7'")
    return "of rooms"


@pytest.mark.parametrize("back", [False, True])
def test_a_copy_that_fails_leaves_the_target_empty(
    database: str, tmp_path: Path, back: bool
) -> None:
    source, target = write(tmp_path / "first", many()), database
    if back:
        copied(source, target)
        source, target = target, at(tmp_path / "last")
    where = damage(source)
    assert where in refused(source, target)
    assert "u7" not in refused(source, target)
    assert not any(contents(target).values())
    copied(write(tmp_path / "good", {"u1": record()}), target)


@attrs.define(eq=False)
class Lazy:
    """A source that makes each row when it is asked for, and knows how many are still there."""

    most: int = 0
    _alive: weakref.WeakSet[Record] = attrs.Factory(weakref.WeakSet)

    def read(self, kind: str) -> Iterator[Any]:
        for n in range(MANY if kind == "rooms" else 0):
            made = Hashable(*attrs.astuple(record(), recurse=False))
            self._alive.add(made)
            self.most = max(self.most, len(self._alive))
            yield f"u{n}", made
            del made

    def fill(self, contents: Contents) -> None:
        raise NotImplementedError


class Hashable(Record):
    """A record that a set can hold by its identity."""

    __hash__ = object.__hash__


@pytest.mark.parametrize("kind", ["postgres", "sqlite"])
def test_what_is_written_is_not_kept_in_memory(database: str, tmp_path: Path, kind: str) -> None:
    source = Lazy()
    with opened(database if kind == "postgres" else at(tmp_path / "x"), is_target=True) as target:
        copy(source, target)
    assert source.most <= 3
