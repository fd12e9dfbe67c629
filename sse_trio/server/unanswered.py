"""Requests that are decided, and wait for the ledger: one task waits for all of one commit.

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
    """A connection whose request was accepted."""

    def answer(self, accepted: Accepted) -> None:
        """Answer, or wait on: its commit has ended, or takes too long. Neither wait nor raise."""
        ...

    def cut(self) -> None:
        """End at once, without an answer."""
        ...


class Unanswered:
    """The accepted requests of one server whose commits have not ended. `spawn` starts a task."""

    def __init__(self, decisions: Decisions, spawn: Callable[..., None]) -> None:
        self._decisions = decisions
        self._spawn = spawn
        # By the `id` of each commit, which need have no hash, and lives as long as its task.
        self._waiting: dict[int, deque[tuple[Accepted, Asker]]] = {}

    def add(self, accepted: Accepted, asker: Asker) -> None:
        """Have `asker` answer when the commit has ended; it only `awaits_commit`."""
        commit = accepted.proposal
        if waiting := self._waiting.get(id(commit)):
            waiting.append((accepted, asker))
        else:
            self._waiting[id(commit)] = deque([(accepted, asker)])
            self._spawn(self._wait, commit, accepted.due)

    async def _wait(self, commit: Commit, due: float | None) -> None:
        """Wait for a commit; the first one that waits for it has time until `due`."""
        waiting = self._waiting[id(commit)]
        try:
            try:
                # Each finds out by itself what has failed, and has its own time.
                with contextlib.suppress(LedgerError), self._decisions.within_ledger_timeout(due):
                    await commit.durable()
            finally:
                del self._waiting[id(commit)]
            await in_slices(_answer_each(waiting))
        finally:
            # A server that is cancelled answers nobody.
            for accepted, asker in waiting:
                self._decisions.give_up(accepted)
                asker.cut()


def _answer_each(waiting: deque[tuple[Accepted, Asker]]) -> Iterator[int]:
    while waiting:
        accepted, asker = waiting.popleft()
        asker.answer(accepted)
        yield 1
