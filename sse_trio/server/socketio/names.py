"""Names that clients send and the hub does not know: the log is told of each, once.

Whoever does not know what the pages of an application say finds it there. Clients can send any
number of names, so only the latest are remembered, and few lines are written in a minute. A name
that was left out is told when it comes again.
"""

from typing import Final

from ...hub.limited_log import LimitedLog

MAX_NAMES: Final = 64
"""So many are remembered; the one that was not seen for longest is forgotten."""

MAX_SHOWN: Final = 64
"""Characters of each that are shown."""


class Names:
    """Names of one kind; `text` has a place for one."""

    def __init__(self, log: LimitedLog, text: str) -> None:
        self._log = log
        self._text = text
        # In the order in which they were last seen.
        self._told: dict[str, None] = {}

    def note(self, name: str) -> None:
        """Tell the log of a name, unless it was told."""
        shown = "".join(filter(str.isprintable, name))[:MAX_SHOWN]
        if shown in self._told:
            del self._told[shown]
        elif not self._log.info(self._text, shown):
            return
        self._told[shown] = None
        if len(self._told) > MAX_NAMES:
            del self._told[next(iter(self._told))]
