"""How large a run is."""

import resource

import attrs

# Descriptors that a process needs for other things than members: callers, files, a log.
OTHERS = 200

# A large part, so that what is still being closed does not count.
MARGIN = 2000


def open_files() -> int:
    """Return how many files one process may have open here."""
    return min(100_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1])


@attrs.frozen(kw_only=True)
class Scale:
    """Numbers of members, rooms and seconds."""

    fan_outs: tuple[tuple[int, int], ...]
    """Members of the room, and how many such rooms. The second largest comes twice."""
    pages: tuple[tuple[int, int], ...]
    """The same, of clients of Socket.IO."""
    rooms: int
    """Of two members each."""
    steps: int
    """Rates among which the highest is looked for, evenly spaced up to the capacity."""
    joins: int
    idle: int
    beating: tuple[int, ...]
    beating_seconds: float
    stalling: int
    large: int
    """Members of the room whose fan-out disturbs the others."""
    windows: int
    churning: int
    """Rooms of two where members come and go."""
    churn_seconds: float
    kept_up: float = 0.75
    """With less than this share of what was to be done there, the worst would be missing from the
    figures, and they are void."""
    questions: int
    """Each has another head."""

    def __str__(self) -> str:
        fan_outs = ", ".join(f"{members:,}" for members, _ in self.fan_outs)
        return f"{fan_outs} in one room; {self.rooms:,} rooms; {self.joins:,} joins"


def full() -> Scale:
    """Return what the figures in the documents are measured at."""
    most = max(1000, (open_files() - MARGIN) // 1000 * 1000)
    usual = {1: 20, 100: 10, 1000: 3, 10_000: 1}
    *fan_outs, largest = ((n, usual.get(n, 1)) for n in sorted({*usual, most}) if n <= most)
    return Scale(
        fan_outs=(*fan_outs, largest, fan_outs[-1]),
        pages=((1000, 3),),
        rooms=min(10_000, (open_files() - OTHERS) // 2),
        steps=20,
        joins=min(6000, most),
        idle=min(10_000, most),
        beating=tuple(sorted(n for n in {1000, 10_000, most} if n <= most)),
        beating_seconds=6,
        stalling=min(3000, most),
        large=min(10_000, most * 5 // 9),
        windows=2,
        churning=1000,
        churn_seconds=12,
        questions=10_000,
    )


QUICK = Scale(
    fan_outs=((1, 10), (100, 3), (1000, 1), (100, 3)),
    pages=((300, 2),),
    rooms=300,
    steps=5,
    joins=600,
    idle=1000,
    beating=(300,),
    beating_seconds=1.5,
    stalling=300,
    large=1000,
    windows=1,
    churning=150,
    churn_seconds=2,
    questions=1000,
)

TINY = Scale(
    fan_outs=((3, 2),),
    pages=((3, 2),),
    rooms=8,
    steps=2,
    joins=8,
    idle=8,
    beating=(4,),
    beating_seconds=0.3,
    stalling=10,
    large=10,
    windows=1,
    churning=4,
    churn_seconds=0.5,
    kept_up=0.05,
    questions=10,
)
"""What tests need, however busy the machine is."""
