"""What the tasks of one node share, over all its registrations."""

from collections.abc import Callable

import trio

from ...values import frozen
from .changes import Offer
from .engine import Engine
from .keeper import Keeper
from .lease import Lease
from .nodes import Nodes
from .reach import Reaches
from .statistics import Statistics
from .wall import Wall


@frozen(kw_only=True)
class Settings:
    """The settings of a node of a cluster. Times are seconds."""

    lease: float = 6.0
    ticket_lifetime: float = 30 * 86400.0
    """For how long an unused room is remembered."""
    address: str = ""
    """The node's address, for an operator."""
    software: str = ""


class Hint:
    """What the task that reads the log need not wait for."""

    def __init__(self) -> None:
        self.is_news = False
        """Whether there may be something to read."""
        self._given = trio.Event()

    def give(self) -> None:
        """Have the log read now."""
        self.is_news = True
        self._given.set()

    def applied(self) -> None:
        """Have it reported now how far the log is applied."""
        self._given.set()

    def clear(self) -> None:
        """Wait for what is hinted from now on."""
        self.is_news = False
        self._given = trio.Event()

    async def wait(self) -> None:
        """Wait for a hint."""
        await self._given.wait()


class Context:
    """Everything that lasts longer than one registration.

    `clock` is monotonic, and runs on while the machine sleeps; `local` is this machine's Unix time,
    both in seconds. `jitter` returns a number from 0 to 1.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        *,
        clock: Callable[[], float],
        local: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self.engine = engine
        self.settings = settings
        self.clock = clock
        self.jitter = jitter
        self.wall = Wall(clock, local)
        self.lease = Lease(settings.lease)
        self.keeper = Keeper(self.lease, clock)
        self.nodes = Nodes(settings.lease)
        self.hint = Hint()
        self.reaches = Reaches(self.hint.give)
        self.offer = Offer()
        self.statistics = Statistics()
        self.draining = trio.Event()
        """Set when the node is about to leave."""
        self.former: set[str] = set()
        """Names under which the node was registered before, and may still be."""

    async def pause(self, seconds: float) -> None:
        """Sleep for at most so long, and for at least half of it, so that nodes spread."""
        await trio.sleep(seconds * (1 + self.jitter()) / 2)
