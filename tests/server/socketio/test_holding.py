"""What becomes of pages of Socket.IO while a node of a cluster cannot know who is active."""

from trio.testing import MockClock

from ...support import Start
from .clients import on_requests, on_websocket


async def test_pages_are_closed_so_that_they_come_back(
    start: Start, autojump_clock: MockClock
) -> None:
    """They do not know of a hold, and may not go on as if they had joined."""
    hub = await start(socketio=True)
    async with on_requests(hub) as polling, on_websocket(hub) as page:
        for client in (polling, page):
            await client.connect()
            await client.join("u1")
        assert sum(hub.holding.hold()) == 2
        assert await polling.packets() == ["1"]
        assert await page.raw.closed() == 1013
    # One that comes while there is a hold joins as soon as there is none any more.
    sum(hub.holding.resume())
    async with on_requests(hub) as polling:
        await polling.connect()
        await polling.join("u1")
