"""Compares the lease of this node with its clock: when it ends, and when the node vouches again."""

from collections.abc import Callable

import trio

from .lease import Lease

# In a lease: how often the clock is read. Trio's own stands still while the machine sleeps.
LOOKS = 24

# The shortest sleep in seconds, so that rounding cannot make it zero.
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
        """Whether the node may vouch by its cached rooms, at this moment."""
        return self._lease.vouches(self._clock())

    @property
    def age(self) -> float:
        """Seconds since the last renewal that counts was sent."""
        return self._lease.age(self._clock())

    async def lapsed(self) -> None:
        """Return when the node no longer vouches."""
        self.look()
        await self._lapsed.wait()

    async def restored(self) -> None:
        """Return when the node vouches again."""
        self.look()
        await self._restored.wait()

    def apply(self, seq: int) -> None:
        """Note that the node has applied its own entries up to this one."""
        # A task that waits for the end of the lease is woken, even if the lease is soon valid
        # again.
        self.look()
        self._lease.apply(seq)
        self.look()

    def suspend(self) -> None:
        """Stop vouching, from this step on."""
        self.suspensions += 1
        self._lease.suspend()
        self.look()

    def look(self) -> None:
        """Compare the clock with the lease, and wake the tasks that wait."""
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
        """Call `renew` when the lease must be renewed, and check the clock, for ever."""
        while True:
            self.look()
            now = self._clock()
            if self._lease.is_due(now):
                renew()
            sleep = self._lease.length / LOOKS
            if self._was_valid:
                sleep = min(sleep, self._lease.until_lapse(now))
            await trio.sleep(max(sleep, _SHORTEST))
