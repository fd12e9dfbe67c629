"""`sse-trio serve` in a process that is forked.

To start Python and import everything takes far longer than most tests. So that is done once for
all tests of a worker: by a server that does nothing else than to fork. What it forks is a process
like any other: it gets signals, and can be killed. That the command itself starts so is tested
in `tests/test_process.py`.
"""

import multiprocessing
import os
import socket
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from sse_trio.cli import main

_server = multiprocessing.get_context("forkserver")
# The command imports what it runs when that is asked for; here it is imported once.
_server.set_forkserver_preload([__name__, "sse_trio.cli.serve"])


def start(directory: Path, output: socket.socket, log: Path) -> ForkServerProcess:
    """Serve as ``config.json`` in this directory says."""
    process = _server.Process(target=_serve, args=(directory, output, log), daemon=True)
    process.start()
    return process


def _serve(directory: Path, output: socket.socket, log: Path) -> None:
    os.chdir(directory)
    for name in [name for name in os.environ if name.startswith("SSE_TRIO_")]:
        del os.environ[name]
    os.dup2(output.fileno(), sys.stdout.fileno())
    output.close()
    with log.open("a") as stderr:
        os.dup2(stderr.fileno(), sys.stderr.fileno())
    sys.exit(main(["serve", "--config", "config.json"]))
