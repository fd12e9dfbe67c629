"""One client of Socket.IO: what it says, by requests or on a WebSocket, and what becomes of it."""

import secrets
from collections.abc import Callable, Container
from typing import Any

from ...core import messages
from ...core.messages import CloseCode
from ...errors import RemoteProtocolError
from ...hub.hearing import Claim
from ...hub.hub import Hub
from ...hub.member import Member, State
from ...hub.timers import HasDeadline
from .dialect import (
    MESSAGE,
    TERMINATED,
    Dialect,
    private_id,
    read_join_untrusted,
    session_of,
)
from .effects import Deliver, Ended
from .engine_packets import EnginePacket, Kind, parse_packet_untrusted
from .joins import Joins, Terminated
from .namespaces import (
    MAIN,
    Connect,
    Happened,
    Leave,
    Namespaces,
    Unknown,
    accepted,
    refused,
)
from .peer import Line, Request, SocketPeer
from .session import Session


class SocketClient(HasDeadline):
    """A client and its member. Its deadline is that of connecting to the main namespace.

    `sid` is its id; `claims` what the query of its handshake says of its login. `spawn` starts a
    task; `forget` is called when it has ended, and `ignored` with the name of each event that is
    not configured. `terminated` is that of all clients.
    """

    known: Container[str] = frozenset({MAIN})
    """The namespaces that there are."""

    def __init__(
        self,
        hub: Hub,
        dialect: Dialect,
        sid: str,
        claims: dict[str, str],
        *,
        spawn: Callable[..., None],
        forget: Callable[[str], object],
        ignored: Callable[[str], object],
        terminated: Terminated,
    ) -> None:
        self.sid = sid
        self._hub = hub
        self._dialect = dialect
        # What it has said of its login; None once it has connected.
        self._claims: dict[str, Any] | None = dict(claims)
        self._spawn = spawn
        self._forget = forget
        self._ignored = ignored
        self._terminated = terminated
        config = hub.config
        self.session: Session[Request, Line] = Session(
            version=dialect.version, limit=config.max_outbox
        )
        self.peer = SocketPeer(self.session, dialect, spawn)
        self.peer.end = self.end
        self._namespaces = Namespaces(self.known, version=dialect.socket_version)
        # As which it joins, if it does not say so: in version 3 pages know no other id of theirs.
        self._login = sid if dialect.version == 3 else secrets.token_urlsafe(16)
        self.member: Member
        """Set by `arrive`."""
        self._joins: Joins

    def arrive(self, address: str) -> None:
        """Register as a member; it may be refused at once."""
        self.member = self._hub.membership.arrive(self.peer, address)
        self._hub.membership.stay(self.member)
        self._joins = Joins(self._hub, self.member, self._terminated, self._spawn)
        self.peer.note_terminated = self._joins.note_terminated
        self._hub.timers.schedule(self, self._hub.timers.now() + self._hub.config.join_timeout)

    def expire(self, now: float) -> None:
        """Close it, as it has not connected in time."""
        self._hub.membership.refuse(self.member, CloseCode.TIMED_OUT, "no connect in time")

    @property
    def is_stranger(self) -> bool:
        """Whether it has not joined, and has no WebSocket."""
        has_joined = self.member.state not in (State.ARRIVING, State.CONNECTED)
        return self.session.websocket is None and not has_joined

    @property
    def version(self) -> int:
        """The version of Engine.IO that it speaks."""
        return self._dialect.version

    @property
    def grace(self) -> float:
        """Seconds that it may be silent for beyond `heartbeat_timeout`.

        In version 3 it is the client that pings, by timers that browsers slow down to one in a
        minute.
        """
        return self._hub.config.heartbeat_interval if self.version == 3 else 0.0

    @property
    def greeting(self) -> list[str]:
        """The packets behind that of the handshake: in version 3 the server connects unasked."""
        if self.version > 3:
            return []
        return [MESSAGE + accepted(MAIN, self.sid, version=self._dialect.socket_version)]

    # -- it says something ---------------------------------------------------------------

    def run(self, effects: list[object]) -> None:
        """Do what the session wants done."""
        for effect in effects:
            match effect:
                case Deliver():
                    self.hear(effect.message)
                case Ended():
                    self._leave(hung_up=effect.hung_up)
                case _:
                    self.peer.perform(effect)

    def note_heard(self) -> None:
        """Take note of a sign of life."""
        self.member.heard = self._hub.timers.now() + self.grace
        if self.version == 3 and self._claims is not None:
            # The server has connected it to the main namespace.
            self._connect({})

    def get(self, request: Request) -> None:
        """Take a GET."""
        self.note_heard()
        self.run(self.session.get(request))

    def post(self, request: Request, packets: list[EnginePacket] | None) -> None:
        """Take a POST with its packets; None if it has something else."""
        self.note_heard()
        if packets is None:
            self.run(self.session.refuse(request))
        else:
            self.run(self.session.post(request, packets))

    def begin_on(self, line: Line) -> None:
        """Begin on a WebSocket."""
        self.run(self.session.attach(line))
        self.note_heard()

    def receive(self, line: Line, message: str | bytes) -> None:
        """Take a message of a WebSocket."""
        if self.session.websocket is line:
            self.note_heard()
        self.run(self.session.message(line, _to_packet(message)))

    def hear(self, message: str | bytes) -> None:
        """Take a message of Engine.IO."""
        # One that is superseded is about to be told, and by nothing else than that.
        if self.member.state in (State.SUPERSEDED, State.CLOSING, State.GONE):
            return
        try:
            said = self._namespaces.receive_untrusted(message)
        except ValueError as error:
            # A client of Socket.IO says nothing like it; it may connect again.
            self._hub.membership.close(self.member, CloseCode.PROTOCOL_ERROR, str(error))
            return
        match said:
            case Unknown():
                why = refused(
                    said.namespace, "Invalid namespace", version=self._dialect.socket_version
                )
                self.peer.say(MESSAGE + why)
            case Connect() | Happened() | Leave():
                self.take(said)

    def take(self, said: Connect | Happened | Leave) -> None:
        """Do what it says in a namespace that there is."""
        match said:
            case Connect():
                self._connect(said.auth)
            case Happened():
                self._event(said)
            case Leave():
                self._hub.membership.note_close(self.member)

    def _connect(self, auth: dict[str, Any]) -> None:
        """Connect it to the main namespace; if it has said what it joins, it does."""
        assert self._claims is not None, "it connects once"
        self._hub.timers.drop(self)
        claims, self._claims = self._claims | auth, None
        try:
            claim = self._identify_untrusted(claims)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        if self._dialect.version > 3:  # of the others it is a part of the handshake
            # Where all need tickets, it has to be in each join as whom it comes.
            pid = None if self._hub.config.join == "ticket" else private_id(self._login)
            answer = accepted(MAIN, self._login, pid, version=self._dialect.socket_version)
            self.peer.say(MESSAGE + answer, keep=True)
        if claim is not None:
            self._joins.take(claim)

    def _identify_untrusted(self, claims: dict[str, Any]) -> Claim | None:
        """Take note as which session it comes; return what it joins, if it says that too.

        Raises:
            RemoteProtocolError: it cannot join so.
        """
        session, pid = claims.get("session"), claims.get("pid")
        try:
            known = session_of(pid) if session is None else messages.name(session, "session")
        except ValueError as error:
            raise RemoteProtocolError(str(error), CloseCode.MALFORMED) from None
        self._login = known or self._login
        if "ticket" not in claims and "room" not in claims:
            return None
        claim = self._read_untrusted(read_join_untrusted(claims))
        self._login = claim.session
        return claim

    def _read_untrusted(self, join: messages.Join) -> Claim:
        if join.room is not None and join.session is None:
            join = messages.Join(join.room, self._login)
        return self._hub.hearing.read_untrusted(join)

    def _refuse(self, error: RemoteProtocolError) -> None:
        self._hub.membership.refuse(self.member, CloseCode(error.close_code), str(error))

    def _event(self, said: Happened) -> None:
        is_terminated = self.member.state is State.TERMINATED
        if said.name == TERMINATED:
            if is_terminated:
                self._hub.membership.acknowledge(self.member)
        elif not self._dialect.is_join(said.name):
            self._ignored(str(said.name))
        elif not is_terminated:
            try:
                claim = self._read_untrusted(self._dialect.read_join_untrusted(said.arguments))
                self.peer.acknowledge_join(said.id)
                self._joins.take(claim)
            except RemoteProtocolError as error:
                self._refuse(error)

    # -- it goes -------------------------------------------------------------------------

    def websocket_closed(self, line: Line) -> None:
        """Take note that the client has closed its WebSocket, whose end is still to come."""
        if self.session.websocket is line:
            self._hub.membership.note_close(self.member)

    def websocket_lost(self, line: Line, *, hung_up: bool) -> None:
        """Take note that a WebSocket has ended."""
        self.run(self.session.websocket_lost(line, hung_up=hung_up))

    def get_lost(self, request: Request) -> None:
        """Take note that the connection of a GET that is held has ended."""
        self.run(self.session.get_lost(request))

    def end(self) -> None:
        """End, because the server wants it."""
        self.run(self.session.end())

    def _leave(self, *, hung_up: bool) -> None:
        # No cycle keeps them in memory.
        self.peer.end = self.peer.note_terminated = None
        self._hub.timers.drop(self)
        self._forget(self.sid)
        self._joins.end()
        self._hub.membership.leave(self.member, hung_up=hung_up)


def _to_packet(message: str | bytes) -> EnginePacket | None:
    if isinstance(message, bytes):
        return EnginePacket(Kind.MESSAGE, message)
    try:
        return parse_packet_untrusted(message)
    except ValueError:
        return None
