"""A session of Engine.IO: one client, over requests, a WebSocket, and the change between them.

Packets for the client wait here until there is something to send them on: the GET that it holds
open, or its WebSocket. They go out in order, each once, on one of the two.

Nothing here waits or sends. What has come in is told by calling a method, and what is to be done
is returned, in order. GETs, POSTs and WebSockets are whatever the caller knows them by. Packets
are bytes, several of them with a `SEPARATOR` between them.
(https://github.com/socketio/socket.io, docs/engine.io-protocol)
"""

from collections.abc import Iterable
from typing import Final, Generic

from .effects import Accept, Answer, Deliver, Drop, Ended, Refuse, Request, Send, Socket
from .engine_packets import SEPARATOR, EnginePacket, Kind

CLOSE: Final = Kind.CLOSE.value.encode()
PING: Final = Kind.PING.value.encode()
PONG: Final = Kind.PONG.value.encode()
NOOP: Final = Kind.NOOP.value.encode()

# What a client says to try a WebSocket, and what it is answered with.
_PROBE: Final = EnginePacket(Kind.PING, "probe")
_PROBED: Final = PONG + b"probe"

# What packets that wait take beside their own bytes, at most.
CHUNK_COST: Final = 128


class _Bad(Exception):
    """A packet that no client sends."""


