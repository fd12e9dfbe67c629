"""What `serve` and `demo` share: to run until a signal, and what that costs."""

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
from .status import DONE, FAILED

logger = logging.getLogger("sse_trio")


class Server(Protocol):
    """What runs until it is told to drain."""

    draining: trio.Event

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
) -> int:
    """Serve until a signal. At a second one, or one before it is ready, end without waiting.

    A SIGHUP calls `reload`, once the server is ready. Without that it shuts down too, and so it
    does where it comes from `terminal`, a file descriptor, because that has been closed. A further
    SIGHUP is ignored then: a terminal that closes, and its shell, may each send one.
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
            await reload(server)

    async def handle_signals() -> None:
        async for signum in signals:
            name = signal.Signals(signum).name
            is_draining = server is not None and server.draining.is_set()
            has_hung_up = is_on_terminal and not os.isatty(terminal)
            if is_draining and signum == signal.SIGHUP:
                logger.info("%s: draining already", name)
            elif signum == signal.SIGHUP and reload is not None and not has_hung_up:
                # What reads may take long, and other signals have to be handled meanwhile.
                listening.start_soon(reload_in_turn)
            elif server is None or is_draining:
                logger.warning("%s: stopping now", name)
                serving.cancel()
            else:
                logger.info("%s: draining", name)
                server.drain()

    with trio.open_signal_receiver(*handled) as signals:
        async with trio.open_nursery() as listening:
            listening.start_soon(handle_signals)
            with serving:
                async with trio.open_nursery() as nursery:
                    with _tuned_garbage_collector():
                        server = await nursery.start(start)
                    # What is printed next comes after the log's lines, as it happened.
                    logs.flush()
                    greet(server)
                    ready.set()
            listening.cancel_scope.cancel()
    return FAILED if serving.cancelled_caught else DONE


@contextlib.contextmanager
def _tuned_garbage_collector() -> Iterator[None]:
    """Have Python look for reference cycles less often, and not where there are none.

    A connection leaves none behind, so all there is to find are a few exceptions'. By the
    defaults, a crowd that joins would be gone through again and again: a third of all the time
    of a notify; and half the time of reading a large ledger, none of which becomes garbage.
    A server that embeds the hub decides for itself.
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
