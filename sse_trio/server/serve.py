"""Listeners, nurseries, drain: how the server starts and how it ends."""

import logging
import socket
from collections import deque
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial

import trio

from ..config import Config
from ..core.heads import Heads
from ..fields import Tcp
from ..hub.audit import open_sink
from ..hub.hub import Hub
from ..hub.member import Spawn
from ..ledger import Ledger, SharedLedger, open_ledger
from .connection import Connection
from .listeners import Listener, check_passed, check_taken, open_listeners
from .server import Server
from .transport import Transport

logger = logging.getLogger("sse_trio")

# Rooms that one step adds from the ledger: some milliseconds.
ROOMS_A_STEP = 500


async def serve(
    config: Config,
    *,
    ledger: Ledger | None = None,
    sockets: Iterable[socket.socket] = (),
    task_status: trio.TaskStatus[Hub] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled (a hard stop) or until `Hub.drain` (a graceful one).

    With ``nursery.start`` it returns the `Hub` once the ledger has been read, and clients are
    admitted. Until then it answers ``/healthz`` and the other pages, and everything else with
    503. A `ledger` passed in is the caller's to open and close.

    `sockets` listen already, at addresses of the configuration: the server uses and closes them,
    and opens the other addresses itself.

    Raises:
        ConfigError: one of `sockets` does not listen, or is at no configured address.
        OSError: it cannot listen on the address, or open the audit log.
        LedgerError: the ledger cannot be opened, or not be read.
    """
    failure: Exception | None = None
    async with AsyncExitStack() as stack:
        passed = list(sockets)
        check_passed(passed)
        public = await open_listeners(Tcp(config.ipaddr, config.port), passed)
        for listener in public:
            stack.callback(listener.close)
        internal = await open_listeners(config.internal, passed) if config.internal else []
        for listener in internal:
            stack.callback(listener.close)
        check_taken(passed)
        # Before the ledger, which is made if there is none: a failed start must not leave one.
        audit = stack.enter_context(open_sink(config.audit))
        if ledger is None:
            ledger = await stack.enter_async_context(open_ledger(config))
        # The timers outlive the connections, whose closes they time, and so does the one
        # task that waits for all those that are parked.
        async with trio.open_nursery() as timers:
            async with trio.open_nursery() as connections:
                hub = Hub(config, ledger, connections.start_soon, audit=audit)
                hub.loading = True
                server = Server(hub, connections.start_soon)
                parking = server.parking
                timers.start_soon(parking.run)
                timers.start_soon(hub.run_timers, parking.read_pending)
                timers.start_soon(hub.run_cluster)
                try:
                    async with trio.open_nursery() as plumbing:
                        _start_listening(server, public, internal, plumbing.start_soon)
                        try:
                            await _load(hub)
                        except Exception as error:  # noqa: BLE001
                            # Raised again outside the nurseries, which would wrap it in a group.
                            failure = error
                            began = trio.current_time()
                        else:
                            timers.start_soon(hub.sweep)
                            began = await _serve_until_drained(hub, timers, task_status)
                        plumbing.cancel_scope.cancel()
                finally:
                    # In any case, code that still has the hub sees that it has ended.
                    hub.stop_accepting()
                last_moment = began + hub.config.shutdown_grace
                connections.cancel_scope.deadline = last_moment
                server.end_idle()
                await hub.close_all_websockets(by=last_moment)
                await hub.decisions.finished()
                await parking.emptied()
                await hub.membership.places.emptied()
            if failure is None and isinstance(ledger, SharedLedger):
                with trio.CancelScope(deadline=last_moment):
                    await ledger.drain()
            timers.cancel_scope.cancel()
        hub.limited_log.close()
        if failure is not None:
            raise failure
        logger.info("stopped")


async def _load(hub: Hub) -> None:
    """Add what the ledger remembers; other tasks run in between."""
    records, answers = await hub.ledger.load()
    # Records are freed one by one, because memory may not be enough for all of them twice.
    waiting = deque(records)
    del records
    while waiting:
        some = [waiting.popleft() for _ in range(min(ROOMS_A_STEP, len(waiting)))]
        hub.restore(some, ())
        await trio.lowlevel.checkpoint()
    hub.restore((), answers)
    hub.loading = False


async def _serve_until_drained(
    hub: Hub, timers: trio.Nursery, task_status: trio.TaskStatus[Hub]
) -> float:
    """Report that the server is ready, and wait until it drains; return when that was asked for."""
    logger.info("listening on %s port %s", hub.config.ipaddr, hub.port)
    if hub.internal:
        logger.info("internal requests on %s", hub.internal)
    task_status.started(hub)
    await hub.leaving.wait()
    began = trio.current_time()
    if isinstance(hub.ledger, SharedLedger):
        timers.start_soon(hub.ledger.drain)
    if not hub.draining.is_set():
        logger.info("not ready any more, and closing in %g s", hub.config.lame_duck)
        with trio.move_on_after(hub.config.lame_duck):
            await hub.draining.wait()
        hub.stop_accepting()
    logger.info("draining: %d open WebSockets", hub.statistics().connections)
    return began


def _start_listening(
    server: Server, public: list[Listener], internal: list[Listener], spawn: Spawn
) -> None:
    """Accept connections, in tasks of their own."""
    hub = server.hub
    hub.port = public[0].port
    hub.internal = internal[0].endpoint if internal else None
    for message, values in hub.config.dangers(hub.port):
        logger.warning(message, *values)

    def accept(heads: Heads, transport: Transport) -> None:
        Connection(server, heads, transport).ready()

    for heads, listeners in ((server.public, public), (server.internal, internal)):
        for listener in listeners:
            spawn(listener.listen, partial(accept, heads), hub.limited_log.warn)
