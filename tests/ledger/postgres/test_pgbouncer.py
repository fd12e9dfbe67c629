"""A real PgBouncer before the database: transaction pooling, with one connection for everybody."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import psycopg
import pytest
import trio

import sse_trio
from sse_trio.ledger.postgres.engine import PostgresEngine
from sse_trio.ledger.postgres.settings import Settings

from ...postgres import Server
from ...proxies import free_port, running
from ...support import KEY, joined, post_notify
from ..cluster.test_engines import Member

DEADLINE = 60


@attrs.frozen
class Pooled:
    """A database, directly and through the pooler."""

    direct: str
    pooler: str


def configure(where: Path, port: int, database: int) -> None:
    where.chmod(0o755)  # unlike pytest's, its user can read it
    (where / "users.txt").write_text('"postgres" ""\n')
    (where / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={database}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {where}/users.txt\n"
        "pool_mode = transaction\ndefault_pool_size = 1\n"
    )


@pytest.fixture
async def pooled(postgres: Server) -> AsyncIterator[Pooled]:
    if shutil.which("pgbouncer", path="/usr/sbin:/usr/bin") is None:
        pytest.skip("pgbouncer is not installed")
    name, port = f"pooled_{secrets.token_hex(4)}", free_port()
    direct = postgres.create(name)
    with tempfile.TemporaryDirectory() as directory:
        where = Path(directory)
        configure(where, port, postgres.port)
        # It refuses to be root.
        user = ["-u", "postgres"] if os.geteuid() == 0 else []
        async with running(["pgbouncer", *user, f"{where}/pgbouncer.ini"], port, where):
            yield Pooled(direct, postgres.url(name, port=port))


@pytest.mark.parametrize("has_feed", [False, True])
async def test_two_nodes_through_a_pooler(
    pooled: Pooled, nursery: trio.Nursery, has_feed: bool
) -> None:
    feed = pooled.direct if has_feed else None
    config = sse_trio.Config(port=0, authkey=KEY, ledger=pooled.pooler, ledger_feed=feed)
    a, b = [await nursery.start(sse_trio.serve, config) for _ in range(2)]
    async with joined(b, "u1", "old") as old:
        answer = await post_notify(a, room="u1", sender="new", id="x")
        assert (answer.status, answer.json["terminated"], answer.json["nodes"]) == (200, 1, 1)
        while '"terminate"' not in await old.get_message():
            pass
    again = await post_notify(b, room="u1", sender="new", id="x")
    assert again.json["epoch"] == answer.json["epoch"]


async def test_only_the_direct_connection_listens(pooled: Pooled) -> None:
    async with contextlib.AsyncExitStack() as stack:
        urls = ((pooled.pooler, None), (pooled.pooler, pooled.direct))
        a, b = [
            await stack.enter_async_context(PostgresEngine.open(Settings(url), feed_url=feed))
            for url, feed in urls
        ]
        for name, engine in (("a", a), ("b", b)):
            await engine.register(name, address="", software="")
            await engine.poll(name, {}, [])
        # There is one for everybody, so whoever got it would get the others' notifications.
        with psycopg.connect(pooled.pooler) as connection:
            listening = connection.execute("SELECT pg_listening_channels()").fetchall()
        assert listening == []
        await Member(a, "a").make("u1")
        with trio.fail_after(DEADLINE):
            await b.hinted()
