"""Messages from members, and the states in which each may come."""

import secrets
from collections.abc import Iterable

from ..config import Config
from ..core import messages
from ..core.messages import CloseCode
from ..errors import RemoteProtocolError
from .measuring import Measuring
from .member import Member, State
from .membership import Membership
from .timers import Timers


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
                self._join(member, message)
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

    def _join(self, member: Member, join: messages.Join) -> None:
        if join.ticket is not None:
            ticket = self._recognition.verify_untrusted(join.ticket)
            self._measuring.join(member, ticket.room, ticket.session, ticket)
        elif self._config.join == "ticket":
            raise RemoteProtocolError("a ticket is required", CloseCode.BAD_TICKET)
        else:
            assert join.room is not None, "parse_untrusted sees to it"
            self._measuring.join(member, join.room, join.session or secrets.token_urlsafe(16))
