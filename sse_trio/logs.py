"""What the command writes to its standard error: plain lines, or one JSON object a line.

The level is for our own logger. What other libraries write below a warning is theirs, and may
hold what came over the wire: the one that reads HTTP/2's headers logs cookies.
"""

import json
import logging


def set_up(level: str, kind: str) -> None:
    """Log from `level` up, and warnings of other libraries, as `formatter` says."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(kind))
    ours = logging.getLogger("sse_trio")
    ours.setLevel(level.upper())
    logging.basicConfig(level=max(ours.level, logging.WARNING), handlers=[handler])


def formatter(kind: str) -> logging.Formatter:
    """Return the formatter for ``text`` or ``json``."""
    if kind == "json":
        return _JsonFormatter()
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


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
