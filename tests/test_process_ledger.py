"""What the command remembers: over restarts, over sudden deaths, and while its disk fails.

The faults are the system's own, and happen to a server that runs.
"""

import contextlib
import itertools
import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import trio

import sse_trio
from sse_trio.client import ClientMember
from sse_trio.core.messages import Joined, Terminate
from sse_trio.ledger.sqlite_file import LedgerFile

from .processes import DEADLINE, KEY, Run, Serve, Server, write_config

ROOM = "the room of Ann"


async def joins(member: ClientMember) -> None:
    with trio.fail_after(DEADLINE):
        assert isinstance(await anext(member), Joined)


async def is_terminated(member: ClientMember, *, epoch: int) -> None:
    with trio.fail_after(DEADLINE):
        event = await anext(member)
    assert isinstance(event, Terminate)
    assert event.epoch == epoch


def resolved(file: Path) -> Path:
    """As messages name it."""
    return file.resolve()


# -- a file, without being asked for ----------------------------------------------------


async def test_a_restart_remembers(serve: Serve, tmp_path: Path) -> None:
    server = await serve()
    assert (tmp_path / "sse-trio.db").stat().st_mode & 0o777 == 0o600
    async with sse_trio.open_member(server.ws, room=ROOM, session="s1") as old:
        await joins(old)
        first = await server.notify(room=ROOM, sender="s2", id="x")
        assert (first.status, first.json["epoch"], first.json["terminated"]) == (200, 1, 1)
        await is_terminated(old, epoch=1)
    server.signal(signal.SIGTERM)
    assert await server.program.ends() == 0

    again = await serve()
    async with (
        sse_trio.open_member(again.ws, room=ROOM, session="s1") as old,
        sse_trio.open_member(again.ws, room=ROOM, session="s2") as new,
    ):
        await is_terminated(old, epoch=1)
        await joins(new)
        repeated = await again.notify(room=ROOM, sender="s2", id="x")
        assert (repeated.status, repeated.json["epoch"]) == (200, 1)
        assert repeated.json["terminated"] == 1
        assert (await again.notify(room=ROOM, sender="s3", id="y")).json["epoch"] == 2
        await is_terminated(new, epoch=2)


async def test_no_answer_is_forgotten_by_who_is_killed_in_the_middle_of_many(serve: Serve) -> None:
    server = await serve()
    answered = dict.fromkeys((f"{ROOM} {number}" for number in range(8)), 0)

    async def log_in(server: Server, room: str, epoch: int) -> None:
        answer = await server.notify(room=room, sender=f"s{epoch}", id=f"{room}, {epoch}")
        assert (answer.status, answer.json["epoch"]) == (200, epoch)

    async def log_in_for_ever(room: str) -> None:
        for epoch in itertools.count(1):
            await log_in(server, room, epoch)
            answered[room] = epoch
            if sum(answered.values()) == 100:
                server.signal(signal.SIGKILL)
                nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for room in answered:
            nursery.start_soon(log_in_for_ever, room)
    assert await server.program.ends() == -signal.SIGKILL

    again = await serve()
    for room, last in answered.items():
        # A repetition is told the same, or that what was on its way has ended that login.
        repeated = await again.notify(room=room, sender=f"s{last}", id=f"{room}, {last}")
        assert repeated.status == 409 or repeated.json["epoch"] == last
        # That has one effect, too, whether it came before the death or comes now.
        for epoch in (last + 1, last + 2):
            await log_in(again, room, epoch)


async def test_a_second_server_on_the_same_file_is_refused(
    serve: Serve, run: Run, tmp_path: Path
) -> None:
    server = await serve(max_connections=1)
    second = await run("serve", "--config", "config.json")
    assert await second.ends() == 1
    assert second.out.text == ""
    holder, file = server.program.process.pid, resolved(tmp_path / "sse-trio.db")
    remedy = "stop that one, or name another file"
    assert second.err.text == (
        f"sse-trio: the ledger {file} is in use by process {holder}: {remedy}\n"
    )
    assert (await server.notify(room=ROOM)).status == 200


def diary(file: Path) -> None:
    with contextlib.closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE diary (entry TEXT)")


def text(file: Path) -> None:
    file.write_text("Dear diary\n" * 1000)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (diary, "is a database, but not a ledger: name another file"),
        (text, "file is not a database; name another file, or restore a copy"),
    ],
)
async def test_what_is_no_ledger_is_refused_before_anything_is_printed(
    run: Run, tmp_path: Path, made: Callable[[Path], None], words: str
) -> None:
    file = resolved(tmp_path / "other.db")
    made(file)
    write_config(tmp_path, port=0, authkey=KEY, max_connections=1, ledger="sqlite:///other.db")
    program = await run("serve", "--config", "config.json")
    assert await program.ends() == 1
    assert program.out.text == ""
    [line] = program.err.text.splitlines()
    assert line.startswith("sse-trio: ")
    assert str(file) in line
    assert words in line


