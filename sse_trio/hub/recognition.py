"""Which logins the server recognises: the standings, the tickets, and the ledger behind both.

Every change of a standing is drafted on a copy and proposed to the ledger. When the ledger has
decided for it, the draft is the room's standing. The use of a room is proposed only now and then.
So the ledger's contents, in the order of the proposals, were always true at some moment.
"""

import math
import os
import random
from collections.abc import Callable, Collection, Container, Generator, Iterable
from functools import partial

import attrs

from ..config import Config
from ..core.logins import NOTES_A_LIFETIME, Record
from ..core.notify import Answer
from ..core.questions import LoginQuery
from ..core.standing import Standing
from ..core.standings import Standings
from ..core.tickets import TOKEN, Ticket, Tickets, claims_of
from ..core.verdict import UNKNOWN, Verdict, verdict_of
from ..errors import RemoteProtocolError
from ..ledger import Ledger, Proposal, SharedLedger, Swap
from ..ledger.proposals import Version
from ..ledger.sessions import SessionChanges, SessionRow
from ..roster import Roster
from ..values import frozen
from .cache import Cache
from .member import Outcome

Decided = Callable[[Standing], Outcome | None]
"""Called with a room's new standing, in the step that has learned of the decision."""


@frozen
class View:
    """One room at one moment."""

    sessions: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """The active sessions."""
    logins: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """Those of them that were named."""
    epoch: int = 0
    ended_below: int = 0
    """The epoch below which a login that the room does not know has ended."""
    notified: float = 0.0
    """Unix seconds of the last notify. An older login counts as of an epoch before it."""
    now: float = math.inf
    """Unix seconds of that moment. A login from after it counts as of an epoch before, too."""


@frozen
class _Needed:
    """The rooms that have members, or a record that is not written yet.

    The file does not yet have all that such a room knows.
    """

    alive: Container[str]
    ledger: Ledger

    def __contains__(self, room: object) -> bool:
        assert isinstance(room, str)
        return room in self.alive or self.ledger.pending(room) is not None


