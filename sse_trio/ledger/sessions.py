"""The rows of `sse_trio.auth`, where nodes share an engine: its sessions, and its keys.

Only the swaps of a room make and delete the rows of its sessions: so the row exists if, and only
if, the session is active in its room. The engine gets values and knows no rules. The rules behind
these values are in `core`.
"""

from collections.abc import Collection

import attrs

from ..core.logins import epoch_of
from ..core.standing import Standing
from ..core.tokens import LEEWAY
from ..values import frozen


@frozen(kw_only=True)
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


@frozen
class KeyRow:
    """A key that signs logins, in the order of `checks.KEY`."""

    kid: str
    secret: bytes = attrs.field(repr=False)
    created: float
    """Unix seconds, by the engine's clock."""


@frozen(kw_only=True)
class SessionChanges:
    """What a swap does to the rows of its room, in the same transaction."""

    created: SessionRow | None = None
    ended: Collection[str] = attrs.field(default=(), repr=False)
    """Sessions that end by it, known to the room or not."""
    kept: Collection[str] = attrs.field(repr=False)
    """The named sessions that are active from now on."""
    epoch: int
    ended_below: int
    """The epoch below which a session that is not `kept` has ended."""
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
        """Return the effect of a room's new standing; `created` is of the login that begins."""
        if created is not None:
            # Not before its notify: an older login would be judged as such.
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
        """Whether a row of the room must be deleted."""
        if row.id in self.ended:
            return True
        now = self.latest - LEEWAY
        epoch = epoch_of(row.epoch, row.created, self.epoch, self.notified, now)
        return row.id not in self.kept and epoch < self.ended_below


@frozen
class Session:
    """Asks for one session, by its id."""

    id: str = attrs.field(repr=False)


@frozen
class OfRoom:
    """Asks for the sessions of a room."""

    room: str = attrs.field(repr=False)


@frozen
class OfUser:
    """Asks for the sessions of a user, of one provider."""

    provider: str
    user: str = attrs.field(repr=False)


@frozen(kw_only=True)
class Older:
    """Asks for some sessions of a kind that were last seen, or created, before then."""

    provider: str
    app_type: str | None
    """None is any."""
    kind: str
    seen: float
    created: float
    most: int


@frozen
class SignedByOthers:
    """Asks for some sessions whose cookies no existing key has signed."""

    most: int


Wanted = Session | OfRoom | OfUser | Older | SignedByOthers
