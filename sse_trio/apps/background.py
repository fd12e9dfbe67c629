"""The background work of a synchronous client, in a thread, until the hub answers."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from .flows import LATER_FOR, MAX_LATER, Flow, Later, Settled, is_final, log_given_up

logger = logging.getLogger("sse_trio")

Run = Callable[[Flow[Any]], Any]
"""Makes the calls of a flow."""


@attrs.frozen(eq=False)
class _Waiting:
    later: Later
    run: Run
    until: float


class Background:
    """The work of one client and process. Each step of a dict is one for threads too."""

    def __init__(self, pauses: Callable[[], Iterator[float]]) -> None:
        self._pauses = pauses
        self._lock = threading.Lock()
        self._waiting: dict[_Waiting, None] = {}
        self._is_running = False

    def add(self, later: Later, run: Run) -> None:
        """Repeat this until the hub answers, for at most an hour."""
        with self._lock:
            if len(self._waiting) >= MAX_LATER:
                logger.error("too many logouts wait for the hub: one was dropped")
                return
            self._waiting[_Waiting(later, run, time.monotonic() + LATER_FOR)] = None
            if self._is_running:
                return
            self._is_running = True
        # A daemon: the program can end even if the hub is unreachable.
        threading.Thread(target=self._work, daemon=True).start()

    def settle(self, settled: Settled) -> None:
        """Drop what waits for a session that has logged in since."""
        for each in list(self._waiting):
            if each.later.about == settled.about:
                self._waiting.pop(each, None)

    def _work(self) -> None:
        try:
            self._work_until_done()
        except BaseException:  # the next one that is added begins anew
            with self._lock:
                self._is_running = False
            raise

    def _work_until_done(self) -> None:
        pauses = self._pauses()
        while True:
            time.sleep(next(pauses))
            for each in list(self._waiting):
                if each in self._waiting and self._is_done(each):
                    self._waiting.pop(each, None)
                    pauses = self._pauses()
            with self._lock:
                if not self._waiting:
                    self._is_running = False
                    return

    def _is_done(self, each: _Waiting) -> bool:
        try:
            each.run(each.later.flow())
        except Exception as error:  # noqa: BLE001 - a defect ends no other logout
            if not is_final(error) and time.monotonic() < each.until:
                return False
            log_given_up(error)
        return True
