"""Servers that share a PostgreSQL: real sockets, and a real database."""

from collections.abc import Awaitable, Callable

import pytest
import trio

import sse_trio

from ..postgres import Server
from ..support import KEY, joined, post_notify, request

Start = Callable[[], Awaitable[sse_trio.Hub]]


@pytest.fixture
def start_node(postgres: Server, nursery: trio.Nursery) -> Start:
    """Start servers over a database of the test's own."""
    config = sse_trio.Config(port=0, authkey=KEY, ledger=postgres.create("nodes"))

    async def start() -> sse_trio.Hub:
        hub: sse_trio.Hub = await nursery.start(sse_trio.serve, config)
        return hub

    return start


async def test_a_login_at_one_node_ends_those_at_another(start_node: Start) -> None:
    a, b = await start_node(), await start_node()
    async with joined(b, "u1", "old") as old, joined(b, "u2", "other"):
        answer = await post_notify(a, room="u1", sender="new")
        assert answer.status == 200, answer
        assert (answer.json["epoch"], answer.json["terminated"]) == (1, 1)
        assert (answer.json["nodes"], answer.json["lapsed"]) == (1, 0)
        while '"terminate"' not in await old.get_message():
            pass
        assert b.statistics().members == 1
    assert (await request(b, "GET", "/readyz")).status == 200
