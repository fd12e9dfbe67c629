"""Two real nodes over a real database, each with an authority."""

import trio

import sse_trio
from sse_trio.auth.authority import Authority
from sse_trio.auth.settings import Settings
from sse_trio.auth.verdict import Anonymous, Reason

from ..postgres import Server
from ..support import KEY
from .nodes import Site
from .world import ADA

DEADLINE = 60


async def test_two_nodes_over_a_real_database(postgres: Server, nursery: trio.Nursery) -> None:
    url = postgres.create("authorities")

    async def start() -> Site:
        config = sse_trio.Config(port=0, authkey=KEY, ledger=url, max_sessions=2)
        hub = await nursery.start(sse_trio.serve, config)
        return Site(await Authority.open(hub, Settings(https=False)))

    def stored() -> list[str]:
        with postgres.connect("authorities") as connection:
            return [name for (name,) in connection.execute("SELECT id FROM sse_trio.sessions")]

    with trio.fail_after(DEADLINE):
        a, b = await start(), await start()
        first = await a.login(headers=[(b"user-agent", "Firéfox".encode("latin-1"))])
        assert await b.says_yes(first)
        (listed,) = await b.authority.sessions(ADA)
        assert (listed.id, listed.user_agent) == (first.claims.session, "Firéfox")
        second, third = await b.login(), await a.login()
        for app in (a, b):
            assert await app.request(first) == Anonymous(Reason.SUPERSEDED)
            assert await app.says_yes(second)
            assert await app.says_yes(third)
        assert set(stored()) == {second.claims.session, third.claims.session}
        await b.authority.rotate_keys()
        assert await a.authority.end(ADA, second.claims.session) is not None
        assert not await b.says_yes(second)
        assert await b.authority.logout(await b.identity(third)) is not None
        assert not await a.says_yes(third)
        assert stored() == []
        nursery.cancel_scope.cancel()
