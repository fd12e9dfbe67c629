"""Fixtures that start a real server on a port of the system's choice, and processes.

And what runs where: tests that need a browser that takes long to start stay in one worker of
pytest-xdist, and so do those of a file that share a browser or the demo, and all that need
PostgreSQL. All others go wherever there is room.
"""

import inspect
import os
import signal
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import settings

import sse_trio
from sse_trio.ledger import Ledger

from .postgres import postgres as postgres
from .postgres import programs as programs
from .processes import run as run
from .processes import serve as serve
from .support import KEY, Start

# The same examples in every run, and no verdict by the clock of a busy machine.
settings.register_profile("sse-trio", derandomize=True, deadline=None)
# Enough to go each way once: for who asks for that, and nothing else.
settings.register_profile("few", settings.get_profile("sse-trio"), max_examples=10)
# Ten times as many of everything, for hours when the machine has nothing else to do.
settings.register_profile("many", settings.get_profile("sse-trio"), max_examples=1000)
settings.load_profile("sse-trio")


# They start processes, or try so many cases that all else takes less time than they do.
SLOW = {
    "apps/test_forks.py",
    "auth/test_histories.py",
    "bench/test_load.py",
    "bench/test_questions.py",
    "bench/test_results.py",
    "bench/test_runner.py",
    "deploy/test_container.py",
    "deploy/test_nginx.py",
    "deploy/test_package.py",
    "deploy/test_systemd.py",
    "server/test_conformance.py",
    "hub/test_exactly_the_others.py",
    "server/test_hostile.py",
    "server/test_node_faults.py",
    "hub/test_races.py",
    "hub/test_the_promise.py",
    "server/socketio/test_real_clients.py",
    "server/test_schemathesis.py",
    "test_cluster_page.py",
    "test_process.py",
    "test_process_ledger.py",
    "test_proxies.py",
    "test_rolling.py",
    "test_soak.py",
}
SHARED = {"browsers", "demo"}


def pytest_xdist_auto_num_workers() -> int:
    """Return how many workers ``-n auto`` starts: two a core, for they wait half of the time."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure() -> None:
    """Hear Ctrl-C: what a script runs in the background ignores it, and so do its children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow ones, and keep those together that share a browser, a demo or a database."""
    here = Path(__file__).parent
    for item in items:
        file = item.path.relative_to(here).as_posix()
        names = getattr(item, "fixturenames", ())
        _refuse_clock_without_effect(item, names)
        chosen = item.callspec.params if hasattr(item, "callspec") else {}
        is_sharing = not SHARED.isdisjoint(names)
        if "postgres" in names or chosen.get("cluster") == "postgres":
            item.add_marker(pytest.mark.xdist_group("postgres"))
            item.add_marker(pytest.mark.slow)
        if is_sharing:
            item.add_marker(pytest.mark.xdist_group(chosen.get("browser", file)))
        if is_sharing or file in SLOW:
            item.add_marker(pytest.mark.slow)


def _refuse_clock_without_effect(item: pytest.Item, names: Collection[str]) -> None:
    # pytest-trio runs a test by a clock only if the test itself takes it, and says nothing if a
    # fixture does: the test would sleep in earnest.
    takes = inspect.signature(item.function).parameters if isinstance(item, pytest.Function) else ()
    for clock in {"autojump_clock", "mock_clock"}.intersection(names).difference(takes):
        raise pytest.UsageError(f"{item.nodeid} has to take {clock} itself")


@pytest.fixture
async def start(nursery: trio.Nursery) -> Start:
    """``hub = await start(heartbeat_interval=1, ...)``: a server that ends with the test."""

    async def start(*, ledger: Ledger | None = None, **settings: Any) -> sse_trio.Hub:
        config = sse_trio.Config(**{"port": 0, "authkey": KEY, **settings})
        hub: sse_trio.Hub = await nursery.start(partial(sse_trio.serve, config, ledger=ledger))
        return hub

    return start
