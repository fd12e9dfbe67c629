"""The lease of this node, against its clock: when it lapses, and when the node vouches again."""

from collections.abc import Callable

import trio

from .lease import Lease

# In a lease: how often the clock is looked at. Trio's own stands still while the machine sleeps.
LOOKS = 24

# Seconds that are slept at least, lest rounding make a sleep one of no time at all.
_SHORTEST = 0.001


class Keeper:
    """Watches a lease. `clock` is monotonic, in seconds, and runs on while the machine sleeps."""

    def __init__(self, lease: Lease, clock: Callable[[], float]) -> None:
        self._lease = lease
        self._clock = clock
        self.suspensions = 0
        """How often everything cached had to be dropped."""
        self._was_valid = False
        self._lapsed = trio.Event()
        self._lapsed.set()
        self._restored = trio.Event()

    @property
    def vouches(self) -> bool:
        """Whether the node may vouch for what it has cached, at this very moment."""
        return self._lease.vouches(self._clock())

    @property
    def age(self) -> float:
        """Seconds since the last renewal that counts was sent."""
        return self._lease.age(self._clock())

    async def lapsed(self) -> None:
        """Return when the node vouches no more."""
        self.look()
        await self._lapsed.wait()

    async def restored(self) -> None:
        """Return when the node vouches again."""
        self.look()
        await self._restored.wait()

    def apply(self, seq: int) -> None:
        """Note that the node has applied its own entries up to this one."""
        # Whoever waits for a lapse hears of it, however soon it is over.
        self.look()
        self._lease.apply(seq)
        self.look()

    def suspend(self) -> None:
        """Vouch for nothing, from this step on."""
        self.suspensions += 1
        self._lease.suspend()
        self.look()

    def look(self) -> None:
        """Compare the clock with the lease, and wake those who wait."""
        is_valid = self.vouches
        if is_valid == self._was_valid:
            return
        self._was_valid = is_valid
        if is_valid:
            self._lapsed = trio.Event()
            self._restored.set()
        else:
            self._restored = trio.Event()
            self._lapsed.set()

    async def run(self, renew: Callable[[], object]) -> None:
        """Call `renew` when the lease is to be renewed, and look at the clock, for ever."""
        while True:
            self.look()
            now = self._clock()
            if self._lease.is_due(now):
                renew()
            sleep = self._lease.length / LOOKS
            if self._was_valid:
                sleep = min(sleep, self._lease.until_lapse(now))
            await trio.sleep(max(sleep, _SHORTEST))
