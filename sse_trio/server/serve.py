"""Listeners, nurseries, drain: how the server starts and how it ends."""

import logging
from contextlib import AsyncExitStack

import trio

from ..config import Config
from ..core.heads import Heads
from ..ledger import Ledger, open_ledger
from .connection import Connection
from .hub import Hub
from .parking import Parking, open_parking
from .transport import Listener, Transport, open_listeners

logger = logging.getLogger("sse_trio")

# Bytes. Of random printable characters, 16 hold some 100 bits: more than anybody can try.
SHORT_KEY = 16


async def serve(
    config: Config,
    *,
    ledger: Ledger | None = None,
    task_status: trio.TaskStatus[Hub] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled (a hard stop) or until `Hub.drain` (a graceful one).

    With ``nursery.start`` it returns the `Hub` once the listeners take connections. A
    `ledger` passed in is the caller's to open and close.

    Raises:
        OSError: the address cannot be listened on.
        LedgerError: the ledger cannot be opened.
    """
    async with AsyncExitStack() as stack:
        listeners = await open_listeners(config)
        for listener in listeners:
            stack.callback(listener.close)
        if ledger is None:
            ledger = await stack.enter_async_context(open_ledger(config))
        records, answers = await ledger.load()
        # The timers outlive the connections, whose closes they time, and so does the one
        # task that waits for all those that are parked.
        async with trio.open_nursery() as timers:
            async with trio.open_nursery() as connections:
                hub = Hub(config, ledger, connections.start_soon)
                parking = open_parking(connections.start_soon)
                timers.start_soon(parking.run)
                hub.restore(records, answers)
                del records, answers
                timers.start_soon(hub.beat)
                timers.start_soon(hub.sweep)
                try:
                    await _listen(hub, listeners, parking, task_status)
                finally:
                    # However it ends, whoever still holds the hub is told so.
                    hub.drain()
                connections.cancel_scope.deadline = trio.current_time() + config.shutdown_grace
                await hub.say_goodbye()
                await hub.finish_notifies()
                await parking.emptied()
            timers.cancel_scope.cancel()
        logger.info("stopped")


async def _listen(
    hub: Hub,
    listeners: list[Listener],
    parking: Parking,
    task_status: trio.TaskStatus[Hub],
) -> None:
    """Take connections until the hub drains."""
    config = hub.config
    hub.port = listeners[0].port
    if config.join == "open":
        logger.warning(
            "open mode: anyone who reaches %s port %s can listen in on any room, or join it "
            'under any session; restrict who does, or set join to "ticket"',
            config.ipaddr,
            hub.port,
        )

    if any(len(key.encode()) < SHORT_KEY for key in config.authkey):
        logger.warning(
            "an authkey is short: whoever sees a ticket can try keys until one fits; "
            "`sse-trio keygen` makes one of 256 bits"
        )

    heads = Heads(config)

    def accepted(transport: Transport) -> None:
        Connection(hub, parking, heads, transport).ready()

    async with trio.open_nursery() as plumbing:
        for listener in listeners:
            plumbing.start_soon(listener.listen, accepted)
        logger.info("listening on %s port %s", config.ipaddr, hub.port)
        task_status.started(hub)
        await hub.draining.wait()
        logger.info("draining: %d open WebSockets", hub.statistics().connections)
        plumbing.cancel_scope.cancel()