class Session(Generic[Request, Socket]):
    """One session, which begins on requests; a WebSocket that begins one is `attach`ed at once.

    `version` is that of Engine.IO; `limit` is how many bytes of memory may be taken by what waits.
    """

    __slots__ = (
        "_get", "_is_closed", "_is_last", "_is_probed", "_kept", "_limit", "_queue", "_trial",
        "_version", "ended", "waiting", "websocket",
    )  # fmt: skip

    def __init__(self, *, version: int, limit: int) -> None:
        self._version = version
        self._limit = limit
        self._queue: list[bytes] = []
        # The first so many of them are sent whatever comes.
        self._kept = 0
        # Whether the last packets that there will be have been given.
        self._is_last = False
        # Whether a close is among them.
        self._is_closed = False
        # The GET that is held, the WebSocket that is tried, and whether its probe was answered.
        self._get: Request | None = None
        self._trial: Socket | None = None
        self._is_probed = False
        self.websocket: Socket | None = None
        """The WebSocket that it is on; None while it is on requests."""
        self.waiting = 0
        """Bytes of memory that the packets take which wait."""
        self.ended = False
        """Whether it has ended."""

    @property
    def is_trying(self) -> bool:
        """Whether the client tries a WebSocket."""
        return self._trial is not None

    # -- what the server has to say ------------------------------------------------------

    def send(self, packets: bytes, *, keep: bool = False) -> list[object] | None:
        """Send packets as soon as that can be; None if too much waits, or the last were given.

        With `keep` they are sent even if others turn out to be the last.
        """
        cost = len(packets) + CHUNK_COST
        if self.ended or self._is_last:
            return None
        if self.websocket is None and self._get is None and self.waiting + cost > self._limit:
            return None
        self._append(packets, keep=keep)
        return self._flush()

    def send_last(self, packets: bytes) -> list[object] | None:
        """Send packets before what waits, which is dropped; nothing is sent after them."""
        if self.ended or self._is_last:
            return None
        del self._queue[self._kept :]
        self.waiting = sum(len(chunk) + CHUNK_COST for chunk in self._queue)
        self._append(packets, keep=True)
        self._is_last = True
        return self._flush()

    def close(self) -> list[object]:
        """Tell a client on requests that the server closes; the caller closes a WebSocket."""
        if self.ended:
            return []
        effects = self._drop_trial()
        if self.websocket is None:
            self._append(CLOSE, keep=True)
            self._is_last = self._is_closed = True
            effects += self._flush()
        return effects

    def end(self, *, hung_up: bool = False) -> list[object]:
        """End, whatever it is on: nothing more comes in, or goes out."""
        if self.ended:
            return []
        self.ended = True
        effects = self._drop_trial()
        if self._get is not None:
            effects.append(Answer(self._get, CLOSE))
            self._get = None
        if self.websocket is not None:
            effects.append(Drop(self.websocket))
            self.websocket = None
        return [*effects, Ended(hung_up)]

    # -- what comes by requests ----------------------------------------------------------

    def get(self, request: Request) -> list[object]:
        """Take a GET: it is answered at once, or held."""
        is_told = self._is_closed and not self._queue
        if self.ended or is_told or self.websocket is not None:
            return [Refuse(request)]
        if self._get is not None:
            # The client has lost the order of things (engine.io, `transports/polling.ts`).
            return [*self.end(), Refuse(request)]
        self._get = request
        effects = self._flush()
        if self._get is not None and self._is_probed:
            effects += self._answer(NOOP)
        return effects

    def get_lost(self, request: Request) -> list[object]:
        """Take note that the connection of a GET that is held has ended."""
        if self._get is not request:
            return []
        self._get = None
        return self.end(hung_up=True)

    def post(self, request: Request, packets: Iterable[EnginePacket]) -> list[object]:
        """Take a POST with its packets."""
        if self.ended or self.websocket is not None:
            return [Refuse(request)]
        effects: list[object] = []
        try:
            for packet in packets:
                effects += self._receive(packet)
        except _Bad:
            return [*effects, *self.refuse(request)]
        return [Accept(request), *effects]

    def refuse(self, request: Request) -> list[object]:
        """Take a POST that has no packets but something else: no client sends it."""
        if self.ended or self.websocket is not None:
            return [Refuse(request)]
        if self._is_last and self._queue:
            # What the client has to get before its end is still to come: by its next GET.
            return [Refuse(request)]
        return [Refuse(request), *self.end()]

    # -- what comes by WebSockets --------------------------------------------------------

    def attach(self, websocket: Socket) -> list[object]:
        """Take a WebSocket: as what the session is on, if that has just begun."""
        self.websocket = websocket
        return self._flush()

    def try_websocket(self, websocket: Socket) -> list[object]:
        """Take a WebSocket that the client wants to go over to."""
        if self.ended or self.websocket is not None or self._trial is not None:
            return [Drop(websocket)]
        self._trial = websocket
        return []

    def trial_over(self, websocket: Socket) -> list[object]:
        """Take note that the time for a trial is over; the session stays on requests."""
        return self._drop_trial() if self._trial is websocket else []

    def websocket_lost(self, websocket: Socket, *, hung_up: bool = True) -> list[object]:
        """Take note that a WebSocket has ended: by the client, if `hung_up`."""
        if self._trial is websocket:
            self._trial, self._is_probed = None, False
        if self.websocket is not websocket:
            return []
        self.websocket = None
        return self.end(hung_up=hung_up)

    def message(self, websocket: Socket, packet: EnginePacket | None) -> list[object]:
        """Take a message of a WebSocket; None is one that is no packet."""
        if self._trial is websocket:
            return self._probe(websocket, packet)
        if self.websocket is not websocket:
            return []
        try:
            return self.end() if packet is None else self._receive(packet)
        except _Bad:
            return self.end()

    def _probe(self, websocket: Socket, packet: EnginePacket | None) -> list[object]:
        if packet == _PROBE and not self._is_probed:
            self._is_probed = True
            effects: list[object] = [Send(websocket, _PROBED)]
            # The client waits for the answer to its GET before it goes on.
            return effects + (self._answer(NOOP) if self._get is not None else [])
        if self._is_probed and packet is not None and packet.kind is Kind.UPGRADE:
            self._trial, self._is_probed = None, False
            self.websocket = websocket
            return self._flush()
        return self._drop_trial()

    def _receive(self, packet: EnginePacket) -> list[object]:
        match packet.kind:
            case _ if self.ended:
                return []
            case Kind.MESSAGE:
                return [Deliver(packet.data)]
            case Kind.PING if self._version == 3:
                return self.send(PONG) or []
            case Kind.PONG if self._version > 3:
                return []
            case Kind.PING | Kind.PONG:
                raise _Bad
            case Kind.CLOSE:
                # The GET is answered so, because it is not the server that closes.
                answer = self._answer(NOOP) if self._get is not None else []
                return [*answer, *self.end(hung_up=True)]
        return []  # an open, upgrade or noop means nothing from a client

    # -- what goes out -------------------------------------------------------------------

    def _append(self, packets: bytes, *, keep: bool) -> None:
        self._queue.append(packets)
        self.waiting += len(packets) + CHUNK_COST
        if keep:
            self._kept = len(self._queue)

    def _flush(self) -> list[object]:
        if not self._queue or (self.websocket is None and self._get is None):
            return []
        packets, keep = SEPARATOR.encode().join(self._queue), self._kept > 0
        self._queue.clear()
        self._kept = self.waiting = 0
        if self.websocket is not None:
            return [Send(self.websocket, packets, keep)]
        return self._answer(packets)

    def _answer(self, packets: bytes) -> list[object]:
        assert self._get is not None, "the caller has seen it"
        request, self._get = self._get, None
        return [Answer(request, packets)]

    def _drop_trial(self) -> list[object]:
        if self._trial is None:
            return []
        trial, self._trial = self._trial, None
        self._is_probed = False
        return [Drop(trial)]
