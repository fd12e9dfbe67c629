"""The demo in one process and one nursery: the hub, and the application beside it.

Hypercorn serves the application. Both end with `Demo.drain`, gracefully, or with the nursery.
"""

import logging
import time
from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from functools import partial

import attrs
import hypercorn
import hypercorn.trio
import trio

from ..auth import Authority
from ..hub.hub import Hub
from ..server.listeners import open_listeners
from ..server.serve import serve as serve_hub
from .app import make_app
from .options import Options
from .users import Person, Users

logger = logging.getLogger("sse_trio")


@attrs.frozen(eq=False)
class Demo:
    """A running demo."""

    hub: Hub
    port: int
    """The TCP port of the application."""
    people: Collection[Person]
    """The users who can log in."""

    @property
    def leaving(self) -> trio.Event:
        """Set when it has begun to end."""
        return self.hub.leaving

    def drain(self) -> None:
        """End it gracefully."""
        self.hub.drain()


async def serve(
    options: Options,
    *,
    wall: Callable[[], float] = time.time,
    task_status: trio.TaskStatus[Demo] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the demo until cancelled, or until `Demo.drain`.

    With ``nursery.start`` it returns the `Demo` once it accepts requests. `wall` is Unix time in
    seconds, for the logins.

    Raises:
        ConfigError: an option is out of its range.
        OSError: an address cannot be listened on.
        LedgerError: the ledger cannot be opened.
    """
    settings = options.logins()
    users = await Users.of()
    async with AsyncExitStack() as stack:
        listeners = await open_listeners(options.where())
        for listener in listeners:
            stack.callback(listener.close)
        port = listeners[0].port
        if not options.is_local():
            logger.warning(
                "anyone who reaches %s port %s can log in, and nothing is encrypted",
                options.host,
                port,
            )
        async with trio.open_nursery() as nursery:
            hub = await nursery.start(serve_hub, options.hub(port))
            authority = await Authority.open(hub, settings, wall=wall)
            app = make_app(authority, users, hub)
            server = hypercorn.Config()
            server.bind = [f"fd://{listener.socket.detach()}" for listener in listeners]
            server.errorlog = logging.getLogger("hypercorn.error")
            server.include_server_header = False
            await nursery.start(
                partial(
                    hypercorn.trio.serve,
                    app,
                    server,
                    mode="asgi",
                    shutdown_trigger=hub.draining.wait,
                )
            )
            task_status.started(Demo(hub, port, users.people.values()))
