"""The screen of `sse-trio top`: it asks the server for the data of each frame."""

from collections.abc import Callable
from typing import Any, Final

from rich.console import Console, RenderableType
from rich.live import Live

from ..core.questions import MAX_DECISIONS
from ..errors import SseTrioError
from . import frame, rest

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Sends fields to a path of the server; returns those of the answer. Raises as `rest.post`."""

# Decisions of a frame, if the output is not a terminal.
DECISIONS: Final = 20

# A status from here on is an error of the server, which may be over at the next attempt.
_SERVER_ERROR: Final = 500


class Screen:
    """The newest answers of the server at `url`. It keeps them while the server does not answer."""

    def __init__(self, url: str, ask: Ask) -> None:
        self._url = url
        self._ask = ask
        self._rates = frame.Rates()
        self._counts: frame.Counts | None = None
        self._decisions: list[tuple[str, ...]] = []

    def look(self, height: int | None = None) -> RenderableType:
        """Ask the server; return a frame, for a terminal of so many lines.

        Raises:
            SseTrioError: the server refuses, or has never answered.
        """
        problem = ""
        try:
            self._refresh()
        except SseTrioError as error:
            is_final = isinstance(error, rest.Refused) and error.status < _SERVER_ERROR
            if is_final or self._counts is None:
                raise
            problem = str(error)
        assert self._counts is not None, "the server has answered"
        limit = DECISIONS if height is None else frame.lines_left(self._counts, height)
        decisions = self._decisions[:limit]
        return frame.render(self._url, self._counts, self._rates, decisions, problem)

    def _refresh(self) -> None:
        counted = self._ask("/statistics", {})
        decided = self._ask("/decisions", {"limit": MAX_DECISIONS})
        with rest.reading_untrusted():
            counts, decisions = frame.read_counts(counted), frame.read_decisions(decided)
        self._counts, self._decisions = counts, decisions
        self._rates.add(counts)


def show(screen: Screen, console: Console, wait: Callable[[], None]) -> None:
    """Show frames until Ctrl-C; `wait` is called between two.

    Raises:
        SseTrioError: the server refuses, or does not answer at first.
    """
    try:
        first = screen.look(console.height)
        with Live(first, console=console, screen=True, auto_refresh=False) as live:
            while True:
                wait()
                live.update(screen.look(console.height), refresh=True)
    except KeyboardInterrupt:
        pass
