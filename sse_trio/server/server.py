"""The state that all connections of one server share, beside the hub."""

from collections.abc import Callable
from typing import Protocol

import trio

from ..config import Config
from ..core.heads import Heads
from ..core.messages import ClientMessage
from ..core.recent import WrongKeys
from ..hub.hub import Hub
from .failures import run_contained
from .parking import open_parking
from .socketio.engine import Engine
from .transport import Transport
from .unanswered import Unanswered


class Idle(Protocol):
    """A connection that can be ended without the loss of a request that has come."""

    def cancel(self) -> object:
        """End it."""
        ...


class Hears(Protocol):
    """An event stream, whose page says something by another request."""

    def hear(self, message: ClientMessage) -> None:
        """Take it."""
        ...

    def hang_up(self) -> None:
        """End as if the page had ended it."""
        ...


class Server:
    """The hub, and the objects that move its connections' bytes. `spawn` starts a task."""

    def __init__(self, hub: Hub, spawn: Callable[..., None]) -> None:
        self.hub = hub
        self.public = Heads(hub.config)
        """The heads of the requests on the public listener."""
        self.internal = Heads(hub.config, is_public=False)
        """The heads of the requests on the internal listener."""
        self._wrong_keys = WrongKeys(limit=hub.config.max_wrong_keys)
        hub.on_reload.append(self._reload)
        self.idle: set[Idle] = set()
        """HTTP connections that wait for their peers; the drain ends them."""
        self.streams: dict[str, Hears] = {}
        """The event streams, by the names that their pages have given them."""
        failed = hub.limited_log.failed
        self.parking = open_parking(
            lambda *work: spawn(run_contained, failed, *work), hub.limited_log.warn
        )
        self.unanswered = Unanswered(hub.decisions, self.parking.spawn)
        """The accepted notifies and releases that wait for the ledger."""
        self.engine = Engine(hub, self.parking.spawn)
        """The sessions of Socket.IO."""
        self._turns = trio.StrictFIFOLock()

    def _reload(self, config: Config) -> None:
        self.public.reload(config)
        self.internal.reload(config)
        self.engine.reload(config)
        self._wrong_keys.limit = config.max_wrong_keys

    @property
    def config(self) -> Config:
        """The hub's configuration."""
        return self.hub.config

    @property
    def is_closed(self) -> bool:
        """Whether the server admits no members and accepts no notifies: not yet, or no longer."""
        return self.hub.loading or self.hub.draining.is_set()

    def is_guessing(self, address: str) -> bool:
        """Whether an address has sent so many wrong keys that it is refused for a while."""
        return self._wrong_keys.refused(address, self.hub.clock())

    def count_right_key(self, address: str) -> None:
        """Note that an address that is not refused has sent the right key."""
        self._wrong_keys.count_right(address, self.hub.clock())

    def count_wrong_key(self, address: str) -> None:
        """Note that an address has sent a wrong key, or none."""
        count = self._wrong_keys.count(address, self.hub.clock())
        self.hub.counters.refused_keys["unauthorized"] += 1
        self.hub.limited_log.warn("a request from %s had a wrong or no key", address)
        # An address that the application uses too is never refused, but must not fill the disk.
        if count <= self._wrong_keys.limit:
            self.hub.audit.wrong_key(address)

    async def send_in_time(
        self, transport: Transport, answer: bytes, is_last: Callable[[], bool]
    ) -> bool:
        """Send an answer, or its rest; True if the connection can take another request.

        If not, it is closed: after the last answer in such a way that the peer can still read it
        (RFC 9112, section 9.6).
        """
        timers, can_go_on = self.hub.timers, False
        try:
            with timers.cancel_after(self.config.request_timeout):
                await transport.send_all(answer)
                can_go_on = True
            if can_go_on and is_last():
                can_go_on = False
                transport.send_eof()
                with timers.cancel_after(self.hub.membership.linger()):
                    await transport.close_after_peer()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            can_go_on = False  # reset by the peer: there is nobody left to tell
        finally:
            if not can_go_on:
                transport.close()
        return can_go_on

    async def give_way(self) -> None:
        """Let all other tasks run, and then those that have waited here for longer.

        One task continues from here in each turn. So all tasks with much work together take no
        more of the others' time than one of them would.
        """
        async with self._turns:
            await trio.lowlevel.checkpoint()

    def end_idle(self) -> None:
        """End every HTTP connection that is idle."""
        for idle in list(self.idle):
            idle.cancel()
