"""One connection: calls, and what is heard between them."""

from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
import trio

from sse_trio.ledger.postgres.line import Connection, Line, Link, connect
from sse_trio.ledger.postgres.settings import Settings

from ...postgres import Server

PATIENCE = 20


def executed(statement: str) -> Callable[[Connection], None]:
    return lambda connection: connection.execute(statement.encode()).close()


async def test_a_call_that_comes_when_the_line_is_about_to_listen_does_not_wait_for_news(
    postgres: Server,
) -> None:
    line = Line(Settings(postgres.url()).parameters())
    call = partial(line.call, patience=PATIENCE)
    with trio.fail_after(PATIENCE):
        async with trio.open_nursery() as nursery:
            await call(executed("SELECT"))

            async def call_twice() -> None:
                await call(executed("SELECT pg_sleep(0.01)"))
                # The turn has just gone to whoever waits for news, and has not run since.
                await call(executed("SELECT"))
                nursery.cancel_scope.cancel()

            nursery.start_soon(call_twice)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(line.heard)
    line.drop()


@pytest.fixture
def link() -> Iterator[Link]:
    link = Link("me")
    yield link
    link.drop()


async def test_what_a_node_tells_itself_is_no_news(postgres: Server, link: Link) -> None:
    # A connection has its own notifications before the answer to its statement.
    for said, is_news in (("me", False), ("you", True), ("me", True)):
        statement = f"LISTEN test; NOTIFY test, '{said}'"
        parameters = Settings(postgres.url()).parameters()
        await trio.to_thread.run_sync(link.run, partial(connect, parameters), executed(statement))
        assert link.heard is is_news


async def test_nor_is_it_when_it_comes_between_two_calls(postgres: Server, link: Link) -> None:
    parameters = Settings(postgres.url()).parameters()
    await trio.to_thread.run_sync(link.run, partial(connect, parameters), executed("LISTEN test"))
    with closing(postgres.connect()) as other:
        for said, is_news in (("me", False), ("you", True)):
            other.execute(f"NOTIFY test, '{said}'".encode())
            with trio.fail_after(PATIENCE):
                await trio.lowlevel.wait_readable(link.socket)
            link.listen()
            assert link.heard is is_news
