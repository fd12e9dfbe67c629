"""Commands in processes that are forked.

To start Python and import everything takes far longer than most tests. So that is done once for
all tests of a worker: by a server that does nothing else than to fork. What it forks is a process
like any other: it gets signals, and can be killed. That the command itself starts so is tested
in `tests/test_process.py` and `tests/demo/test_command.py`.
"""

import logging
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import TextIO

import attrs

DEADLINE = 20

_server = multiprocessing.get_context("forkserver")
# The command imports what it runs when that is asked for; here it is imported once.
_server.set_forkserver_preload([__name__, "sse_trio.cli.serve", "sse_trio.demo.serve"])


@attrs.define(eq=False)
class Forked:
    """A process that runs; made by :func:`start`."""

    _process: ForkServerProcess
    _socket: socket.socket
    output: TextIO
    """All that it prints."""

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        self._socket.sendall(f"{line}\n".encode())

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def ends(self) -> int | None:
        """End its input, and wait for its own end; return its status."""
        self._socket.shutdown(socket.SHUT_WR)
        self._process.join(DEADLINE)
        status = self._process.exitcode
        self._process.close()  # an error where it still runs
        return status

    def close(self) -> None:
        self.output.close()
        self._socket.close()


def start(run: Callable[[], int | None], directory: Path, log: Path) -> Forked:
    """Run this in this directory, with its standard error in `log`."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = _server.Process(target=_run, args=(run, directory, theirs, log), daemon=True)
        process.start()
    return Forked(process, ours, ours.makefile())


def _run(run: Callable[[], int | None], directory: Path, ours: socket.socket, log: Path) -> None:
    os.chdir(directory)
    for name in [name for name in os.environ if name.startswith("SSE_TRIO_")]:
        del os.environ[name]
    # Multiprocessing has put /dev/null in the place of the standard input.
    os.dup2(ours.fileno(), 0)
    sys.stdin = os.fdopen(0, closefd=False)
    os.dup2(ours.fileno(), sys.stdout.fileno())
    ours.close()
    with log.open("a") as stderr:
        os.dup2(stderr.fileno(), sys.stderr.fileno())
    try:
        sys.exit(run())
    finally:
        # At its end Python does this itself; the end of such a process is another one.
        logging.shutdown()
