"""Which databases are taken, what is made of them, and what is said of one that is not."""

import json
import logging
import re
import subprocess
import sys
from importlib import resources
from urllib.parse import quote

import pytest
import trio

from sse_trio import LedgerError
from sse_trio.ledger.postgres import open_engine
from sse_trio.ledger.postgres.engine import PostgresEngine
from sse_trio.ledger.postgres.schema import MIGRATIONS
from sse_trio.ledger.postgres.settings import Settings
from sse_trio.ledger.rows import record_to_text
from sse_trio.ledger.sessions import OfRoom

from ...postgres import PASSWORD, Server
from ..cluster.test_engines import Member, login, record, session
from ..cluster.test_engines import found as found_sessions

NEWEST = len(MIGRATIONS)


@pytest.fixture
def database(postgres: Server, request: pytest.FixtureRequest) -> str:
    """An empty database, named after the test."""
    name = str(request.node.originalname)[:60]
    postgres.create(name)
    return name


async def opens(url: str) -> None:
    async with open_engine(url):
        pass


async def test_nodes_that_begin_at_once_make_one_schema(postgres: Server, database: str) -> None:
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(opens, postgres.url(database))
    await opens(postgres.url(database))
    with postgres.connect(database) as connection:
        rows = connection.execute("SELECT schema, min_version FROM sse_trio.cluster").fetchall()
    assert rows == [(NEWEST, 1)]


async def test_a_newer_schema_is_used_if_it_allows_it_and_else_refused(
    postgres: Server, database: str
) -> None:
    url = postgres.url(database)
    await opens(url)
    with postgres.connect(database) as connection:
        connection.execute("UPDATE sse_trio.cluster SET schema = 9, min_version = 1")
        await opens(url)
        connection.execute("UPDATE sse_trio.cluster SET min_version = 8")
        with pytest.raises(LedgerError, match="is of version 9, which needs 8, and this sse_trio"):
            await opens(url)
        assert connection.execute("SELECT schema FROM sse_trio.cluster").fetchall() == [(9,)]
        connection.execute("DELETE FROM sse_trio.cluster")
        with pytest.raises(LedgerError, match="damaged"):
            await opens(url)


async def test_a_database_of_version_1_is_brought_up_to_date(
    postgres: Server, database: str
) -> None:
    """What it has is kept, and a node that knows only version 1 goes on beside the others."""
    schema = resources.files("sse_trio.ledger.postgres").joinpath("schema.sql").read_text()
    with postgres.connect(database) as connection:
        connection.execute("CREATE SCHEMA sse_trio")
        connection.execute(schema.encode())
        connection.execute("INSERT INTO sse_trio.cluster (schema, min_version) VALUES (1, 1)")
        connection.execute("SELECT sse_trio.register('old', '', '')")
        write = {"rooms": ["u1"], "counts": [None], "writers": [None], "seqs": [None]}
        write |= {"records": [record_to_text(record())], "epochs": [1], "touched": [5.0]}
        write |= {"ids": [None], "ats": [None], "answers": [None]}
        as_version_1 = "SELECT won FROM sse_trio.commit('old', %s, false, %s::json)"
        connection.execute(as_version_1, (1, json.dumps(write)))
        async with PostgresEngine.open(Settings(postgres.url(database))) as engine:
            found, _ = await engine.read(["u1"])
            assert found["u1"].record == record()
            await engine.register("new", address="", software="")
            new = Member(engine, "new")
            await login(new, session("s2", "u2"))
            assert await found_sessions(new, OfRoom("u2")) == [session("s2", "u2")]
            write["rooms"] = ["u3"]
            row = connection.execute(as_version_1, (2, json.dumps(write))).fetchone()
            assert row == (["u3"],)
        rows = connection.execute("SELECT schema, min_version FROM sse_trio.cluster").fetchall()
        assert rows == [(NEWEST, 1)]