class Recognition:
    """The standings of one server, mirrored in its ledger.

    `wall` is Unix time in seconds; `alive` holds the rooms that have members.
    """

    def __init__(
        self, config: Config, ledger: Ledger, *, wall: Callable[[], float], alive: Container[str]
    ) -> None:
        self.ledger = ledger
        self._wall = wall
        # For each `jti`, which must be unique, but need not be secret (RFC 7519, section 4.1.7). A
        # count would tell each user how many others have logged in.
        self._random = random.Random(os.urandom(32))  # noqa: S311
        shared = ledger if isinstance(ledger, SharedLedger) else None
        needed = _Needed(alive, ledger)
        self._standings = Standings(config, alive=needed, is_cache=shared is not None)
        self.cache = Cache(shared, self._standings, wall=wall) if shared else None
        """If several nodes share the ledger: the rooms that this node has read."""
        self.reload(config)

    def __len__(self) -> int:
        """How many rooms are remembered."""
        return len(self._standings)

    def reload(self, config: Config) -> None:
        """Use a configuration: its keys, limits and lifetimes."""
        self._lifetime = config.ticket_lifetime
        self._standings.reload(config)
        if self.cache is not None:
            self.cache.reload(config)
        self._tickets = Tickets(config.authkey, lifetime=self._lifetime)
        self._tokens = Tickets(config.authkey, lifetime=self._lifetime, kind=TOKEN)

    def restore(self, records: Iterable[tuple[str, Record]]) -> None:
        """Add what the ledger remembers, before the first join."""
        for room, record in records:
            self._standings.restore(room, record)

    def knows(self, room: str) -> bool:
        """Whether memory has the whole room, and it is true at this moment."""
        return self.cache is None or self.cache.knows(room)

    @property
    def vouches(self) -> bool:
        """Whether the server may say of any session that it is active."""
        return self.cache is None or self.cache.vouches

    def known(self, room: str) -> Standing | None:
        """Return the room's standing, if it is known, and may be relied on."""
        return self._standings.get(room) if self.vouches else None

    def cached(self, room: str) -> Standing | None:
        """Return the room's standing as it was last known."""
        return self._standings.get(room)

    def draft(self, room: str) -> Standing:
        """Return a copy of the room's standing, or a new one, to be changed and proposed."""
        return self._standings.draft(room, self._wall())

    def propose(
        self,
        room: str,
        draft: Standing,
        decided: Decided,
        answer: Answer | None = None,
        sessions: SessionChanges | None = None,
    ) -> Proposal:
        """Propose a draft, and `answer` with it, and what it does to rows of `sessions`.

        As soon as the ledger has decided for it, it is the room's standing, and `decided` is
        called. If one process decides, that happens before this returns.
        """
        won = partial(self._won, room, draft, decided)
        return self.ledger.propose(Swap(room, draft, draft.version, answer, won, sessions))

    def changes(
        self, draft: Standing, ended: Collection[str], created: SessionRow | None = None
    ) -> SessionChanges | None:
        """Return what a draft does to rows of sessions, where nodes share them: some have ended."""
        return None if self.cache is None else SessionChanges.of(draft, ended, created)

    def _keep(self, room: str, draft: Standing, version: Version | None) -> None:
        draft.version = version
        draft.noted = draft.touched
        if self.cache is None or not self.cache.is_outdated(room, version):
            self._standings.put(room, draft)
        else:
            # A present reading of the room may be from before this, and nothing would correct it.
            self.cache.note_changed([room])

    def _won(
        self, room: str, draft: Standing, decided: Decided, version: Version | None
    ) -> Outcome | None:
        self._keep(room, draft, version)
        # At most two of each kind in a call: so the cost of a join is constant, and rooms are still
        # deleted faster than they can come.
        now = draft.touched
        for looked_at in self._standings.forget(now, keep=room, most=2):
            self._note_looked_at(looked_at, now)
        return decided(draft)

    def stands(self, login: Ticket) -> bool | None:
        """Whether a login is active; None if the room does not know it.

        A session that has only joined under this name proves nothing.
        """
        standing = self.known(login.room)
        if standing is None:
            return None
        if standing.superseded(standing.login(login.session, login, now=self._wall())):
            return False
        known = standing.logins.get(login.session)
        return True if known and known.named and known.epoch == login.epoch else None

    def view(self, room: str) -> View:
        """Return the active sessions of a room, and what ends those that it does not know."""
        standing = self.known(room)
        if standing is None:
            return View()
        return View(
            frozenset(standing.standing_sessions()),
            frozenset(standing.placed_sessions()),
            standing.epoch,
            standing.ended_below,
            standing.notified,
            self._wall(),
        )

    def touch(self, room: str) -> None:
        """Note that a room is in use now."""
        self._standings.touch(room, self._wall())

    def note(self, room: str, answer: Answer | None = None) -> Proposal:
        """Propose the room as it is now, and `answer` with it."""
        return self.propose(room, self.draft(room), _do_nothing, answer)

    def sweep(self) -> Generator[int, None, None]:
        """Delete every room that is too old; yield 1 after each."""
        now = self._wall()
        for room in self._standings.forget(now):
            self._note_looked_at(room, now)
            yield 1

    def _note_looked_at(self, room: str, now: float) -> None:
        standing = self._standings.get(room)
        if standing is not None:
            if standing.touched == now:
                self._refresh(room, standing)
        elif self.cache is None:
            self.ledger.propose(Swap(room, None))

    def see(self, room: str, session: str) -> None:
        """Note that the session was seen now.

        This is proposed to the ledger now and then, so that a restart does not make the session and
        its room much older than they are.
        """
        if standing := self._standings.get(room):
            self._see(room, standing, session, self._wall())

    def _see(self, room: str, standing: Standing, session: str, now: float) -> None:
        standing.see(session, now)
        self._note_use(room, standing, now)

    def _note_use(self, room: str, standing: Standing, now: float) -> None:
        if now - standing.noted > self._lifetime / NOTES_A_LIFETIME:
            self._refresh(room, standing)

    def _refresh(self, room: str, standing: Standing) -> None:
        """Propose to the ledger that a room is in use."""
        standing.noted = standing.touched
        draft = self.draft(room)
        self.ledger.propose(Swap(room, draft, draft.version, won=partial(self._keep, room, draft)))

    def mint(self, login: Ticket, now: float) -> tuple[str, str] | tuple[None, None]:
        """Sign a login's ticket and its token as of `now`; None without a key."""
        claims = claims_of(
            login, now=now, lifetime=self._lifetime, jti=f"{self._random.getrandbits(96):024x}"
        )
        ticket, token = self._tickets.sign(claims), self._tokens.sign(claims)
        return (ticket, token) if ticket and token else (None, None)

    def mint_now(self, login: Ticket) -> str | None:
        """Sign a login's ticket as of now; None without a key."""
        return self.mint(login, self._wall())[0]

    def mark_named(self, room: str, session: str) -> bool:
        """Count a session as named, before a ticket is signed for it; False if nothing changes.

        The room knows the session from now on. Otherwise, when a page joins with the ticket, the
        room could treat the session as one that has ended and was forgotten.
        """
        if not self._tickets.can_sign:
            return False
        draft = self.draft(room)
        if not draft.mark_named(session):
            return False
        self.propose(room, draft, _do_nothing)
        return True

    def ticket(self, room: str, session: str) -> str | None:
        """Sign a ticket of the session's login; None without a key."""
        self.touch(room)
        if standing := self.known(room):
            # A fresh ticket is valid for longer than the room's last use in the ledger.
            self._note_use(room, standing, standing.touched)
        return self.prove(self.draft(room), room, session)[0]

    def prove(
        self, standing: Standing, room: str, session: str | None
    ) -> tuple[str, str] | tuple[None, None]:
        """Sign the ticket and the token of a session, if there is one, and a key."""
        if session is None:
            return None, None
        # Never before the notify it comes with, even if the clock was set since.
        now = max(standing.touched, standing.notified)
        return self.mint(Ticket(room, session, standing.login(session).epoch), now)

    def sessions(self, room: str, present: Container[str]) -> Roster:
        """Return a room's active sessions, and change nothing; the `present` are seen now."""
        standing = self.known(room)
        if standing is None:
            return Roster(room=room, epoch=0, floor=0, sessions=())
        sessions = standing.sessions(self._wall(), present=present)
        return Roster(
            room=room, epoch=standing.epoch, floor=standing.floor, sessions=tuple(sessions)
        )

    def who_stands(self, room: str) -> tuple[list[str], int]:
        """Return the names of a room's active sessions, the newest first; and its floor."""
        standing = self.known(room)
        return ([], 0) if standing is None else (standing.names(), standing.floor)

    def judge_untrusted(self, query: LoginQuery) -> Verdict:
        """Return whether the session of a token is active, or the one that is named."""
        if query.token is not None:
            return self.judge_token_untrusted(query.token, renew=query.renew)
        assert query.room is not None, "a query has a token, or both names"
        assert query.session is not None
        names = query.room, query.session
        return self.check(*names, query.epoch, seen=query.seen, renew=query.renew)

    def judge_token_untrusted(self, token: str, *, renew: bool = False) -> Verdict:
        """Return whether the session of a token is active; if so, it counts as seen.

        For a token that is not valid, the verdict is "not known".
        """
        try:
            login = self._tokens.verify_untrusted(token, now=self._wall())
        except RemoteProtocolError:
            return UNKNOWN
        return self.check(login.room, login.session, login, seen=True, renew=renew)

    def room_of(self, query: LoginQuery) -> str | None:
        """Return the room that a query is about; None if its token is not valid."""
        if query.token is None:
            return query.room
        try:
            return self._tokens.verify_untrusted(query.token, now=self._wall()).room
        except RemoteProtocolError:
            return None

    def check(
        self,
        room: str,
        session: str,
        proof: Ticket | int | None = None,
        *,
        seen: bool = False,
        renew: bool = False,
    ) -> Verdict:
        """Return whether a session is active: the verdict of a join.

        `proof` is a token's, or just the number of the login's epoch. This begins and ends no
        session. With `seen`, an active session counts as seen now. With `renew`, it does too, and
        the verdict has a fresh ticket and token.
        """
        standing = self.known(room)
        if standing is None:
            return UNKNOWN
        now = self._wall()
        expires = proof.expires if isinstance(proof, Ticket) else None
        verdict = verdict_of(room, session, standing.check(session, proof, now=now), expires)
        renew = verdict.active and renew and self._tickets.can_sign
        if renew or (verdict.active and seen):
            self._see(room, standing, session, now)
        if renew:
            # The new ticket is valid for a lifetime, and the room must know the session as long.
            self._standings.touch(room, now)
            assert verdict.epoch is not None
            now = max(now, standing.notified)
            ticket, token = self.mint(Ticket(room, session, verdict.epoch), now)
            expires = now + self._lifetime
            verdict = attrs.evolve(verdict, ticket=ticket, token=token, expires=expires)
        return verdict

    def verify_untrusted(self, token: str) -> Ticket:
        """Read a ticket.

        Raises:
            RemoteProtocolError: it is forged, expired, or for something else.
        """
        return self._tickets.verify_untrusted(token, now=self._wall())


def _do_nothing(_: Standing) -> None:
    pass
