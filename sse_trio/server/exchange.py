"""HTTP requests that are not usual: each is read by h11, in a task.

h11 judges every byte, `core.requests` says what a request asks for, and this module does it. No
exception that a client causes leaves `Exchange.run`.
"""

import http
from collections.abc import Callable
from typing import Final

import h11
import trio

from ..core import problems
from ..core.events import Listen, Say, with_headers
from ..core.handshake import Upgrade
from ..core.heads import Heads, begins_request, without_empty_lines
from ..core.keyed import Keyed
from ..core.notify import Notify, Release
from ..core.problems import Problem
from ..core.questions import Check, DecisionsQuery, Sessions, StatisticsQuery, Verify
from ..core.requests import Asked, Page, Wanted
from ..core.socketio import Attach, EngineRequest, Refusal
from ..hub.decisions import Accepted
from . import routes
from .addresses import client_address
from .conversation import start_conversation
from .events import head, start_listening
from .replies import JSON, Reply, fields
from .routes.announcements import announce
from .routes.checks import check_many
from .routes.pages import render
from .routes.reading import read
from .server import Server
from .socketio.line import start_line
from .socketio.polling import PolledRequest, answer_or_hold
from .transport import Transport

# One read of a socket: a whole request of almost any application server, and not so much
# that one client could hold the loop.
READ: Final = 16384

# Events of h11 that one step reads: a request that is not chunked has three.
EVENTS: Final = 8


