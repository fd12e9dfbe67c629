"""The time that all nodes share: the engine's clock, as one node knows it."""

from collections.abc import Callable

# Seconds that this machine's clock may be off.
MAX_OFF = 5.0


class Wall:
    """The engine's clock. `clock` is monotonic, `local` this machine's Unix time, in seconds."""

    def __init__(self, clock: Callable[[], float], local: Callable[[], float]) -> None:
        self._clock = clock
        self._local = local
        self._offset = local() - clock()

    def __call__(self) -> float:
        """Return the engine's time, in Unix seconds."""
        return self._clock() + self._offset

    def take(self, wall: float, asked: float) -> None:
        """Use the engine's time, which was asked for at that time of the clock."""
        self._offset = wall - (asked + self._clock()) / 2

    @property
    def is_local(self) -> bool:
        """Whether this machine's clock shows about the same."""
        return abs(self._local() - self()) <= MAX_OFF
