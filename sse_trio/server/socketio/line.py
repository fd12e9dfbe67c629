"""A connection that is a WebSocket of Socket.IO: a session's, or one that a session tries."""

import attrs

from ...core.messages import CloseCode
from ...core.socketio import BAD_REQUEST, Attach
from ...hub.timers import HasDeadline
from ..conversation import Conversation
from ..server import Server
from ..transport import Transport
from ..websocket import WebSocket
from .client import SocketClient

TRIAL = 10.0
"""Seconds that a client has to go over to its WebSocket, as in engine.io."""


def start_line(
    server: Server, transport: Transport, address: str, wanted: Attach, data: bytes
) -> None:
    """Have a connection be a WebSocket from now on, with which a session begins, or which it tries.

    It is parked. `data` is what the client sent right behind its handshake.
    """
    if wanted.sid is None:
        client, opening = server.engine.begin_on_websocket(wanted, address)
        line = _open_line(server, transport, client)
        line.websocket.send(opening, keep=True)
        client.begin_on(line)
        server.parking.park(line)
    elif found := server.engine.clients.get(wanted.sid):
        if found.session.websocket is not None:
            # It is closed at once. To refuse the handshake would be the simpler way, but the tests
            # of the protocol want to see it opened (engine.io-protocol, `v4-test-suite`).
            server.hub.counters.refused_handshakes[BAD_REQUEST.reason] += 1
        line = _open_line(server, transport, found)
        line.try_out()
    else:  # it has ended since its handshake was read
        transport.close()
        return
    line.handle_data(data)


def _open_line(server: Server, transport: Transport, client: SocketClient) -> "SocketLine":
    config, timers = server.config, server.hub.timers
    websocket = WebSocket(
        transport.socket,
        server.parking.spawn,
        limit=config.max_outbox,
        timeout=config.heartbeat_timeout,
        timers=timers,
        max_message=config.max_body,
    )
    return SocketLine(transport, server, websocket, client.member, client)


@attrs.define(eq=False, weakref_slot=False)
class SocketLine(Conversation, HasDeadline):
    """One of them. Its deadline is that of a trial, or of a close."""

    _client: SocketClient

    @property
    def websocket(self) -> WebSocket:
        """What speaks on it."""
        return self._peer

    def try_out(self) -> None:
        """Be parked until the client goes over to it, or for the time of a `TRIAL`."""
        self._server.hub.timers.schedule(self, self._server.hub.timers.now() + TRIAL)
        self._client.run(self._client.session.try_websocket(self))
        self._server.parking.park(self)

    def drop(self) -> None:
        """Close it: nobody listens to it any more."""
        self._peer.close(1000, "")
        hub = self._server.hub
        hub.timers.schedule(self, hub.timers.now() + hub.membership.linger())

    def expire(self, now: float) -> None:
        """Give up a trial, or a close that the client does not answer."""
        if self._peer.closing:
            self.cut()
        else:
            self._client.run(self._client.session.trial_over(self))

    def _handle_some(self, data: bytes) -> None:
        websocket = self._peer
        for message in websocket.receive(data):
            self._client.receive(self, message)
        if self._client.session.websocket is self and not websocket.closing:
            self._server.hub.timers.drop(self)  # it is no trial any more
        if websocket.closed:
            self._client.websocket_closed(self)
        elif websocket.closing and self._client.session.websocket is self:
            # The client sent a message that was too big, which acknowledges nothing.
            code = CloseCode.TRY_AGAIN_LATER
            self._server.hub.membership.close(self._client.member, code, "")

    def _leave(self, *, hung_up: bool) -> None:
        self._server.parking.leave(self)
        self._server.hub.timers.drop(self)
        self._client.websocket_lost(self, hung_up=hung_up)
