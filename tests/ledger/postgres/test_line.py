"""One connection: calls, and what is heard between them."""

import threading
from collections.abc import AsyncIterator
from contextlib import closing
from functools import partial

import pytest
import trio
import trio.testing

from sse_trio.ledger.cluster.engine import EngineError
from sse_trio.ledger.postgres.connection import Connection
from sse_trio.ledger.postgres.line import Line
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


async def asked(line: Line, *questions: tuple[object, ...]) -> list[object]:
    return list(await line.call(*questions, patience=PATIENCE))


async def test_each_question_has_its_answer_and_its_transaction(line: Line) -> None:
    times = [("SELECT to_json(extract(epoch FROM now()))",)] * 2
    first, second = await asked(line, *times)
    assert first != second
    answers = await asked(
        line,
        ("SELECT to_json($1::text || $2)", "ä\n'", 5),
        (
            "SELECT json_build_array($1::bytea = '\\x00ff', $2::boolean, $3::float8)",
            b"\0\xff",
            True,
            1.5,
        ),
        ("SELECT FROM pg_sleep(0)",),
        ("SET lock_timeout = 0",),
        ("SELECT to_json($1::text)", None),
    )
    assert answers == ["ä\n'5", [True, True, 1.5], None, None, None]


async def test_what_does_not_fit_on_its_way_arrives(line: Line) -> None:
    assert await asked(line, ("SELECT to_json($1::text)", MUCH), ("SELECT '1'",)) == [MUCH, 1]


async def test_a_question_that_fails_is_one_for_a_new_connection(line: Line) -> None:
    who = ("SELECT to_json(pg_backend_pid())",)
    [first] = await asked(line, who)
    with pytest.raises(EngineError, match=r"^division by zero \(22012\)$"):
        await asked(line, ("SELECT to_json(1 / $1::int)", 0), who)
    assert await asked(line, who) != [first]


async def test_what_comes_of_a_posted_question_disturbs_nobody(line: Line) -> None:
    who = ("SELECT to_json(pg_backend_pid())",)
    before = await asked(line, who)
    for statement in ("SELECT to_json(1 / $1::int)", "SELECT to_json($1::int)"):
        await line.post((statement, 0), patience=PATIENCE)
        await line.post((statement, 0), patience=PATIENCE)
    assert await asked(line, who) == before


async def test_a_call_that_comes_when_the_line_is_about_to_listen_does_not_wait_for_news(
    line: Line,
) -> None:
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await asked(line, ("SELECT '1'",))

            async def call_twice() -> None:
                await asked(line, ("SELECT FROM pg_sleep(0.01)",))
                # The turn has just gone to whoever waits for news, and has not run since.
                await asked(line, ("SELECT '1'",))
                nursery.cancel_scope.cancel()

            nursery.start_soon(call_twice)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(line.heard)


async def hears(line: Line) -> bool:
    """Whether there is news, when all that was said has arrived."""
    await asked(line, ("SELECT '1'",))
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
        await asked(line, ("SELECT FROM pg_notify('test', $1)", said))
        assert await hears(line) is is_news


async def test_what_others_say_between_two_calls_is_heard(postgres: Server, line: Line) -> None:
    await asked(line, ("SELECT '1'",))
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
        nursery.start_soon(partial(line.call, ("SELECT '1'",), patience=PATIENCE))
        await trio.to_thread.run_sync(is_made.wait)
        nursery.cancel_scope.cancel()
    [connection] = connections
    assert not connection.closed
    goes_on.set()
    with trio.fail_after(PATIENCE):
        while not connection.closed:  # noqa: ASYNC110, a thread closes it
            await trio.sleep(0.001)


async def test_who_asks_while_it_is_dropped_is_told(line: Line) -> None:
    await asked(line, ("SELECT '1'",))
    async with trio.open_nursery() as nursery:

        async def ask() -> None:
            with pytest.raises(EngineError, match="was closed"):
                await asked(line, ("SELECT FROM pg_sleep(60)",))

        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        line.drop()
