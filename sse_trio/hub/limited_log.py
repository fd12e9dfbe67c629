"""Log lines that clients can cause at will: a few of each kind are written, the rest counted.

Otherwise a client that sends wrong keys, or opens connections until no file descriptor is left,
could fill the disk with log lines, and hide the other ones.
"""

import logging
import traceback
from collections.abc import Callable

import attrs

logger = logging.getLogger("sse_trio")

# The maximum number of lines of one kind, and within how many seconds.
OFTEN = 10
WINDOW = 60.0


@attrs.define
class _Kind:
    level: int
    text: str
    since: float
    count: int = 0


class LimitedLog:
    """Lines of one log, by kind. `clock` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kinds: dict[str, _Kind] = {}

    def info(self, text: str, *values: object) -> bool:
        """Log what an operator may want to know; return whether it was written.

        Lines of the same `text` are of one kind, whatever their values.
        """
        return self._log(logging.INFO, text, text, values)

    def warn(self, text: str, *values: object) -> None:
        """Log a warning."""
        self._log(logging.WARNING, text, text, values)

    def error(self, text: str, *values: object) -> None:
        """Log an error."""
        self._log(logging.ERROR, text, text, values)

    def failed(self, what: str, error: Exception) -> None:
        """Log an unexpected exception that a client has caused."""
        # The message of an exception may quote what the client sent; where it came from may not.
        where = "".join(traceback.format_tb(error.__traceback__))
        kind = f"{what}: {type(error).__name__}"
        self._log(logging.ERROR, kind, "%s\n%s", (kind, where))

    def report_left_out(self) -> None:
        """Log how many lines were left out, for each kind whose minute is over."""
        now = self._clock()
        for key, kind in list(self._kinds.items()):
            if now - kind.since >= WINDOW:
                self._end(key)

    def close(self) -> None:
        """Log how many lines were left out, for every kind."""
        for key in list(self._kinds):
            self._end(key)

    def _log(self, level: int, key: str, text: str, values: tuple[object, ...]) -> bool:
        now = self._clock()
        if key in self._kinds and now - self._kinds[key].since >= WINDOW:
            self._end(key)
        kind = self._kinds.setdefault(key, _Kind(level, key, now))
        kind.count += 1
        is_written = kind.count <= OFTEN
        if is_written:
            logger.log(level, text, *values)
        return is_written

    def _end(self, key: str) -> None:
        kind = self._kinds.pop(key)
        if kind.count > OFTEN:
            logger.log(
                kind.level,
                "left out %d more like this one: %s",
                kind.count - OFTEN,
                kind.text,
            )
