"""What only a real database does: it is away, comes again, is a standby, and tells of news."""

import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from sse_trio import LedgerError
from sse_trio.ledger.cluster.engine import Batch, Committed, EngineError, Expelled, Told, Write
from sse_trio.ledger.postgres.engine import PostgresEngine
from sse_trio.ledger.postgres.settings import Settings
from sse_trio.ledger.proposals import Won
from sse_trio.ledger.sessions import OfRoom

from ...postgres import Server
from ..cluster.engines import PostgresCluster, in_postgres
from ..cluster.test_engines import (
    Member,
    answer,
    changes,
    found,
    join,
    record,
    session,
    won,
)
from .proxy import proxied

DATABASE = "engine"
DEADLINE = 60

_BACKENDS = "FROM pg_stat_activity WHERE application_name = 'sse_trio' AND pid <> pg_backend_pid()"
_WAITING = f"SELECT count(*) {_BACKENDS} AND wait_event_type = 'Lock'"


@pytest.fixture
async def cluster(postgres: Server) -> AsyncIterator[PostgresCluster]:
    async with in_postgres(postgres, DATABASE) as found:
        yield found


async def until(is_so: Callable[[], object]) -> None:
    """Ask again and again until something is so."""
    with trio.fail_after(DEADLINE):
        while not is_so():  # noqa: ASYNC110
            await trio.sleep(0.01)


def count(server: Server, question: str) -> int:
    with server.connect(DATABASE) as connection:
        row = connection.execute(question.encode()).fetchone()
        assert row is not None
        return int(row[0])


# -- in doubt ---------------------------------------------------------------------------


async def test_an_answer_that_is_lost_after_the_commit_comes_the_second_time(
    cluster: PostgresCluster,
) -> None:
    async with proxied(cluster.server.port) as proxy:
        url = cluster.server.url(DATABASE, port=proxy.port)
        async with PostgresEngine.open(Settings(url, patience=20.0)) as engine:
            await engine.register("a", address="", software="")
            member = Member(engine, "a")
            first = await member.make("u1")
            # Takes in, too, what came of the hint: the next answer is that to the commit.
            await member.commit()
            write = Write("u1", first, record(2), answer("x"))
            proxy.cuts = True
            with pytest.raises(EngineError):
                await member.write(write)
            assert not proxy.cuts
            assert count(cluster.server, "SELECT count(*) FROM sse_trio.log") == 3
            (result,) = (await member.again(write)).results
            assert isinstance(result, Won)
            assert await member.read("u1") is not None
            assert count(cluster.server, "SELECT count(*) FROM sse_trio.log") == 3


async def test_the_second_answer_waits_for_the_standby_too(cluster: PostgresCluster) -> None:
    """Which it does only if its transaction has written something."""
    a = await join(cluster, "a")
    await a.make("u1")
    question = "SELECT xmin::text::bigint FROM sse_trio.log"
    before = count(cluster.server, question)
    await a.again(Write("u1", None, record()))
    assert count(cluster.server, question) > before


async def test_a_commit_that_takes_too_long_is_in_doubt_and_goes_on_there(
    cluster: PostgresCluster,
) -> None:
    async with PostgresEngine.open(Settings(cluster.url, committing=0.5)) as engine:
        await engine.register("a", address="", software="")
        member = Member(engine, "a")
        first = await member.make("u1")
        write = Write("u1", first, record(2))
        with cluster.server.connect(DATABASE) as holder, holder.transaction():
            holder.execute("SELECT FROM sse_trio.rooms FOR UPDATE")
            with pytest.raises(EngineError, match=r"too long|lock timeout"):
                await member.write(write)
        (result,) = (await member.again(write)).results
        assert isinstance(result, Won)