async def test_who_may_not_make_a_schema_is_told_so_and_may_use_one(
    postgres: Server, database: str
) -> None:
    """The role owns the databases that are made here; another one of them is not its own."""
    url = f"postgresql://app:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}/{database}"
    with postgres.connect(database) as connection:
        connection.execute(f'ALTER DATABASE "{database}" OWNER TO postgres'.encode())
        with pytest.raises(LedgerError, match="permission denied"):
            await opens(url)
        connection.execute("CREATE SCHEMA sse_trio AUTHORIZATION app")
    async with open_engine(url) as engine:
        registered = await engine.register("a", address="", software="")
        assert registered.position == {}
        await engine.trim(0)
        await engine.poll("a", {}, [("a", 1)])


async def test_a_database_that_cannot_hold_every_name_is_refused(postgres: Server) -> None:
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(LedgerError, match="UTF8"):
        await opens(postgres.url("latin"))


async def test_where_a_failover_may_lose_what_was_acknowledged_there_is_a_warning(
    postgres: Server, database: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url(database)
    with caplog.at_level(logging.WARNING):
        await opens(url)
        assert caplog.text == ""
        with postgres.connect() as connection:
            change = f'ALTER DATABASE "{database}" SET synchronous_commit = off'
            connection.execute(change.encode())
        await opens(url)
    assert "may lose what it has acknowledged: synchronous_commit does not wait" in caplog.text


# -- secrets ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:{}@127.0.0.1:{}/postgres",
        "postgresql://app@127.0.0.1:{1}/postgres?password={0}",
        "postgresql://app@127.0.0.1:{1}/postgres?passwort={0}",
        "postgresql://app:{0}@127.0.0.1:x{1}/postgres",
        "postgresql://app:%zz{0}@127.0.0.1:{1}/postgres",
        "app {0}",
    ],
)
async def test_no_message_tells_a_password(
    postgres: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    full = url.format("wrong-secret", postgres.port)
    with pytest.raises(LedgerError) as caught:
        await opens(full)
    for told in (str(caught.value), repr(caught.value), repr(Settings(full)), caplog.text):
        assert "secret" not in told
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


async def test_a_password_in_the_url_is_used_and_not_shown(postgres: Server, database: str) -> None:
    url = f"postgresql://app:{quote(PASSWORD, safe='')}@127.0.0.1:{postgres.port}/{database}"
    async with PostgresEngine.open(Settings(url)) as engine:
        await engine.read([])
        assert PASSWORD not in repr(engine) + repr(vars(engine))


def test_what_the_url_says_outweighs_what_is_usual() -> None:
    url = "postgresql://h/d?connect_timeout=9&options=-c%20statement_timeout%3D1&client_encoding=x"
    chosen = Settings(url).parameters()
    assert chosen["connect_timeout"] == "9"
    assert chosen["options"].endswith(" -c statement_timeout=1")
    assert chosen["client_encoding"] == "UTF8"
    assert chosen["tcp_user_timeout"] == "2500"


def test_a_commit_is_never_cut_off_by_the_server() -> None:
    settings = Settings("postgresql://h/d")
    assert "statement_timeout=0" in settings.parameters(commits=True)["options"]
    assert "statement_timeout=2500" in settings.parameters()["options"]


@pytest.mark.parametrize("lease", [2.0, 3.0, 6.0, 60.0])
def test_what_fails_is_noticed_within_half_a_lease(lease: float) -> None:
    parameters = Settings.within(lease, "postgresql://h/d").parameters()
    options = dict(re.findall(r"-c (\w+)=(\d+)", parameters["options"]))
    assert len(options) == 4
    for milliseconds in (parameters["tcp_user_timeout"], *options.values()):
        assert min(2.5, lease / 3) <= int(milliseconds) / 1000 < lease / 2


def test_a_commit_is_waited_for_longer_and_for_less_than_a_lease() -> None:
    settings = Settings.within(3.0, "postgresql://h/d")
    assert settings.patience < settings.committing < 3.0
    assert Settings.within(60.0, "postgresql://h/d") == Settings("postgresql://h/d")


# -- without the driver -----------------------------------------------------------------


def test_without_psycopg_it_is_said_what_to_install() -> None:
    program = """
import sys, trio
sys.modules["psycopg"] = None
import sse_trio.ledger.cluster.engine
from sse_trio.ledger.postgres import open_engine
async def main():
    async with open_engine("postgresql://h/d"):
        pass
try:
    trio.run(main)
except sse_trio.LedgerError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert 'pip install "sse-trio[postgres]"' in told.stdout
