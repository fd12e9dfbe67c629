"""One browser, from the answer to its handshake to the end of its connection.

It is parked all that time: data is handled, and answered, in one synchronous step of the hub and of
`WebSocket`. A task runs only if there is something to wait for, or if so much has arrived that
other tasks must run in between.
"""

from functools import partial

import attrs

from ..core.messages import CloseCode
from ..hub.member import State
from .attended import READ, Attended
from .server import Server
from .transport import Transport
from .websocket import WebSocket


def start_conversation(
    server: Server, transport: Transport, address: str, data: bytes, *, holds: bool
) -> "Conversation":
    """Use a connection as a WebSocket from now on: it is parked, and its member has not joined yet.

    `data` is what the client sent directly after its handshake; `holds` is whether it understands
    `Hold`.
    """
    hub, parking, config = server.hub, server.parking, server.config
    websocket = WebSocket(
        transport.socket,
        parking.spawn,
        limit=config.max_outbox,
        timeout=config.heartbeat_timeout,
        timers=hub.timers,
        max_message=config.max_message,
    )
    member = hub.membership.arrive(websocket, address, holds=holds)
    conversation = Conversation(transport, server, websocket, member)
    parking.park(conversation)
    if data:
        conversation.handle_data(data)
    return conversation


@attrs.define(eq=False, weakref_slot=False)
class Conversation(Attended[WebSocket]):
    """A WebSocket and its member, as long as the connection lasts."""

    def handle_data(self, data: bytes) -> None:
        """Handle the peer's data; if it is long, the beginning at once and the rest in a task."""
        self._contain(partial(self._handle, data[:READ], data[READ:]))

    def _handle(self, data: bytes, rest: bytes = b"") -> None:
        self._handle_some(data)
        if self._has_more(rest):
            self._server.parking.leave(self)
            self._server.parking.spawn(self._handle_rest, rest)

    async def _handle_rest(self, rest: bytes) -> None:
        """Handle the rest, and let other tasks run in between; then be parked again."""
        try:
            while self._has_more(rest):
                await self._server.give_way()
                if self._peer.has_more:
                    self._handle_some(b"")
                else:
                    self._handle_some(rest[:READ])
                    rest = rest[READ:]
                if self.transport.is_closed:
                    return
        except BaseException:
            self.cut()
            raise
        self._server.parking.park(self)

    def _has_more(self, rest: bytes) -> bool:
        # Data after a close is ignored.
        return bool(rest or self._peer.has_more) and not self._peer.closed

    def _handle_some(self, data: bytes) -> None:
        websocket, member, hub = self._peer, self._member, self._server.hub
        admission = member.admission
        hub.hearing.hear(member, websocket.receive(data))
        self._admit(admission)
        if websocket.closed:
            hub.membership.note_close(member)
        elif websocket.closing and member.state is not State.CLOSING:
            # The peer sent a message that was too big.
            hub.membership.close(member, CloseCode.MALFORMED, "")
