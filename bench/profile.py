"""A flame graph of the hub at the job of one question, by py-spy.

py-spy is stopped and continued around what the question is about (`Server.job`), so that
what leads up to it, mostly ten thousand joins, is not in the picture.
"""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs

from . import ledger, runner, socketio
from .scale import Scale
from .servers import HUB

RATE = 500
"""Samples a second."""

# Of the ledgers, the file: the others have the one in memory.
_HUBS = {"ledger": ledger.CONTENDERS[-1], "socketio": socketio.CONTENDERS[0]}


class NoProfiler(Exception):
    """There is no py-spy."""


@attrs.define
class Profiler:
    """A py-spy for each process that it is to watch, from its first job on."""

    program: str
    output: Path
    """Of the first one; the others' are numbered."""
    running: dict[int, subprocess.Popen[bytes]] = attrs.Factory(dict)

    @contextlib.contextmanager
    def watch(self, pid: int) -> Iterator[None]:
        """Let it sample, and stop again."""
        if pid not in self.running:
            self.running[pid] = subprocess.Popen(  # noqa: S603
                [self.program, "record", "--nonblocking", "--rate", str(RATE),
                 "--duration", "unlimited", "--output", self._next(), "--pid", str(pid)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
            time.sleep(1)  # until it has read the symbols of the interpreter
        spy = self.running[pid]
        spy.send_signal(signal.SIGCONT)
        try:
            yield
        finally:
            spy.send_signal(signal.SIGSTOP)

    def _next(self) -> Path:
        number = len(self.running) + 1
        return self.output if number == 1 else self.output.with_stem(f"{self.output.stem}-{number}")

    def draw(self) -> None:
        """Have them all write what they have seen."""
        for spy in self.running.values():
            spy.send_signal(signal.SIGINT)
            spy.send_signal(signal.SIGCONT)
            if spy.wait(30):
                raise NoProfiler(f"py-spy could not write {self.output}")


def find(beside: Path) -> str:
    """Return the program: it is installed beside the interpreter, which may not be on the path.

    Raises:
        NoProfiler: there is none.
    """
    program = shutil.which("py-spy", path=beside) or shutil.which("py-spy")
    if program is None:
        raise NoProfiler("there is no py-spy: python -m pip install -e '.[bench]'")
    return program


def profile(question: str, scale: Scale, output: Path) -> None:
    """Do the job of a question once, and draw what the hub did meanwhile.

    Raises:
        NoProfiler: there is no py-spy.
        Void: something was wrong.
    """
    profiler = Profiler(find(Path(sys.executable).parent), output)
    try:
        contender = attrs.evolve(_HUBS.get(question, HUB), watch=profiler.watch)
        runner.QUESTIONS[question].measure(contender, scale)
    finally:
        profiler.draw()
