"""A ledger's file that can be caught at what it does."""

import threading

from sse_trio.ledger.sqlite_file import LedgerFile

# Real seconds, for a thread to do what it has been started for.
DEADLINE = 20


class Watched(LedgerFile):
    """Says when a statement that reads is running, and holds it until told to go on."""

    def watch(self) -> None:
        self.reading = threading.Event()
        self.go_on = threading.Event()
        self._reader.set_progress_handler(self._progress, 1)

    def _progress(self) -> int:
        self.reading.set()
        return 0 if self.go_on.wait(DEADLINE) else 1