def fill(file: Path, rooms: int) -> None:
    """Make a ledger that takes seconds to be read."""
    with contextlib.closing(LedgerFile(file)):
        pass
    login = "[1, 1.5, 1.5, true, null]"
    logins = ", ".join(f'"session {number}": {login}' for number in range(64))
    with contextlib.closing(sqlite3.connect(file)) as db, db:
        db.execute(
            "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n LIMIT ?) "
            "INSERT INTO standings SELECT 'room ' || i, 1, 1, 1.0, 1.0, ?, '[]', -1, NULL FROM n",
            (rooms, f"{{{logins}}}"),
        )


async def test_a_signal_while_the_ledger_is_read_ends_that_at_once(
    run: Run, tmp_path: Path
) -> None:
    file = tmp_path / "sse-trio.db"
    fill(file, rooms=20_000)
    write_config(tmp_path, port=0, authkey=KEY, max_connections=1)
    program = await run("serve", "--config", "config.json")
    await program.err.line("open mode")  # what it says last before it reads
    program.process.send_signal(signal.SIGTERM)
    assert await program.ends() == 1
    assert "SIGTERM: stopping now" in program.err.text
    assert program.out.text == ""
    with contextlib.closing(sqlite3.connect(file)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM standings").fetchone() == (20_000,)


# -- faults of the disk -----------------------------------------------------------------


@contextlib.contextmanager
def full(server: Server, _: Path) -> Iterator[None]:
    """No file of the server's may grow, or be written to at all."""
    process = server.program.process.pid
    soft, hard = resource.prlimit(process, resource.RLIMIT_FSIZE)
    resource.prlimit(process, resource.RLIMIT_FSIZE, (0, hard))
    yield
    resource.prlimit(process, resource.RLIMIT_FSIZE, (soft, hard))


@contextlib.contextmanager
def locked(_: Server, file: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        yield
        db.execute("ROLLBACK")


@contextlib.contextmanager
def moved(_: Server, file: Path) -> Iterator[None]:
    aside = file.with_name("aside")
    file.rename(aside)
    yield
    aside.rename(file)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (full, "disk I/O error"),
        (locked, "database is locked"),
        (moved, "No such file or directory"),
    ],
)
async def test_while_the_disk_fails_everybody_is_told_and_nothing_is_lost(
    serve: Serve,
    tmp_path: Path,
    fault: Callable[[Server, Path], AbstractContextManager[None]],
    words: str,
) -> None:
    server = await serve()
    log = server.program.err
    async with (
        sse_trio.open_member(server.ws, room=ROOM, session="s1") as old,
        sse_trio.open_member(server.ws, room="another", session="s1") as bystander,
    ):
        await joins(old)
        await joins(bystander)
        assert (await server.get("/readyz")).status == 200
        with fault(server, tmp_path / "sse-trio.db"):
            failed = await server.notify(room=ROOM, sender="s2", id="x")
            assert (failed.status, failed.json["status"]) == (503, 503)
            await is_terminated(old, epoch=1)
            await log.line(f"ERROR.*the ledger .*sse-trio.db cannot be written: {words}$")
            assert (await server.get("/readyz")).status == 503
            assert (await server.get("/healthz")).status == 200
            # Nobody is kept out, nor let in again, because of the disk.
            async with (
                sse_trio.open_member(server.ws, room=ROOM, session="s1") as old,
                sse_trio.open_member(server.ws, room=ROOM, session="s2") as new,
            ):
                await is_terminated(old, epoch=1)
                await joins(new)
        await log.line("WARNING.*the ledger .*sse-trio.db can be written again$")
        assert (await server.get("/readyz")).status == 200
        repeated = await server.notify(room=ROOM, sender="s2", id="x")
        assert (repeated.status, repeated.json["epoch"]) == (200, 1)
        assert (await server.notify(room="another", sender="s2")).json["terminated"] == 1
        await is_terminated(bystander, epoch=1)
    assert ROOM not in log.text


async def test_what_a_full_disk_could_not_take_is_written_later_whoever_asks_for_it(
    serve: Serve, tmp_path: Path
) -> None:
    server = await serve()
    with full(server, tmp_path):
        for room in (ROOM, "another"):
            assert (await server.notify(room=room, sender="s2", id=room)).status == 503
    await server.program.err.line("can be written again$")
    # One is asked for again, the other is not.
    assert (await server.notify(room=ROOM, sender="s2", id=ROOM)).json["epoch"] == 1
    server.signal(signal.SIGKILL)
    assert await server.program.ends() == -signal.SIGKILL

    again = await serve()
    for room in (ROOM, "another"):
        async with sse_trio.open_member(again.ws, room=room, session="s1") as old:
            await joins(old)
            answer = await again.notify(room=room, sender="s2", id=room)
            assert (answer.status, answer.json["epoch"]) == (200, 1)
            assert (await again.notify(room=room, sender="s3")).json["epoch"] == 2
            await is_terminated(old, epoch=2)
