"""Notifies and releases that wait for the ledger: one task waits for all of one commit.

A task for each would cost as much as the decision.
"""

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Protocol

from ..errors import LedgerError
from ..hub.decisions import Accepted, Decisions
from ..hub.timers import in_slices
from ..ledger import Commit


class Asker(Protocol):
    """A connection whose notify or release was accepted."""

    def answer(self, accepted: Accepted) -> None:
        """Answer, or start a task that does: the commit has ended, or has taken too long.

        It must neither await nor raise.
        """
        ...

    def cut(self) -> None:
        """End at once, without an answer."""
        ...


class Unanswered:
    """Those of one server whose commits have not ended. `spawn` starts a task."""

    def __init__(self, decisions: Decisions, spawn: Callable[..., None]) -> None:
        self._decisions = decisions
        self._spawn = spawn
        # By the `id` of each commit, which may have no hash. Its task keeps it alive meanwhile.
        self._waiting: dict[int, deque[tuple[Accepted, Asker]]] = {}

    def add(self, accepted: Accepted, asker: Asker) -> None:
        """Call `asker.answer` when the commit has ended; `accepted` must be one that awaits it."""
        commit = accepted.proposal
        waiting = self._waiting.get(id(commit))
        # A reload may have set a shorter time.
        if waiting and accepted.due >= waiting[0][0].due:
            waiting.append((accepted, asker))
        else:
            waiting = deque([(accepted, asker)])
            self._spawn(self._wait, commit, waiting)
            self._waiting[id(commit)] = waiting

    async def _wait(self, commit: Commit, waiting: deque[tuple[Accepted, Asker]]) -> None:
        """Wait until a commit has ended, or until `due` of the first one; then answer them all."""
        due = waiting[0][0].due
        try:
            try:
                # `answer` learns what has failed, and waits for the rest of its own time.
                with contextlib.suppress(LedgerError), self._decisions.within_ledger_timeout(due):
                    await commit.durable()
            finally:
                if self._waiting.get(id(commit)) is waiting:
                    del self._waiting[id(commit)]
            await in_slices(_answer_each(waiting))
        finally:
            # Only a cancelled server leaves some of them unanswered.
            for accepted, asker in waiting:
                self._decisions.end_turn(accepted)
                asker.cut()


def _answer_each(waiting: deque[tuple[Accepted, Asker]]) -> Iterator[int]:
    while waiting:
        accepted, asker = waiting.popleft()
        asker.answer(accepted)
        yield 1
