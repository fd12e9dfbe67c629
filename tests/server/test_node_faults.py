"""Single faults of several nodes over a real PostgreSQL: `tests.faults` has more of them."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from secrets import token_hex

import pytest
import trio

import sse_trio

from .. import faults
from ..faults import SETTINGS, Stage, notified, notify
from ..ledger.postgres.proxy import Proxy, proxied
from ..nodes import KEY, Node
from ..postgres import Server, directory

Start = Callable[[str], Awaitable[Node]]


@pytest.fixture
def database(postgres: Server) -> str:
    """The name of one that is the test's own."""
    name = f"faults-{token_hex(4)}"
    postgres.create(name)
    return name


@pytest.fixture
def stage(programs: Path, tmp_path: Path, nursery: trio.Nursery) -> Stage:
    return Stage(programs, tmp_path, nursery, print)


@pytest.fixture
def start(nursery: trio.Nursery, tmp_path: Path) -> Start:
    """Start a node in this process."""

    async def start(ledger: str) -> Node:
        config = sse_trio.Config(port=0, authkey=KEY, ledger=ledger, **SETTINGS)
        hub: sse_trio.Hub = await nursery.start(sse_trio.serve, config)
        return Node(tmp_path, hub.port)

    return start


async def test_a_commit_whose_answer_is_lost_has_one_effect(
    postgres: Server, database: str, stage: Stage, start: Start
) -> None:
    async with proxied(postgres.port) as proxy:
        a = await start(postgres.url(database, port=proxy.port))
        b = await start(postgres.url(database))
        await faults.lose_answer(stage, proxy, a, b)


class Gates:
    """A proxy as a link that can be cut."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    def cut(self, *, outward: bool = False, inward: bool = False) -> None:
        if outward:
            self._proxy.requests.shut()
        if inward:
            self._proxy.answers.shut()

    def heal(self) -> None:
        self._proxy.requests.open()
        self._proxy.answers.open()


@pytest.mark.parametrize("cut", [{"outward": True}, {"inward": True}], ids=str)
async def test_a_node_that_is_cut_off_claims_nothing(
    postgres: Server, database: str, stage: Stage, start: Start, cut: Mapping[str, bool]
) -> None:
    async with proxied(postgres.port) as proxy:
        a = await start(postgres.url(database))
        b = await start(postgres.url(database, port=proxy.port))
        await faults.cut_link(stage, Gates(proxy), cut, a, b)


_FULL = """
CREATE FUNCTION sse_trio.fail() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full';
END $$;
CREATE TRIGGER full_disk BEFORE INSERT ON sse_trio.answers EXECUTE FUNCTION sse_trio.fail();
"""


async def test_a_notify_that_finds_the_disk_full_has_its_effect_later(
    postgres: Server, database: str, stage: Stage, start: Start
) -> None:
    a, b = await start(postgres.url(database)), await start(postgres.url(database))
    old = await stage.come(b, "old")
    with postgres.connect(database) as connection:
        connection.execute(_FULL.encode())
        assert (await notify(a, "new"))[0] == 503
        assert "terminate" not in old.told
        connection.execute("DROP TRIGGER full_disk ON sse_trio.answers")
    assert (await notified(b, "new"))["epoch"] == 1
    await faults.until(lambda: old.last == "terminate", "the old one is told")
    assert (await notified(a, "newer"))["epoch"] == 2
    await stage.is_out([a, b], "old", "new")


async def test_what_was_answered_is_kept_where_a_synchronous_standby_is_promoted(
    programs: Path,
) -> None:
    with directory() as where:
        await faults.play(faults.promoted_fenced, programs, where, print)
