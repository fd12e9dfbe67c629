"""One TCP connection: HTTP requests until it upgrades or ends.

Between two requests it is parked. If a whole request has arrived, in the form that browsers and
application servers usually send, it is answered in the step that has read it: `core.heads` knows it
by its bytes. For any other request there is an `Exchange`, which has a task, with the same result.
"""

from collections.abc import Callable
from functools import partial

from ..core import problems
from ..core.handshake import Upgrade
from ..core.heads import Heads, begins_request, without_empty_lines
from ..core.notify import Notify, Release
from ..core.problems import Problem
from ..core.questions import Check, Sessions, Verify
from ..core.requests import Wanted
from ..core.socketio import Attach, Begin, Poll, Push, Refusal
from ..hub.decisions import Accepted
from ..hub.timers import HasDeadline
from . import routes
from .addresses import client_address
from .conversation import start_conversation
from .exchange import READ, Exchange
from .replies import Reply, usual_answer
from .routes.announcements import announce, announced
from .routes.checks import CHECKS_AT_ONCE
from .routes.reading import unread
from .server import Server
from .socketio.line import start_line
from .socketio.polling import PolledRequest, answer_or_hold
from .transport import Transport


class Connection(HasDeadline):
    """The HTTP side of one connection. `heads` are those of the listener that it came by."""

    __slots__ = (
        "_awaits_answer", "_data", "_due", "_heads", "_hub", "_is_parked", "_needed", "_server",
        "transport",
    )  # fmt: skip

    def __init__(self, server: Server, heads: Heads, transport: Transport) -> None:
        self.transport = transport
        self._server = server
        self._heads = heads
        self._hub = server.hub
        self._is_parked = False
        # Whether its notify or release is accepted, and the answer waits for the ledger.
        self._awaits_answer = False
        self._due = 0.0
        # The bytes of an incomplete request, and how many it needs, if its head is a usual one.
        self._data: bytes | bytearray = b""
        self._needed = 0

    def ready(self) -> None:
        """Read, and answer what is usual. A new connection need not be parked before this."""
        self._contain(self._read)

    def _contain(self, step: Callable[..., None], *arguments: object) -> None:
        """Do one step; an exception in it ends this connection, and nothing else."""
        try:
            step(*arguments)
        except Exception as error:  # noqa: BLE001
            self._hub.limited_log.failed("a connection failed", error)
            self.cut()

    def cut(self) -> None:
        """End at once, without an answer."""
        self._leave()
        self.transport.close()

    def cancel(self) -> None:
        """End, unless a request has begun to come: it is answered first, perhaps by a refusal."""
        self.ready()  # it may have come, and not been read
        if not self._is_parked:
            return
        if begins_request(self._data):
            self._hand_to_task(self._data, seconds=self._hub.membership.linger())
        else:
            self.cut()

    def expire(self, now: float) -> None:
        """End the connection, unless its deadline was moved or a task has taken it over."""
        if not self._is_parked:
            return
        if now < self._due:
            self._hub.timers.schedule(self, self._due)
        elif self._awaits_answer:
            # The answer parks it again, with a new deadline.
            self._leave()
        elif begins_request(self._data):
            self._hand_to_task(self._data, seconds=0)
        else:
            self.cut()

    def _read(self) -> None:
        if self._awaits_answer:
            # The next request, or the end, is read after the answer, which parks the connection
            # again. Until then, these bytes must not wake the server.
            self._leave()
            return
        try:
            data = self.transport.socket.recv(READ)
        except BlockingIOError:
            if not self._is_parked:
                self._wait(self._hub.config.request_timeout)
            return
        except OSError:  # reset by the peer
            data = self._data = b""
        if data:
            self._data += data
            if len(self._data) >= self._needed:
                self._take(bytes(self._data))
        elif begins_request(self._data):
            self._hand_to_task(self._data)
        else:
            self.cut()

    def _wait(self, seconds: float) -> None:
        """Be parked, for so long from now on."""
        due = self._hub.timers.now() + seconds
        # A later deadline is set when the earlier one has passed: not with each request.
        if not self._is_parked or due < self._due:
            self._hub.timers.schedule(self, due)
        self._due = due
        if not self._is_parked:
            self._is_parked = True
            self._server.idle.add(self)
            self._server.parking.park(self)

    def _leave(self) -> None:
        if self._is_parked:
            self._is_parked = False
            self._server.parking.leave(self)
            self._server.idle.discard(self)
            self._hub.timers.drop(self)

    def _hand_to_task(self, data: bytes | bytearray, *, seconds: float | None = None) -> None:
        """Start a task for the rest; the request has so many `seconds` left, or its full time."""
        self._leave()
        self._exchange(data, seconds=seconds)

    def _exchange(
        self,
        data: bytes | bytearray,
        *,
        seconds: float | None = None,
        answer: Problem | None = None,
    ) -> None:
        self._data, self._needed = b"", 0
        exchange = Exchange(
            self._server, self._heads, self.transport, self._go_on, bytes(data), answer
        )
        timeout = self._server.config.request_timeout
        self._server.parking.spawn(exchange.run, timeout if seconds is None else seconds)

    def _await_next(self, data: bytes = b"") -> None:
        """Be parked until the next request; a server that drains ends the connection instead.

        `data` has arrived, but does not begin a request.
        """
        self._data = data
        if self._hub.draining.is_set():
            self.cut()
        else:
            self._wait(self._hub.config.keep_alive)

    def _take(self, data: bytes) -> None:
        config = self._hub.config
        data = without_empty_lines(data)
        # The code below passes `data` on, so nothing may stay here.
        self._data, self._needed = b"", 0
        if not begins_request(data):
            self._data = data
            if not self._is_parked:
                self._wait(config.request_timeout)
            return
        reading = self._heads.read(data)
        if isinstance(reading, int):
            self._data, self._needed = bytearray(data), reading
            self._wait(config.request_timeout)
            return
        if reading is not None and not self._server.is_closed:
            wanted, forwarded_for = reading
            address = client_address(self.transport.host, forwarded_for, config)
            if self._can_answer(wanted, address):
                if isinstance(wanted, Notify | Release):
                    work = partial(self._contain, self._answer, wanted, data, address)
                    self._server.parking.defer(work)
                else:
                    # What was judged just now may not be true any more when others have been read.
                    self._answer(wanted, data, address)
                return
        self._hand_to_task(data)

    def _can_answer(self, wanted: Wanted, address: str) -> bool:
        """Whether a request can be answered in this step; if not, a task reads it again."""
        match wanted:
            case Upgrade():
                return True
            case Begin() | Poll() | Push() | Attach():
                return self._server.engine.judge(wanted, address) is wanted
            case Check() if len(wanted.queries) > CHECKS_AT_ONCE:
                return False
            case Check() | Sessions() | Verify() if unread(self._hub, wanted):
                return False
            case Notify() | Release() | Check() | Sessions():
                if self._server.is_guessing(address):
                    return False
                self._server.count_right_key(address)
                return True
        return isinstance(wanted, Verify)

    def _upgrade(self, wanted: Upgrade | Attach, address: str) -> None:
        upgrade = wanted.upgrade if isinstance(wanted, Attach) else wanted
        fields = b"".join(b"%b: %b\r\n" % field for field in upgrade.headers)
        if self._send(b"HTTP/1.1 101 Switching Protocols\r\n" + fields + b"\r\n"):
            self.cut()  # it does not read the answers to its earlier requests
            return
        self._leave()
        if isinstance(wanted, Attach):
            start_line(self._server, self.transport, address, wanted, b"")
        else:
            start_conversation(self._server, self.transport, address, b"", holds=upgrade.holds)

    def _serve_engine(self, wanted: Begin | Poll | Push, address: str) -> None:
        reply = answer_or_hold(self._server, self.transport, wanted, address, self._go_on)
        if isinstance(reply, PolledRequest):
            self._leave()
            reply.park(b"", is_last=False)
        else:
            self._reply(reply)

    def _go_on(self, data: bytes) -> None:
        """Take the next request, or wait for it; `data` has arrived."""
        data = without_empty_lines(data)
        if begins_request(data):
            self._exchange(data)
        else:
            self._await_next(data)

    def _answer(self, wanted: Wanted, data: bytes, address: str) -> None:
        """Answer in this step, if there is nothing to wait for; otherwise start a task for it."""
        if isinstance(wanted, Upgrade | Attach):
            self._upgrade(wanted, address)
            return
        try:
            match wanted:
                case Notify() | Release():
                    self._announce(wanted, data, address)
                case Begin() | Poll() | Push():
                    self._serve_engine(wanted, address)
                case Check() | Sessions() | Verify():
                    self._reply(routes.answer(self._hub, wanted))
        except Exception as error:  # noqa: BLE001
            self._hub.limited_log.failed("a request failed", error)
            self._leave()
            self._exchange(data, answer=problems.BROKEN)

    def _announce(self, wanted: Notify | Release, data: bytes, address: str) -> None:
        accepted = self._hub.decisions.accept_at_once(wanted, address)
        if accepted is None:
            self._hand_to_task(data)
        elif accepted.outcome and not (accepted.has_turn or wanted.wait):
            self._server.parking.defer(partial(self._contain, self._reply_with, accepted))
        elif accepted.awaits_commit and not wanted.wait:
            self._awaits_answer = True
            self._server.unanswered.add(accepted, self)
        else:
            self._answer_in_task(accepted)

    def answer(self, accepted: Accepted) -> None:
        """Answer what was accepted earlier; in a task, if there is still something to wait for."""
        self._awaits_answer = False
        self._contain(self._answer_accepted, accepted)

    def _answer_accepted(self, accepted: Accepted) -> None:
        try:
            if self._hub.decisions.finish_at_once(accepted):
                self._reply_with(accepted)
            else:
                self._answer_in_task(accepted)
        except BaseException:
            self._hub.decisions.end_turn(accepted)
            raise

    def _reply_with(self, accepted: Accepted) -> None:
        """Answer with an outcome that is final."""
        assert accepted.outcome is not None, "it is final"
        if not self._hub.knows(accepted.outcome.room):
            # The task waits until it is known again which sessions are active.
            self._answer_in_task(accepted)
            return
        answer: Reply | Problem = problems.BROKEN
        try:
            answer = announced(self._hub, accepted.outcome)
        except Exception as error:  # noqa: BLE001
            self._hub.limited_log.failed("the answer to a notify or release failed", error)
        self._reply(answer)

    def _answer_in_task(self, accepted: Accepted) -> None:
        self._leave()
        self._server.parking.spawn(self._answer_later, accepted)

    def _reply(self, answer: Reply | Problem | Refusal) -> None:
        is_last = self._hub.draining.is_set()
        rest = self._send(usual_answer(answer, close=is_last))
        if rest or is_last:
            self._leave()
            self._server.parking.spawn(self._finish, rest)
        else:
            self._await_next()

    def _send(self, data: bytes) -> bytes:
        """Send the bytes that the kernel accepts; return the rest."""
        try:
            sent = self.transport.socket.send(data)
        except OSError:  # it is full, or the next read will report what is wrong with it
            return data
        return data[sent:] if sent < len(data) else b""

    async def _answer_later(self, accepted: Accepted) -> None:
        """Answer when the notify is durable, its terminations are sent, and the `wait` is over."""
        try:
            answer = await announce(self._hub, accepted)
        except BaseException:
            self.transport.close()
            raise
        self._reply(answer)

    async def _finish(self, answer: bytes) -> None:
        """Send the answer, and be parked again."""
        if await self._server.send_in_time(self.transport, answer, self._hub.draining.is_set):
            self._await_next()
