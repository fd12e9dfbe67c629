"""The rows of `sse_trio.auth`, where nodes share an engine: its sessions, and its keys.

A session's row is made and removed by swaps of its room, and by nothing else: so the row is there
if, and only if, the room lets the session stand. The engine is told what to do by values. The
rules that these values come from are `core`'s.
"""

from collections.abc import Collection

import attrs

from ..core.logins import epoch_of
from ..core.standing import Standing
from ..core.tokens import LEEWAY


@attrs.frozen(kw_only=True)
class SessionRow:
    """A session, in the order of `checks.SESSION`. Times are Unix seconds."""

    id: str = attrs.field(repr=False)
    user: str = attrs.field(repr=False)
    name: str = attrs.field(repr=False)
    provider: str
    room: str = attrs.field(repr=False)
    kind: str
    app_type: str
    epoch: int
    created: float
    seen: float
    kid: str
    user_agent: str = attrs.field(repr=False)
    address: str = attrs.field(repr=False)


@attrs.frozen
class KeyRow:
    """A key that signs logins, in the order of `checks.KEY`."""

    kid: str
    secret: bytes = attrs.field(repr=False)
    created: float
    """Unix seconds, by the engine's clock."""


@attrs.frozen(kw_only=True)
class SessionChanges:
    """What a swap does to the rows of its room, in the same transaction."""

    created: SessionRow | None = None
    ended: Collection[str] = attrs.field(default=(), repr=False)
    """Sessions that end by it, known to the room or not."""
    kept: Collection[str] = attrs.field(repr=False)
    """The named sessions that stand from now on."""
    epoch: int
    ended_below: int
    """The epoch below which whoever is not `kept` has ended."""
    notified: float
    """Unix seconds. A row from before it counts as of an epoch before `epoch`."""
    latest: float
    """Unix seconds. So does one from after it."""

    @classmethod
    def of(
        cls,
        standing: Standing,
        ended: Collection[str] = (),
        created: SessionRow | None = None,
    ) -> "SessionChanges":
        """Return what a room's new standing does; `created` is of the login that it begins with."""
        if created is not None:
            # Not before the notify that it comes with: what is older is judged as such.
            now = standing.notified
            created = attrs.evolve(created, epoch=standing.epoch, created=now, seen=now)
        return cls(
            created=created,
            ended=sorted(ended),
            kept=sorted(standing.placed_sessions()),
            epoch=standing.epoch,
            ended_below=standing.ended_below,
            notified=standing.notified,
            latest=standing.touched + LEEWAY,
        )

    def end(self, row: SessionRow) -> bool:
        """Whether a row of the room is to be removed."""
        if row.id in self.ended:
            return True
        now = self.latest - LEEWAY
        epoch = epoch_of(row.epoch, row.created, self.epoch, self.notified, now)
        return row.id not in self.kept and epoch < self.ended_below


@attrs.frozen
class Session:
    """Asks for one session, by its id."""

    id: str = attrs.field(repr=False)


@attrs.frozen
class OfRoom:
    """Asks for the sessions of a room."""

    room: str = attrs.field(repr=False)


@attrs.frozen
class OfUser:
    """Asks for the sessions of a user, of one provider."""

    provider: str
    user: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class Older:
    """Asks for some sessions of a kind that were last seen, or created, before then."""

    provider: str
    app_type: str | None
    """None is any."""
    kind: str
    seen: float
    created: float
    most: int


@attrs.frozen
class SignedByOthers:
    """Asks for some sessions whose cookies no key has signed that there is."""

    most: int


Wanted = Session | OfRoom | OfUser | Older | SignedByOthers
