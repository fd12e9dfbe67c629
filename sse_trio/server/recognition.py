"""Whom the server recognises: the standings, the tickets, and the ledger behind both.

Every change of who stands is noted in the ledger in the step that makes it; that a room is
in use, now and then. So what the ledger has, in the order in which it was noted, is always
what was once true.
"""

import itertools
import secrets
from collections.abc import Callable, Container, Generator, Iterable

from ..config import Config
from ..core.notify import Answer
from ..core.standing import Record, Standing
from ..core.standings import Standings
from ..core.tickets import Ticket, Tickets
from ..ledger import Commit, Ledger

# How often at most, in a `ticket_lifetime`, a room is noted for nothing but its being used.
NOTES_A_LIFETIME = 30


class Recognition:
    """The standings of one server, mirrored in its ledger.

    `wall` is Unix time in seconds; `alive` holds the rooms that have members.
    """

    def __init__(
        self, config: Config, ledger: Ledger, *, wall: Callable[[], float], alive: Container[str]
    ) -> None:
        self.ledger = ledger
        self._wall = wall
        self._lifetime = config.ticket_lifetime
        self._standings = Standings(config, alive=alive)
        self._tickets = Tickets(config.authkey, lifetime=config.ticket_lifetime)

    def __len__(self) -> int:
        """How many rooms are remembered."""
        return len(self._standings)

    def restore(self, records: Iterable[tuple[str, Record]]) -> None:
        """Take up what the ledger remembers, before anybody joins."""
        for room, record in records:
            self._standings.restore(room, record)

    def standing(self, room: str) -> Standing:
        """Return the room's standing, as used just now."""
        now = self._wall()
        standing = self._standings.touch(room, now)
        # At most two a call keep the cost of a join constant, and still forget faster than
        # rooms can come.
        for looked_at in itertools.islice(self._standings.forget(now, keep=room), 2):
            self._note_looked_at(looked_at, now)
        return standing

    def stands(self, room: str, session: str, epoch: int) -> bool | None:
        """Whether a login of that epoch stands; None where the room knows nothing of it."""
        standing = self._standings.get(room)
        if standing is None:
            return None
        if session in standing.logins:
            return standing.stands(session)
        return False if epoch < standing.floor else None

    def sessions(self, room: str) -> frozenset[str]:
        """Return the sessions of a room that stand."""
        standing = self._standings.get(room)
        return frozenset(filter(standing.stands, standing.logins) if standing else ())

    def note(self, room: str, answer: Answer | None = None) -> Commit:
        """Have the ledger remember the room as it is now, and `answer` with it."""
        return self._note(room, self._standings.touch(room, self._wall()), answer)

    def _note(self, room: str, standing: Standing, answer: Answer | None = None) -> Commit:
        standing.noted = standing.touched
        return self.ledger.note(room, standing.record(), answer)

    def sweep(self) -> Generator[str, None, None]:
        """Forget every room that is too old; yield each."""
        now = self._wall()
        for room in self._standings.forget(now):
            self._note_looked_at(room, now)
            yield room

    def _note_looked_at(self, room: str, now: float) -> None:
        standing = self._standings.get(room)
        if standing is None:
            self.ledger.note(room, None)
        elif standing.touched == now:
            self._note(room, standing)

    def see(self, room: str, session: str) -> None:
        """Note that the session is there, or has been until now.

        The ledger hears of it now and then, so that a restart does not make the session and its
        room much older than they are.
        """
        if standing := self._standings.get(room):
            now = self._wall()
            standing.see(session, now)
            if now - standing.noted > self._lifetime / NOTES_A_LIFETIME:
                self.note(room)

    def mint(self, ticket: Ticket, now: float) -> str | None:
        """Sign a ticket as of `now`; None without a key."""
        return self._tickets.mint(ticket, now=now, jti=secrets.token_urlsafe(12))

    def ticket(self, room: str, session: str) -> str | None:
        """Sign a ticket of the session's login, as of now if it is new; None without a key."""
        standing = self.standing(room)
        # Never before the notify it comes with, whichever way the clock was put since.
        now = max(self._wall(), standing.notified)
        return self.mint(Ticket(room, session, standing.login(session).epoch), now)

    def verify_untrusted(self, token: str) -> Ticket:
        """Read a ticket.

        Raises:
            RemoteProtocolError: it is forged, expired, or for something else.
        """
        return self._tickets.verify_untrusted(token, now=self._wall())
