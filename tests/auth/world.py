"""An authority on a hub of its own, whose clocks the tests set."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import attrs
import trio

import sse_trio
from sse_trio.auth.authority import Authority, LoggedIn
from sse_trio.auth.cookies import User
from sse_trio.auth.sessions import Sessions
from sse_trio.auth.settings import Settings
from sse_trio.auth.verdict import Anonymous, Authenticated
from sse_trio.hub.hub import Hub
from sse_trio.ledger import Ledger

from ..support import KEY
from .fixtures import NOW, cookie_header, pair

ADA, BOB = User("7", "Ada"), User("8", "Bob")


@attrs.define(eq=False)
class World:
    """One authority on one hub; `now` is what their clocks show."""

    hub: Hub
    authority: Authority
    sessions: Sessions
    now: float = NOW

    async def login(self, user: User = ADA, **options: Any) -> LoggedIn:
        return await self.authority.login(user, **options)

    async def request(
        self, login: LoggedIn | list[str], method: str = "POST", **options: Any
    ) -> Authenticated | Anonymous:
        """A page's request, with the cookies of a login or those that were set since."""
        return await self.authority.authenticate(method, self.headers(login), **options)

    def headers(self, login: LoggedIn | list[str]) -> list[tuple[bytes, bytes]]:
        written = login.cookies if isinstance(login, LoggedIn) else login
        nr1, nr2 = pair(written)
        csrf = nr2.partition("&")[0].removeprefix("crf=")
        return [
            (b"cookie", cookie_header(nr1, nr2, self.authority.settings)),
            (b"x-csrf-token", csrf.encode()),
        ]

    async def sweep(self) -> None:
        """What the hub does now and then; and what was noted before is on the disk by then."""
        await self.sessions.touch("none", 0, "").durable()
        for follower in self.hub.followers:
            await follower.sweep()

    async def authenticated(self, login: LoggedIn | list[str]) -> bool:
        return isinstance(await self.request(login), Authenticated)

    async def identity(self, login: LoggedIn) -> Authenticated:
        found = await self.request(login)
        assert isinstance(found, Authenticated)
        return found


NewWorld = Callable[..., AbstractAsyncContextManager[World]]


@asynccontextmanager
async def open_world(
    ledger: Ledger,
    sessions: Sessions,
    config: dict[str, Any] | None = None,
    now: float = NOW,
    **options: Any,
) -> AsyncIterator[World]:
    world = World.__new__(World)
    world.now = now

    def wall() -> float:
        return world.now

    async with trio.open_nursery() as nursery:
        hub = Hub(
            sse_trio.Config(authkey=KEY, **(config or {})), ledger, nursery.start_soon, wall=wall
        )
        hub.restore(*await ledger.load())
        authority = await Authority.open(hub, Settings(**options), store=sessions, wall=wall)
        world.__init__(hub, authority, sessions, now)  # type: ignore[misc]
        yield world
