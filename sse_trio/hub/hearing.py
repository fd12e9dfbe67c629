"""Messages from members, and the states in which each may come."""

import secrets
from collections.abc import Iterable

import attrs

from ..config import Config
from ..core import messages
from ..core.messages import CloseCode
from ..core.tickets import Ticket
from ..errors import RemoteProtocolError
from ..values import frozen
from .measuring import Measuring
from .member import Member, State
from .membership import Membership
from .timers import Timers


@frozen
class Claim:
    """As which session of which room a page joins, and the ticket that proves it, if it has one."""

    room: str = attrs.field(repr=False)
    session: str = attrs.field(repr=False)
    ticket: Ticket | None = attrs.field(default=None, repr=False)


class Hearing:
    """Takes the messages of one server's members, and carries them out."""

    def __init__(
        self, config: Config, membership: Membership, measuring: Measuring, timers: Timers
    ) -> None:
        self._config = config
        self._membership = membership
        self._recognition = membership.recognition
        self._measuring = measuring
        self._timers = timers

    def reload(self, config: Config) -> None:
        """Use another configuration, for messages from now on."""
        self._config = config

    def hear(self, member: Member, heard: Iterable[str | bytes]) -> None:
        """Take the input of a member: that bytes came, and the messages in them."""
        member.heard = self._timers.now()
        for message in heard:
            try:
                if isinstance(message, bytes):
                    raise RemoteProtocolError("messages are text, not binary", CloseCode.MALFORMED)
                parsed = messages.parse_untrusted(message)
            except RemoteProtocolError as error:
                self._refuse(member, error)
            else:
                self.take(member, parsed)

    def take(self, member: Member, message: messages.ClientMessage) -> None:
        """Take one message of a member."""
        try:
            self._handle_message(member, message)
        except RemoteProtocolError as error:
            self._refuse(member, error)

    def _refuse(self, member: Member, error: RemoteProtocolError) -> None:
        self._membership.refuse(member, CloseCode(error.close_code), str(error))

    def _handle_message(self, member: Member, message: messages.ClientMessage) -> None:
        match member.state, message:
            case State.ARRIVING | State.CONNECTED, messages.Join():
                self.join(member, self.read_untrusted(message))
            case State.TERMINATED, messages.Terminated():
                self._membership.acknowledge(member)
            case State.JOINED, messages.Heartbeat():
                self._membership.answer_heartbeat(member)
            case (State.SUPERSEDED | State.TERMINATED | State.CLOSING | State.GONE, _):
                pass
            case State.ARRIVING | State.CONNECTED, _:
                raise RemoteProtocolError("the first message is a join", CloseCode.MALFORMED)
            case _:
                raise RemoteProtocolError("unexpected message", CloseCode.MALFORMED)

    def read_untrusted(self, join: messages.Join) -> Claim:
        """Return what a join claims; without a session, it is a new one.

        Raises:
            RemoteProtocolError: its ticket is wrong, or it needs one.
        """
        if join.ticket is not None:
            ticket = self._recognition.verify_untrusted(join.ticket)
            return Claim(ticket.room, ticket.session, ticket)
        if self._config.join == "ticket":
            raise RemoteProtocolError("a ticket is required", CloseCode.BAD_TICKET)
        assert join.room is not None, "who has read it has seen to it"
        return Claim(join.room, join.session or secrets.token_urlsafe(16))

    def join(self, member: Member, claim: Claim) -> None:
        """Have a member join that has not joined yet."""
        self._measuring.join(member, claim.room, claim.session, claim.ticket)
