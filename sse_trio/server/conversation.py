"""One browser, from the answer to its handshake to the end of its connection.

It is parked all that time: whatever comes is handled, and answered, in one synchronous step of
`Membership` and `WebSocket`, and a task runs only where there is something to wait for, or where
so much has arrived that other tasks must have a turn in between.
"""

from collections.abc import Callable
from functools import partial

import attrs

from ..core.messages import CloseCode
from .hub import Hub
from .member import Member, State
from .parking import Parking
from .transport import Transport
from .websocket import WebSocket

# Bytes of one read: any page's whole message fits in.
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
        timers=hub.timers,
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
        self._contain(self._read)

    def take(self, data: bytes) -> None:
        """Handle the peer's data; if it is long, the beginning at once and the rest in a task."""
        self._contain(partial(self._take, data))

    def cut(self) -> None:
        """End at once, without a word."""
        try:
            self._leave(hung_up=False)
        except Exception as error:  # noqa: BLE001
            self._hub.notices.failed("a connection could not be ended cleanly", error)
        finally:
            self._close()

    def _contain(self, step: Callable[[], None]) -> None:
        """Run one step; an exception in it ends this connection, and nothing else."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            self._hub.notices.failed("a connection failed", error)
            self.cut()

    def _read(self) -> None:
        try:
            data = self.transport.socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:  # reset by the peer
            data = b""
        if self._websocket.aborted:
            if self._member.state is State.JOINED:
                # A frame has waited too long for this member to read.
                self._hub.counters.slow_members += 1
            self.cut()
        elif data:
            self._take(data)
        else:
            self._leave(hung_up=True)
            self._close()

    def _take(self, data: bytes) -> None:
        self._take_some(data[:READ])
        rest = data[READ:]
        if self._is_behind(rest):
            self._parking.leave(self)
            self._parking.spawn(self._catch_up, rest)

    async def _catch_up(self, rest: bytes) -> None:
        """Handle the rest, letting others have a turn in between; then be parked again."""
        try:
            while self._is_behind(rest):
                await self._hub.give_way()
                if self._websocket.behind:
                    self._take_some(b"")
                else:
                    self._take_some(rest[:READ])
                    rest = rest[READ:]
                if self._member.state is State.GONE:
                    return
        except BaseException:
            self.cut()
            raise
        self._parking.park(self)

    def _is_behind(self, rest: bytes) -> bool:
        # Data after a close is ignored.
        return bool(rest or self._websocket.behind) and not self._websocket.closed

    def _take_some(self, data: bytes) -> None:
        websocket, member, membership = self._websocket, self._member, self._hub.membership
        admission = member.admission
        membership.hear(member, websocket.receive(data))
        if member.admission is not admission:
            self._parking.spawn(self._hub.admit, member)
        if websocket.closed:
            membership.part(member)
        elif websocket.closing and member.state is not State.CLOSING:
            # The peer sent a message that was too big.
            membership.close(member, CloseCode.MALFORMED, "")

    def _leave(self, *, hung_up: bool) -> None:
        if self._member.state is not State.GONE:
            self._parking.leave(self)
            self._hub.membership.leave(self._member, hung_up=hung_up)

    def _close(self) -> None:
        self._websocket.abandon()
        self.transport.close()
