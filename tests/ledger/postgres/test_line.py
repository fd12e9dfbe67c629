"""One connection: calls, and what is heard between them."""

import threading
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial
from typing import LiteralString

import pytest
import trio
import trio.testing

from sse_trio.ledger.cluster.engine import EngineError
from sse_trio.ledger.postgres.connection import Connection
from sse_trio.ledger.postgres.line import Line, Value
from sse_trio.ledger.postgres.settings import Settings

from ...postgres import Server

PATIENCE = 20.0
# Enough not to fit into what the kernel keeps on its way.
MUCH = "x" * 10_000_000


@pytest.fixture
async def line(postgres: Server) -> AsyncIterator[Line]:
    def listen(connection: Connection) -> None:
        connection.execute("LISTEN test")

    line = Line(Settings(postgres.url()).parameters(), listen)
    line.own = "me"
    yield line
    line.drop()


async def asked(line: Line, statement: LiteralString, *parameters: Value) -> object:
    return await line.call(statement, *parameters, patience=PATIENCE)


WHO: LiteralString = "SELECT to_json(pg_backend_pid())"


async def test_what_is_sent_and_what_is_said(line: Line) -> None:
    assert await asked(line, "SELECT to_json($1::text || $2)", "ä\n'", 5) == "ä\n'5"
    assert await asked(line, "SELECT to_json($1::bytea = '\\x00ff')", b"\0\xff") is True
    assert await asked(line, "SELECT to_json(NOT $1::boolean)", True) is False
    assert await asked(line, "SELECT to_json($1::double precision)", 1.5) == 1.5
    assert await asked(line, "SELECT to_json($1::text)", None) is None
    assert await asked(line, "SELECT FROM pg_sleep(0)") is None
    assert await asked(line, "SELECT '1' WHERE false") is None
    assert await asked(line, "SET lock_timeout = 0") is None


async def test_text_that_libpq_would_cut_off_is_refused(line: Line) -> None:
    with pytest.raises(EngineError, match="cannot be stored"):
        await asked(line, "SELECT to_json($1::text)", "a\0b")


async def test_what_does_not_fit_on_its_way_arrives(line: Line) -> None:
    assert await asked(line, "SELECT to_json($1::text)", MUCH) == MUCH


async def test_a_connection_on_which_something_has_failed_is_not_used_again(line: Line) -> None:
    first = await asked(line, WHO)
    with pytest.raises(EngineError, match=r"^division by zero \(22012\)$"):
        await asked(line, "SELECT to_json(1 / $1::int)", 0)
    assert await asked(line, WHO) != first


async def test_what_comes_of_a_posted_statement_disturbs_nobody(line: Line) -> None:
    before = await asked(line, WHO)
    for _ in range(2):
        await line.post("SELECT to_json(1 / $1::int)", 0, patience=PATIENCE)
        await line.post("SELECT to_json($1::int)", 0, patience=PATIENCE)
    assert await asked(line, WHO) == before


async def test_nor_does_it_that_it_could_not_be_sent(postgres: Server, line: Line) -> None:
    before = await asked(line, WHO)
    with closing(postgres.connect()) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (before,))
    for _ in range(2):
        await line.post(WHO, patience=PATIENCE)
    assert await asked(line, WHO) != before


async def test_a_call_that_comes_when_the_line_is_about_to_listen_does_not_wait_for_news(
    line: Line,
) -> None:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await asked(line, "SELECT '1'")

            async def call_twice() -> None:
                await asked(line, "SELECT FROM pg_sleep(0.01)")
                # The turn has just gone to whoever waits for news, and has not run since.
                await asked(line, "SELECT '1'")
                nursery.cancel_scope.cancel()

            nursery.start_soon(call_twice)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(line.heard)


async def hears(line: Line) -> bool:
    """Whether there is news, when all that was said has arrived."""
    await asked(line, "SELECT '1'")
    heard = False
    async with trio.open_nursery() as nursery:

        async def hear() -> None:
            nonlocal heard
            await line.heard()
            heard = True

        nursery.start_soon(hear)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    return heard


async def test_what_it_says_itself_is_no_news(line: Line) -> None:
    # A connection has its own notifications with the answer to its question.
    for said, is_news in (("me", False), ("you", True), ("me", False)):
        await asked(line, "SELECT FROM pg_notify('test', $1)", said)
        assert await hears(line) is is_news


async def test_what_others_say_between_two_calls_is_heard(postgres: Server, line: Line) -> None:
    await asked(line, "SELECT '1'")
    with closing(postgres.connect()) as other, trio.fail_after(PATIENCE):
        other.execute("NOTIFY test, 'me'")
        other.execute("NOTIFY test, 'you'")
        await line.heard()
    assert not await hears(line)


async def test_a_connection_that_nobody_waits_for_any_more_is_closed(postgres: Server) -> None:
    """It is made in a thread, which nobody can stop."""
    connections: list[Connection] = []
    is_made, goes_on = threading.Event(), threading.Event()

    def begin(connection: Connection) -> None:
        connections.append(connection)
        is_made.set()
        goes_on.wait(PATIENCE)

    line = Line(Settings(postgres.url()).parameters(), begin)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(line.call, "SELECT '1'", patience=PATIENCE))
        await trio.to_thread.run_sync(is_made.wait)
        nursery.cancel_scope.cancel()
    [connection] = connections
    assert not connection.closed
    goes_on.set()
    with trio.fail_after(PATIENCE):
        while not connection.closed:  # noqa: ASYNC110, a thread closes it
            await trio.sleep(0.001)


async def test_who_asks_while_it_is_dropped_is_told(line: Line) -> None:
    await asked(line, "SELECT '1'")
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(EngineError, match="was closed"):
                await asked(line, "SELECT FROM pg_sleep(60)")

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        line.drop()
