"""The common part of `serve` and `demo`: run until a signal, and tune the garbage collector."""

import contextlib
import gc
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol

import trio

from .. import logs
from ..config import Config
from ..fields import Tcp
from . import systemd
from .status import DONE, FAILED

logger = logging.getLogger("sse_trio")


class Server(Protocol):
    """A server that runs until it drains."""

    leaving: trio.Event
    """Set when it begins to drain."""

    def drain(self) -> object:
        """Shut down gracefully."""
        ...


def add_logging(add: Callable[..., object]) -> None:
    """Add the options of the log."""
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    add("--log-format", default="text", choices=["text", "json"])


async def run(
    start: Callable[..., Awaitable[None]],
    greet: Callable[[Any], None],
    reload: Callable[[Any], Awaitable[None]] | None = None,
    *,
    terminal: int = 0,
    tell: Callable[[str], None] = systemd.tell,
) -> int:
    """Serve until a signal: SIGTERM, SIGINT or SIGHUP drains the server.

    At a second signal, or at one before the server is ready, it stops without draining.

    If there is a `reload`, a SIGHUP calls it, once the server is ready. But if `terminal`, a file
    descriptor, was a terminal and has been closed, a SIGHUP drains the server. While it drains,
    SIGHUP is ignored: a closing terminal and its shell may each send one.

    `tell` is called with its state, in the form of `systemd`.
    """
    server: Server | None = None
    serving = trio.CancelScope()
    ready = trio.Event()
    reloading = trio.StrictFIFOLock()
    is_on_terminal = os.isatty(terminal)
    handled = [signal.SIGTERM, signal.SIGINT]
    # `nohup` sets the signal to be ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        handled.append(signal.SIGHUP)

    async def reload_in_turn() -> None:
        await ready.wait()
        assert reload is not None
        async with reloading:
            tell(systemd.reloading())
            await reload(server)
            tell(systemd.READY)

    async def handle_signals() -> None:
        async for signum in signals:
            name = signal.Signals(signum).name
            is_leaving = server is not None and server.leaving.is_set()
            has_hung_up = is_on_terminal and not os.isatty(terminal)
            if is_leaving and signum == signal.SIGHUP:
                logger.info("%s: the server is already draining", name)
            elif signum == signal.SIGHUP and reload is not None and not has_hung_up:
                # It reads files, which may take long; other signals have to be handled meanwhile.
                listening.start_soon(reload_in_turn)
            elif server is None or is_leaving:
                logger.warning("%s: stopping now", name)
                serving.cancel()
            else:
                logger.info("%s: draining", name)
                tell(systemd.STOPPING)
                server.drain()

    with trio.open_signal_receiver(*handled) as signals:
        async with trio.open_nursery() as listening:
            listening.start_soon(handle_signals)
            with serving:
                async with trio.open_nursery() as nursery:
                    with _tuned_garbage_collector():
                        server = await nursery.start(start)
                    # So that the next output comes after the earlier lines of the log.
                    logs.flush()
                    greet(server)
                    tell(systemd.READY)
                    ready.set()
            listening.cancel_scope.cancel()
    return FAILED if serving.cancelled_caught else DONE


@contextlib.contextmanager
def _tuned_garbage_collector() -> Iterator[None]:
    """Have Python look for reference cycles less often, and not at all while the server starts.

    A connection leaves no cycles behind, so there are only those of a few exceptions. With Python's
    defaults, the collector would go through all members again and again: a third of the time of a
    notify, and half the time of reading a large ledger, none of which becomes garbage. A program
    that embeds the hub decides this for itself.
    """
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
    gc.set_threshold(10_000, 50, 100)


def base_url(config: Config, port: int) -> str:
    """Return where a server listens."""
    return f"http://{Tcp(config.ipaddr, port)}"