async def test_who_is_cancelled_waits_no_longer(cluster: PostgresCluster) -> None:
    a = await join(cluster, "a")
    first = await a.make("u1")
    write = Write("u1", first, record(2))
    with cluster.server.connect(DATABASE) as holder, holder.transaction():
        holder.execute("SELECT FROM sse_trio.rooms FOR UPDATE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.write, write)
            await until(
                lambda: count(
                    cluster.server, f"SELECT count(*) {_BACKENDS} AND wait_event_type = 'Lock'"
                )
            )
            nursery.cancel_scope.cancel()
    (result,) = (await a.again(write)).results
    assert isinstance(result, Won)


async def test_an_expulsion_waits_for_a_commit_that_is_on_its_way(cluster: PostgresCluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    first = await a.make("u1")
    async with trio.open_nursery() as nursery:
        with cluster.server.connect(DATABASE) as holder, holder.transaction():
            holder.execute("SELECT FROM sse_trio.rooms FOR UPDATE")
            nursery.start_soon(a.write, Write("u1", first, record(2)))
            await until(lambda: count(cluster.server, _WAITING) == 1)
            nursery.start_soon(b.engine.expel, "a", 0)
            await until(lambda: count(cluster.server, _WAITING) == 2)
    found = await b.read("u1")
    assert found is not None
    assert found.record == record(2)
    with pytest.raises(Expelled):
        await a.make("u2")


async def test_a_registration_waits_for_a_commit_that_has_found_the_node_alone(
    cluster: PostgresCluster,
) -> None:
    """Also for one that is written again. So it begins with what nobody tells it."""
    a = await join(cluster, "a")
    first = await a.make("u1")
    found: list[Committed] = []

    async def commit() -> None:
        found.append(await a.commit(Write("u1", first, record(2))))

    async def register() -> None:
        async with PostgresEngine.open(Settings(cluster.url)) as engine:
            registered = await engine.register("b", address="", software="")
            assert registered.position == {"a": 2}

    async with trio.open_nursery() as nursery:
        with cluster.server.connect(DATABASE) as holder, holder.transaction():
            holder.execute("SELECT FROM sse_trio.rooms FOR UPDATE")
            nursery.start_soon(commit)
            await until(lambda: count(cluster.server, _WAITING) == 1)
            nursery.start_soon(register)
            await until(lambda: count(cluster.server, _WAITING) == 2)
    assert [each.is_alone for each in found] == [True]
    assert not (await a.again(Write("u1", first, record(2)))).is_alone


async def test_a_registration_that_waits_for_a_commit_gives_up_before_it_stops_the_others(
    cluster: PostgresCluster,
) -> None:
    b = await join(cluster, "b")
    async with PostgresEngine.open(Settings(cluster.url)) as engine:
        with cluster.server.connect(DATABASE) as holder, holder.transaction():
            holder.execute("SELECT FROM sse_trio.nodes FOR KEY SHARE")
            with pytest.raises(EngineError, match="lock timeout"):
                await engine.register("c", address="", software="")
            await b.engine.report("b", {"b": 0}, [])


async def test_with_another_isolation_no_node_counts_as_alone(cluster: PostgresCluster) -> None:
    url = f"{cluster.url}?options=-c%20default_transaction_isolation%3Drepeatable%5C%20read"
    async with PostgresEngine.open(Settings(url)) as engine:
        await engine.register("a", address="", software="")
        assert not (await Member(engine, "a").commit(Write("u1", None, record()))).is_alone


# -- away, and there again --------------------------------------------------------------


async def test_connections_that_are_lost_are_made_again(cluster: PostgresCluster) -> None:
    a = await join(cluster, "a")
    await a.make("u1")
    calls: list[Callable[[], Any]] = [
        lambda: a.engine.commit(Batch("a", 2, [])),
        lambda: a.engine.poll("a", {}, []),
        lambda: a.engine.read(["u1"]),
    ]
    for call in calls:
        await call()
    # That of the one that has opened the database is not there any more.
    assert count(cluster.server, f"SELECT count(pg_terminate_backend(pid)) {_BACKENDS}") == 3
    for call in calls:
        with pytest.raises(EngineError):
            await call()
        await call()


async def test_a_server_that_has_crashed_is_found_again_with_all_but_the_counts(
    cluster: PostgresCluster,
) -> None:
    a = await join(cluster, "a")
    version = await a.make("u1")
    before = await a.engine.poll("a", {}, [("a", 1)])
    await a.engine.report("a", {"a": 1}, [Told("a", 1, "u1", "a", 1, 1, True)])
    cluster.server.stop(signal.SIGQUIT)
    try:
        for _ in range(2):
            with pytest.raises(EngineError):
                await a.engine.poll("a", {}, [("a", 1)])
            with pytest.raises(EngineError):
                await a.again()
    finally:
        cluster.server.start()
    after = await a.engine.poll("a", {}, [("a", 1)])
    assert (after.identity, after.entries, after.told) == (before.identity, before.entries, [])
    (result,) = (await a.again(Write("u1", None, record()))).results
    assert result == Won(version)


async def test_a_standby_is_refused_until_it_is_promoted(postgres: Server) -> None:
    directory = postgres.directory / "standby"
    directory.mkdir()
    server = Server(postgres.programs, directory)
    server.make()
    (directory / "data/standby.signal").touch()
    server.start(is_standby=True)
    try:
        with pytest.raises(LedgerError, match="standby"):
            async with PostgresEngine.open(Settings(server.url())):
                pass
        with server.connect() as connection:
            connection.execute("SELECT pg_promote()")
        async with PostgresEngine.open(Settings(server.url())) as engine:
            registered = await engine.register("a", address="", software="")
            assert registered.identity.timeline == 2
            _, other = await engine.read([])
            assert other == registered.identity
    finally:
        server.stop(signal.SIGQUIT)


async def test_there_is_no_server(postgres: Server) -> None:
    async with proxied(postgres.port) as proxy:
        port = proxy.port
    with pytest.raises(LedgerError, match=r"cannot open the ledger's database: .*refused"):
        async with PostgresEngine.open(Settings(postgres.url(port=port))):
            pass


async def test_a_pooler_takes_no_options_and_gives_no_hints(cluster: PostgresCluster) -> None:
    async with proxied(cluster.server.port) as proxy:
        proxy.refuses_options = True
        url = cluster.server.url(DATABASE, port=proxy.port)
        async with PostgresEngine.open(Settings(url), feed_url=cluster.url) as engine:
            await engine.register("a", address="", software="")
            await engine.poll("a", {}, [])
            b = await join(cluster, "b")
            await b.make("u1")
            with trio.fail_after(DEADLINE):
                await engine.hinted()
            found, _ = await engine.read(["u1"])
            assert found.keys() == {"u1"}


# -- hints ------------------------------------------------------------------------------


async def test_what_others_write_is_hinted_at(cluster: PostgresCluster) -> None:
    a, b = await join(cluster, "a"), await join(cluster, "b")
    await a.engine.poll("a", {}, [])
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.engine.hinted)
            await trio.testing.wait_all_tasks_blocked()
            # What comes while somebody else uses the connection counts too.
            await a.engine.poll("a", {}, [])
            await b.make("u1")
        await b.make("u2")
        for _ in range(3):
            await a.engine.poll("a", {}, [])
        await a.engine.hinted()


async def test_a_report_is_hinted_at_to_who_waits_for_it(cluster: PostgresCluster) -> None:
    a, b, c = [await join(cluster, name) for name in "abc"]
    for member in (a, c):
        await member.engine.poll(member.name, {}, [])
    with trio.fail_after(DEADLINE):
        await b.engine.report("b", {"a": 1}, [])
        await a.engine.hinted()
        # The same again is no news, and neither is what concerns somebody else.
        await b.engine.report("b", {"a": 1, "b": 1}, [])
        await b.engine.report("b", {"a": 1, "b": 1, "c": 1}, [])
        await c.engine.hinted()
        await b.engine.report("b", {"a": 1, "b": 1, "c": 1}, [Told("a", 1, "u1", "b", 1, 1, True)])
        await a.engine.hinted()
    for member in (a, c):
        with trio.move_on_after(0) as nothing:
            await member.engine.hinted()
        assert nothing.cancelled_caught


async def test_who_waits_for_hints_learns_that_the_connection_is_lost(
    cluster: PostgresCluster,
) -> None:
    a = await join(cluster, "a")
    await a.engine.poll("a", {}, [])
    with trio.fail_after(DEADLINE):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(a.engine.hinted)
            await trio.testing.wait_all_tasks_blocked()
            count(cluster.server, f"SELECT count(pg_terminate_backend(pid)) {_BACKENDS}")
        await a.engine.poll("a", {}, [])


# -- what is read -----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"epoch": "ann"}', "null"])
async def test_a_record_that_no_node_has_written_is_not_believed_nor_shown(
    cluster: PostgresCluster, text: str
) -> None:
    a = await join(cluster, "a")
    await a.make("u1")
    with cluster.server.connect(DATABASE) as connection:
        connection.execute("UPDATE sse_trio.rooms SET record = %s", (text,))
    with pytest.raises(EngineError, match=r"^the database is damaged \(\w+\)$"):
        await a.read("u1")
    with pytest.raises(EngineError, match=r"^the database is damaged \(\w+\)$"):
        await a.write(Write("u1", None, record()))
    # Nobody else is kept from reading the log by it.
    poll = await a.engine.poll("another node", {}, [])
    assert [dict(entry.rooms) for entry in poll.entries] == [{"u1": 1}, {}]
    assert poll.rooms == {}


async def test_members_of_a_newer_record_are_ignored(cluster: PostgresCluster) -> None:
    a = await join(cluster, "a")
    await a.make("u1")
    with cluster.server.connect(DATABASE) as connection:
        connection.execute(
            """UPDATE sse_trio.rooms SET record = '{"new":1,' || substr(record, 2)"""
        )
    found = await a.read("u1")
    assert found is not None
    assert found.record == record()


async def test_a_great_many_are_trimmed_in_pieces(cluster: PostgresCluster) -> None:
    a = await join(cluster, "a")
    with cluster.server.connect(DATABASE) as connection:
        connection.execute(
            "INSERT INTO sse_trio.answers SELECT n::text, n, '', 'a', 1 "
            "FROM generate_series(1, 20001) n"
        )
    await a.engine.trim(20000.5)
    assert count(cluster.server, "SELECT count(*) FROM sse_trio.answers") == 1


async def test_one_node_trims_at_a_time_and_the_other_does_not_wait(
    cluster: PostgresCluster,
) -> None:
    a = await join(cluster, "a")
    await a.write(Write("u1", None, record(), answer("x")))
    with cluster.server.connect(DATABASE) as holder, holder.transaction():
        holder.execute("SELECT sse_trio.trim(0, 1)")
        await a.engine.trim(1e12)
        assert count(cluster.server, "SELECT count(*) FROM sse_trio.answers") == 1
    await a.engine.trim(1e12)
    assert count(cluster.server, "SELECT count(*) FROM sse_trio.answers") == 0


# -- sessions ---------------------------------------------------------------------------


async def test_a_batch_that_overtakes_its_first_attempt_changes_no_session_again(
    cluster: PostgresCluster,
) -> None:
    """It waits for the first one, which has not committed yet, before it looks for it."""
    a, again, b = await join(cluster, "a"), await cluster.engine(), await join(cluster, "b")
    write = Write("u1", None, record(), sessions=changes(session("s1")))
    batch = Batch("a", 1, [write])
    results: list[Any] = []

    async def commit(engine: Any) -> None:
        results.append((await engine.commit(batch)).results)

    with cluster.server.connect(DATABASE) as connection:
        connection.autocommit = False
        # It holds up the first attempt in the middle.
        connection.execute("LOCK TABLE sse_trio.sessions IN SHARE MODE")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(commit, a.engine)
            await until(lambda: count(cluster.server, _WAITING) == 1)
            nursery.start_soon(commit, again)
            await until(lambda: count(cluster.server, _WAITING) == 2)
            connection.rollback()
    (first,), (second,) = results
    assert first == second
    await b.write(Write("u1", won(first), record(2), sessions=changes(ended=["s1"])))
    assert await found(b, OfRoom("u1")) == []
    await again.commit(batch)
    assert await found(b, OfRoom("u1")) == []
