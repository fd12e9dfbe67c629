"""Authorities on several hubs that share one engine, in virtual time."""

from collections.abc import Mapping
from typing import Any

import attrs

from sse_trio.auth.authority import Authority, LoggedIn
from sse_trio.auth.cookies import User
from sse_trio.auth.settings import Settings
from sse_trio.auth.verdict import Anonymous, Authenticated
from sse_trio.ledger.cluster.memory import MemoryDatabase, Snapshot
from sse_trio.ledger.proposals import Swap, Won
from sse_trio.ledger.sessions import OfRoom, SessionRow

from ..hub.cluster.world import Node, World
from .fixtures import cookie_header, pair
from .world import ADA

OPTIONS: dict[str, Any] = {"https": False}


@attrs.define(eq=False)
class Site:
    """What browsers ask of an application's server."""

    authority: Authority

    async def login(self, user: User = ADA, **options: Any) -> LoggedIn:
        return await self.authority.login(user, **options)

    def headers(self, cookies: LoggedIn | list[str]) -> list[tuple[bytes, bytes]]:
        """Return what a page sends that has these cookies."""
        written = cookies.cookies if isinstance(cookies, LoggedIn) else cookies
        nr1, nr2 = pair(written)
        csrf = nr2.partition("&")[0].removeprefix("crf=")
        header = cookie_header(nr1, nr2, self.authority.settings)
        return [(b"cookie", header), (b"x-csrf-token", csrf.encode())]

    async def request(
        self, cookies: LoggedIn | list[str], **options: Any
    ) -> Authenticated | Anonymous:
        return await self.authority.authenticate("POST", self.headers(cookies), **options)

    async def says_yes(self, cookies: LoggedIn | list[str]) -> bool:
        return isinstance(await self.request(cookies), Authenticated)

    async def identity(self, login: LoggedIn) -> Authenticated:
        found = await self.request(login)
        assert isinstance(found, Authenticated), found
        return found


@attrs.define(eq=False)
class App(Site):
    """An application's server: an authority, and the node that it is on."""

    node: Node


async def start(world: World, engine: Any = None, *, config: Any = None, **options: Any) -> App:
    """Start one more node, with an authority."""
    node = await (
        world.start(**config or {}) if engine is None else world.start_over(engine, **config or {})
    )
    return App(await Authority.open(node.hub, Settings(**OPTIONS | options)), node)


async def forget(app: App, room: str = ADA.id) -> None:
    """Have a room forgotten, as nodes do when it was not used for too long."""
    found = await app.node.ledger.read([room])
    proposal = app.node.ledger.propose(Swap(room, None, found[room].version))
    assert isinstance(await proposal.decision(), Won)
    await proposal.everywhere()


def rows(database: MemoryDatabase | Snapshot, room: str = ADA.id) -> Mapping[str, SessionRow]:
    """Return the sessions of a room that the engine has."""
    return {row.id: row for row in database.tables.find(OfRoom(room))}


def standing(database: MemoryDatabase | Snapshot, room: str = ADA.id) -> set[str]:
    """Return the named sessions that stand by the engine's record of a room."""
    found = (database if isinstance(database, Snapshot) else database.snapshot()).rooms.get(room)
    logins = {} if found is None else found.record.logins
    return {session for session, login in logins.items() if login.holds}
