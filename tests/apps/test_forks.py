"""Workers that are forked from a process with connections to the hub: gunicorn's `--preload`."""

import collections
import sys
from pathlib import Path

import trio

from ..proxies import DEADLINE, ask, free_port, running
from ..support import KEY
from ..test_docs import ROOT
from .support import UNKNOWN, answer, fake, urls


async def test_a_worker_never_uses_its_parents_connections(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2"]
    command += [f"--bind=127.0.0.1:{port}", "tests.apps.preloaded:application"]
    with fake(answer(200, UNKNOWN)) as hub:
        env = {"PYTHONPATH": str(ROOT), "SSE_TRIO_URL": urls(hub.port), "SSE_TRIO_KEY": KEY}
        async with running(command, port, tmp_path, **env):
            workers: set[bytes] = set()
            with trio.fail_after(DEADLINE):
                while len(workers) < 2:
                    workers.add((await ask(port)).body)
        processes = collections.defaultdict(set)
        for number, (_, members) in zip(hub.asked_on, hub.asked, strict=True):
            processes[number].add(members["session"])
        assert len(set().union(*processes.values())) == 3  # the parent, and its workers
        assert all(len(each) == 1 for each in processes.values())
