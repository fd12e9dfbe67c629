"""How long a node may vouch by its cached rooms, and from when others may expel it.

No clock is compared with another node's. A node counts from the moment when it *sent* a renewal,
and others from when they *saw* it, which is later. All are fractions of a lease:

    0                    1/4           2/3               11/12         1.01
    the renewal is sent  next is sent  vouches no more;  all members   others may
                                       hold begins       are held by   expel
                                                         then

A renewal counts when its own entry has come back through the log, and has been applied: so a node
whose reader is dead loses its lease, even if it still writes. Until then, no other one is sent.

Nothing here reads a clock: its reading is an argument, in seconds. That clock has to run on while
the machine sleeps, and be right to 1%.
"""

import math
from typing import Final

import attrs

RENEWED: Final = 1 / 4
VOUCHES: Final = 2 / 3
EXPELLED: Final = 1.01

# In leases: when a node is expelled even if no notify waits for it.
ABANDONED: Final = 10


@attrs.define(eq=False)
class Lease:
    """The lease of one node; `length` is in seconds."""

    length: float
    # When the last renewal was sent that counts.
    _since: float = -math.inf
    # The number of the batch that renews, and when it was first sent.
    _sent: tuple[int, float] | None = None
    _is_suspended: bool = False

    def is_due(self, now: float) -> bool:
        """Whether the next batch is to renew it."""
        is_old = self._is_suspended or self.age(now) >= self.length * RENEWED
        return is_old and self._sent is None

    def send(self, seq: int, now: float) -> None:
        """Note that a batch which renews it is sent for the first time."""
        self._sent = seq, now

    def apply(self, seq: int) -> None:
        """Note that the node has applied its own entries up to this one."""
        if self._sent is not None and self._sent[0] <= seq:
            self._since = self._sent[1]
            self._sent = None
            self._is_suspended = False

    def suspend(self) -> None:
        """Stop vouching until a renewal has come back that is sent from now on."""
        self._sent = None
        self._is_suspended = True

    def age(self, now: float) -> float:
        """Return the seconds since the last renewal that counts was sent."""
        return now - self._since

    def until_lapse(self, now: float) -> float:
        """Return the seconds for which it vouches, if nothing renews it; 0 if it does not."""
        return 0.0 if self._is_suspended else max(0.0, self.length * VOUCHES - self.age(now))

    def vouches(self, now: float) -> bool:
        """Whether the node may vouch by its cached rooms."""
        return self.until_lapse(now) > 0
