"""One browser, from the answer to its handshake to the end of its connection.

It is parked all that time: whatever comes is handled, and answered, in one synchronous step of
`Membership` and `WebSocket`, and a task runs only where there is something to wait for.
"""

import logging
import traceback

import attrs

from ..core.messages import CloseCode
from .hub import Hub
from .member import Member, State
from .parking import Parking
from .transport import Transport
from .websocket import WebSocket

logger = logging.getLogger("sse_trio")

# One read: a whole message of any page. All its frames are handled in one step, and 16 KiB
# of the smallest took 0.1 s.
READ = 1024


def converse(
    hub: Hub, parking: Parking, transport: Transport, address: str, data: bytes
) -> "Conversation":
    """Make a connection a member, or what is on the way to it; the parking has it from now on.

    `data` is what the client sent right behind its handshake.
    """
    config = hub.config
    websocket = WebSocket(
        transport.socket,
        parking.spawn,
        limit=config.max_outbox,
        timeout=config.heartbeat_timeout,
        max_message=config.max_message,
    )
    member = hub.membership.arrive(websocket, address)
    conversation = Conversation(transport, hub, parking, websocket, member)
    parking.park(conversation)
    if data:
        conversation.take(data)
    return conversation


@attrs.define(eq=False, weakref_slot=False)
class Conversation:
    """A WebSocket and its member, as long as the connection lasts.

    It knows the member, which knows the WebSocket, which knows nobody: no cycle keeps them
    in memory when it has ended.
    """

    transport: Transport
    _hub: Hub
    _parking: Parking
    _websocket: WebSocket
    _member: Member

    def ready(self) -> None:
        """Read, and take what there is."""
        try:
            data = self.transport.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:  # reset by the peer
            data = b""
        if self._websocket.aborted:
            self.cut()
        elif data:
            self.take(data)
        else:
            self._leave(hung_up=True)
            self._close()

    def take(self, data: bytes) -> None:
        """Pass on what the peer says; whatever that causes ends here, and ends only this."""
        try:
            self._take(data)
        except Exception as error:  # noqa: BLE001
            log_failure("a connection failed", error)
            self.cut()

    def cut(self) -> None:
        """End at once, without a word."""
        self._leave(hung_up=False)
        self._close()

    def _take(self, data: bytes) -> None:
        websocket, member, membership = self._websocket, self._member, self._hub.membership
        admission = member.admission
        membership.hear(member, websocket.receive(data))
        if member.admission is not admission:
            self._parking.spawn(self._hub.admit, member)
        if websocket.closed:
            self._leave(hung_up=True)
            self._parking.spawn(self._linger)
        elif websocket.closing and member.state is not State.CLOSING:
            # What came was too big, or more than the peer reads the answers to.
            membership.close(member, CloseCode.MALFORMED, "")

    def _leave(self, *, hung_up: bool) -> None:
        if self._member.state is not State.GONE:
            self._parking.leave(self)
            self._hub.membership.leave(self._member, hung_up=hung_up)

    async def _linger(self) -> None:
        """Close when the peer has read to the end, or has had the time to."""
        try:
            await self.transport.part(self._hub.config.linger)
        finally:
            self._close()

    def _close(self) -> None:
        self._websocket.abandon()
        self.transport.close()


def log_failure(what: str, error: Exception) -> None:
    """Log a mistake of ours that a client has found."""
    # The message of an exception may quote what the client sent; where it came from may not.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("%s: %s\n%s", what, type(error).__name__, where)
