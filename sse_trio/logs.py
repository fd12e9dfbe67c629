"""The log of the command on its standard error: plain lines, or one JSON object a line.

The level is for our own logger. Other libraries' lines below a warning are left out,
because they may quote what clients send: the library that reads HTTP/2 headers logs cookies.

A thread writes the lines. If no program reads them, only this thread waits; lines that do not fit
in the queue are lost and counted.
"""

import json
import logging
import os
import queue
import threading

# Lines that may wait: more than any start of a server writes, and a few MB at most.
WAITING = 1000

# Seconds that the process waits at its end for the lines to be written.
PATIENCE = 1.0


def set_up(level: str, kind: str) -> None:
    """Log from `level` up, and warnings of other libraries, as `formatter` says."""
    handler = Handler(2)
    handler.setFormatter(formatter(kind))
    ours = logging.getLogger("sse_trio")
    ours.setLevel(level.upper())
    # These lines were asked for, so all of them are written.
    logging.getLogger("sse_trio.audit").setLevel(logging.INFO)
    logging.basicConfig(level=max(ours.level, logging.WARNING), handlers=[handler])


def flush() -> None:
    """Wait until the lines so far are written, for at most `PATIENCE` seconds a handler."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def formatter(kind: str) -> logging.Formatter:
    """Return the formatter for ``text`` or ``json``."""
    if kind == "json":
        return _JsonFormatter()
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class Handler(logging.Handler):
    """Writes to a file descriptor, and never waits for it."""

    def __init__(self, descriptor: int, *, waiting: int = WAITING) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes] = queue.Queue(waiting)
        self._lost = 0
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a line for the thread; if the queue is full, count it as lost."""
        if self._lost and not self._lines.full():
            lost, self._lost = self._lost, 0
            self._put(_warning("lines of the log were lost, because nobody read them: %d", lost))
        self._put(record)

    def _put(self, record: logging.LogRecord) -> None:
        try:
            # Text from outside may hold characters that cannot be encoded.
            self._lines.put_nowait(f"{self.format(record)}\n".encode(errors="backslashreplace"))
        except queue.Full:
            self._lost += 1

    def flush(self) -> None:
        """Wait until all is written, but not for long."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, PATIENCE)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                pass  # the log cannot be written, so there is nowhere to report it
            finally:
                self._lines.task_done()


def _warning(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("sse_trio", logging.WARNING, __file__, 0, message, values, None)


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