class Exchange:
    """The request that `data` begins, and any that follow at once, until all are answered.

    Then `done` is called with the data that is left over; it may begin another request, if the last
    one was answered after a while. If `answer` is given, it is the answer to the first request,
    which is read and not carried out.
    """

    def __init__(
        self,
        server: Server,
        heads: Heads,
        transport: Transport,
        done: Callable[[bytes], None],
        data: bytes,
        answer: Problem | None = None,
    ) -> None:
        self._server = server
        self._heads = heads
        self._hub = server.hub
        self._transport = transport
        self._done = done
        self._first_answer = answer
        # Data that has arrived, and that h11 has not been given yet.
        self._data = data
        self._begin_request()
        self._address = transport.host
        self._is_over = True
        """Whether the connection ends with this; if not, another object has taken it over."""

    def _begin_request(self) -> None:
        """Begin with another request."""
        self._config = self._server.config
        size = self._config.max_headers
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=size)
        self._reader = self._heads.reader()
        # How many bytes h11 has been given, and how many lines since its last event.
        self._fed = 0
        self._lines = 0
        self._head_only = False

    async def run(self, seconds: float) -> None:
        """Answer the requests; the one that has begun to come has so many `seconds` left."""
        try:
            await self._serve(seconds)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # reset by the peer, or closed beneath us: there is nobody left to tell
        except Exception as error:  # noqa: BLE001
            self._hub.limited_log.failed("a connection failed", error)
        finally:
            if self._is_over:
                self._transport.close()

    async def _serve(self, seconds: float) -> None:
        """Answer requests in order, until there is none, or the connection is over."""
        while begins_request(self._data):
            outcome = await self._read_in_time(seconds)
            if outcome is None:
                return
            if self._reader.missing is not None:
                self._server.engine.missing.note(self._reader.missing)
            outcome = self._first_answer or self._server.engine.judge(outcome, self._address)
            if isinstance(outcome, Attach) or (
                isinstance(outcome, Upgrade | Listen) and not self._server.is_closed
            ):
                await self._hand_over(outcome)
                return
            if isinstance(outcome, EngineRequest):
                reply = self._serve_engine(outcome)
                if reply is None:
                    return
                is_next = await self._respond(reply)
            else:
                is_next = await self._answer(outcome)
            if not is_next:
                await self._close_gently()
                return
            self._data = without_empty_lines(self._left_over())
            self._begin_request()
            self._first_answer = None
            if begins_request(self._data):
                await self._server.give_way()
            seconds = self._config.request_timeout
        self._is_over = False
        self._done(self._data)

    def _left_over(self) -> bytes:
        """Return the data that has arrived after the request."""
        return self._http.trailing_data[0] + self._data

    def _feed_h11(self) -> bool:
        """Give h11 the data, but no more lines than a head may have; False if there are more.

        h11 reads a head, or the trailers of a chunked body, in one step.
        """
        # Two lines are not headers: the request line and the empty line.
        room = self._config.max_header_lines + 2 - self._lines
        if not room:
            return False
        *lines, rest = self._data.split(b"\n", room)
        end = len(self._data) - len(rest) if len(lines) == room else len(self._data)
        self._http.receive_data(self._data[:end])
        self._data = self._data[end:]
        self._fed += end
        self._lines += len(lines)
        return True

    def cancel(self) -> None:
        """Shorten the wait for the rest of a request to `linger`, if it is longer."""
        timers = self._hub.timers
        due = timers.now() + self._hub.membership.linger()
        timers.schedule(self._patience, min(self._due, due))

    def _serve_engine(self, wanted: EngineRequest) -> Reply | Refusal | Problem | None:
        """Do what a client of Socket.IO asks; None if it is answered after a while."""
        try:
            reply = answer_or_hold(self._server, self._transport, wanted, self._address, self._done)
        except Exception as error:  # noqa: BLE001
            self._hub.limited_log.failed("a request failed", error)
            return problems.BROKEN
        if not isinstance(reply, PolledRequest):
            return reply
        self._is_over = False
        reply.park(self._left_over(), is_last=self._http.their_state is h11.MUST_CLOSE)
        return None

    async def _read_in_time(self, seconds: float) -> Wanted | None:
        # Data that arrived in time is read, however late. No request needs more reads than this.
        longest = self._config.max_headers + max(self._config.max_body, self._config.max_check_body)
        for _ in range(2 + longest // READ):
            self._due = self._hub.timers.now() + seconds
            with self._hub.timers.cancel_after(seconds) as self._patience:
                self._server.idle.add(self)
                try:
                    return await self._read()
                except h11.RemoteProtocolError as error:
                    return problems.from_error(error)
                finally:
                    self._server.idle.discard(self)
            if not self._transport.has_unread():
                break
            seconds = 0
        return problems.TIMED_OUT

    async def _read(self) -> Wanted | None:
        """Read one request; None if the peer closed instead."""
        steps = 0
        while True:
            steps += 1
            if steps % EVENTS == 0:
                await self._server.give_way()
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                if not self._data:
                    await self._receive()
                elif not self._feed_h11():
                    return problems.TOO_MANY_HEADERS
                continue
            self._lines = 0
            if isinstance(event, h11.Request):
                self._head_only = event.method == b"HEAD"
                # However the bytes were split, the limit is the same.
                if self._fed - len(self._http.trailing_data[0]) > self._config.max_headers:
                    return problems.HEADERS_TOO_LARGE
                self._address = self._client_address(event)
            if not isinstance(event, h11.Request | h11.Data | h11.EndOfMessage):
                return None
            if outcome := self._reader.feed(event):
                return self._refuse_guessers(outcome)

    async def _receive(self) -> None:
        if self._http.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, reason=b"Continue", headers=[])
            await self._transport.send_all(self._http.send(go_on))
        self._data = await self._transport.receive(READ)
        if not self._data:
            self._http.receive_data(b"")

    def _client_address(self, request: h11.Request) -> str:
        values = [value for name, value in request.headers if name == b"x-forwarded-for"]
        forwarded = b",".join(values).decode("latin-1") if values else None
        return client_address(self._transport.host, forwarded, self._config)

    def _refuse_guessers(self, outcome: Wanted) -> Wanted:
        """Count wrong keys; refuse an address that has sent too many, with any key."""
        unauthorized = outcome == problems.UNAUTHORIZED
        if not unauthorized and not isinstance(outcome, Keyed):
            return outcome
        if self._server.is_guessing(self._address):
            self._hub.counters.refused_keys["refused"] += 1
            return problems.WRONG_KEYS
        if unauthorized:
            self._server.count_wrong_key(self._address)
        else:
            self._server.count_right_key(self._address)
        return outcome

    async def _answer(self, outcome: Asked) -> bool:
        """Answer; True if the connection can take another request."""
        try:
            answer = await self._reply_to(outcome)
        except Exception as error:  # noqa: BLE001
            self._hub.limited_log.failed("a request failed", error)
            answer = problems.BROKEN
        return await self._respond(answer)

    async def _reply_to(self, outcome: Asked) -> Reply | Problem:
        """Do what was asked for; return the answer."""
        match outcome:
            case Page():
                return render(outcome, self._hub)
            case Problem():
                if outcome.handshake:
                    self._hub.counters.refused_handshakes[outcome.handshake] += 1
                return outcome
            case _ if self._hub.loading or isinstance(outcome, Upgrade | Listen):
                return self._refuse(outcome)
            case Notify() | Release():
                return await announce(self._hub, Accepted(outcome, self._address))
            case Check() | Sessions() | Verify() | StatisticsQuery() | DecisionsQuery():
                if problem := await read(self._hub, outcome):
                    return problem
                if isinstance(outcome, Check):
                    return await check_many(self._hub, outcome, self._server.give_way)
                return routes.answer(self._hub, outcome)
            case Say():
                return self._pass_on(outcome)

    def _pass_on(self, said: Say) -> Reply | Problem:
        """Have a stream hear what its page says."""
        stream = self._server.streams.get(said.stream)
        if stream is None:
            return with_headers(problems.NO_STREAM, said.cors)
        stream.hear(said.message)
        return Reply(http.HTTPStatus.NO_CONTENT, JSON, b"", list(said.cors))

    def _refuse(self, outcome: Keyed | Verify | Upgrade | Listen | Say) -> Problem:
        """Refuse a request that the server cannot do while it is loading or draining."""
        counters = self._hub.counters
        reason = "loading" if self._hub.loading else "draining"
        match outcome:
            case Upgrade() | Listen():
                counters.refused_handshakes[reason] += 1
            case Notify():
                counters.notifies[reason] += 1
            case Release():
                counters.releases[reason] += 1
            case Check() | Sessions() | Verify():
                counters.checks[reason] += 1
        problem = problems.DRAINING if self._hub.draining.is_set() else problems.LOADING
        cors = outcome.cors if isinstance(outcome, Listen | Say) else ()
        return with_headers(problem, cors)

    async def _respond(self, answer: Reply | Problem | Refusal) -> bool:
        """Send a response; True if the connection can take another request."""
        headers = fields(answer)
        # A body that is not read would be the next request.
        unread = self._http.their_state is h11.SEND_BODY
        is_last = isinstance(answer, Problem) and answer.close
        if unread or is_last or self._hub.draining.is_set():
            # A 426 has a Connection of its own beside it.
            headers.append((b"Connection", b"close"))
        head = h11.Response(
            status_code=answer.status,
            reason=http.HTTPStatus(answer.status).phrase,
            headers=headers,
        )
        parts = [self._http.send(head)]
        if not self._head_only:
            parts.append(self._http.send(h11.Data(data=answer.body)))
        parts.append(self._http.send(h11.EndOfMessage()))
        with self._hub.timers.cancel_after(self._config.request_timeout) as patience:
            await self._transport.send_all(b"".join(parts))
        return not patience.is_over and self._http.states == {
            h11.CLIENT: h11.DONE,
            h11.SERVER: h11.DONE,
        }

    async def _close_gently(self) -> None:
        """Close so that the peer can still read the answer (RFC 9112, section 9.6)."""
        self._transport.send_eof()
        with self._hub.timers.cancel_after(self._hub.membership.linger()):
            await self._transport.close_after_peer()

    async def _hand_over(self, wanted: Upgrade | Listen | Attach) -> None:
        """Answer a handshake; from now on the connection is a WebSocket, or an event stream."""
        with self._hub.timers.cancel_after(self._config.request_timeout) as patience:
            await self._transport.send_all(self._opening(wanted))
        if patience.is_over:
            return
        self._is_over = False
        server, transport, address = self._server, self._transport, self._address
        # What the client sent right behind its handshake is its first message.
        rest = self._left_over()
        match wanted:
            case Upgrade(holds=holds):
                start_conversation(server, transport, address, rest, holds=holds)
            case Attach():
                start_line(server, transport, address, wanted, rest)
            case Listen():
                start_listening(server, transport, address, rest, wanted)
        if self._hub.draining.is_set():
            # The drain waits for this task, and may not wait for further members any more.
            await self._hub.membership.places.emptied()

    def _opening(self, wanted: Upgrade | Listen | Attach) -> bytes:
        """Write the head of the answer to a handshake."""
        if isinstance(wanted, Listen):
            return head(wanted.cors)
        upgrade = wanted.upgrade if isinstance(wanted, Attach) else wanted
        return self._http.send(
            h11.InformationalResponse(
                status_code=101, reason=b"Switching Protocols", headers=upgrade.headers
            )
        )
