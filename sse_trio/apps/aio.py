"""The asyncio client: for FastAPI, Starlette, and every program on an event loop.

It follows the same rules as the synchronous client, and the same code decides: asyncio only moves
the bytes. A client belongs to the process and the loop that use it: after a fork, or in another
loop, it begins with no connections.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, Self, TypeVar

from ..errors import HubAway, SseTrioError
from ..roster import Roster
from . import calls, flows
from .answers import Checked, Notified
from .base import BaseClient
from .calls import AtLimit, Attempt, Call, Configured, Lost, New, Pause
from .exchange import Answer, BadAnswer
from .flows import Flow, Later, Settled
from .sockets import why_of
from .streams import Connection, State

T = TypeVar("T")


class AsyncClient(BaseClient):
    """Asks the hub, as `sse_trio.apps.Client` does. For its arguments see `BaseClient`."""

    _state: State | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the kept connections, and end the work in the background."""
        state, self._state = self._state, None
        if state is not None and state.is_here():
            state.idle.clear()
            for task in state.later:
                task.cancel()
            await asyncio.gather(*state.later, return_exceptions=True)

    # -- what is asked ------------------------------------------------------------------

    async def notify(
        self,
        room: str | int,
        sender: str | int | New | None = New.SESSION,
        *,
        end: Sequence[str | int] = (),
        max_sessions: int | Configured | None = Configured.LIMIT,
        at_limit: AtLimit | None = None,
        about: Mapping[str, Any] | None = None,
        reason: str | None = None,
        detail: Mapping[str, Any] | None = None,
        id: str | None = None,
        wait: float = 0,
    ) -> Notified:
        """Say that a session has logged in to `room`; as `Client.notify`."""
        call = calls.notify(
            room,
            sender,
            self.notify_timeout,
            wait,
            end=list(end) or None,
            max_sessions=max_sessions,
            at_limit=at_limit,
            about=about,
            reason=reason,
            detail=detail,
            id=id,
        )
        return await self.run(flows.announcing(call, self.timeout))

    async def release(
        self,
        room: str | int,
        session: str | int,
        *,
        epoch: int | None = None,
        reason: str | None = None,
    ) -> Notified | None:
        """Say that `session` has logged out; as `Client.release`."""
        call = calls.release(room, session, self.timeout, epoch=epoch, reason=reason)
        return await self.run(flows.releasing(call))

    async def check(
        self,
        token: str | None = None,
        *,
        room: str | int | None = None,
        session: str | int | None = None,
        epoch: int | None = None,
        seen: bool = False,
        renew: bool = False,
    ) -> Checked:
        """Ask whether a login is active; as `Client.check`."""
        return await self.ask(
            calls.check(
                self.timeout,
                token=token,
                room=room,
                session=session,
                epoch=epoch,
                seen=seen or None,
                renew=renew or None,
            )
        )

    async def check_many(self, questions: Sequence[Mapping[str, Any]]) -> list[Checked]:
        """Ask about up to 100 logins at once; each is what `check` takes, as a mapping."""
        return await self.ask(calls.check_many(self.timeout, questions))

    async def sessions(self, room: str | int) -> Roster:
        """Ask for the active sessions of `room`: the devices of a user."""
        return await self.ask(calls.sessions(room, self.timeout))

    # -- how ----------------------------------------------------------------------------

    async def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow, and return what it returns."""
        with contextlib.closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        result = await self._do(step)
                    except SseTrioError as error:
                        step = flow.throw(error)
                    except BaseException:
                        self._leave(flow)
                        raise
                    else:
                        step = flow.send(result)
            except StopIteration as done:
                found: T = done.value
                return found

    def leave(self, flow: Flow[Any]) -> None:
        """Do in the background what a flow does without an answer: there is no time to wait."""
        with contextlib.closing(flow), contextlib.suppress(StopIteration):
            next(flow)
            self._leave(flow)

    def _leave(self, flow: Flow[Any]) -> None:
        """Continue in the background: the caller no longer waits for the flow."""
        with contextlib.suppress(SseTrioError, StopIteration):
            step = flow.throw(HubAway("it was given up"))
            if isinstance(step, Later):
                self._begin(step)

    def _begin(self, later: Later) -> None:
        self._here().begin(self._later(later), later.about)

    async def _do(self, step: Call[Any] | Later | Settled) -> Any:
        if isinstance(step, Later):
            return self._begin(step)
        if isinstance(step, Settled):
            return self._here().settle(step.about)
        return await self.ask(step)

    async def ask(self, call: Call[T]) -> T:
        """Make one call."""
        made = calls.attempts(call, self._key, self._order, time.monotonic)
        with contextlib.closing(made):
            try:
                step = next(made)
                while True:
                    if isinstance(step, Pause):
                        await asyncio.sleep(step.seconds)
                        step = next(made)
                    else:
                        step = made.send(await self._attempt(step))
            except StopIteration as done:
                found: T = done.value
                return found

    async def _attempt(self, attempt: Attempt) -> Answer | Lost:
        state = self._here()
        try:
            async with asyncio.timeout(attempt.deadline - time.monotonic()):
                async with state.places:
                    return await self._exchange(state, attempt)
        except TimeoutError as error:
            return Lost(why_of(error))

    async def _exchange(self, state: State, attempt: Attempt) -> Answer | Lost:
        connection = None if attempt.is_fresh else state.idle.take(attempt.address)
        is_kept = connection is not None
        try:
            if connection is None:
                connection = await self._open(state, attempt)
            answer = await connection.ask(attempt)
        except TimeoutError:
            raise
        except (OSError, BadAnswer) as error:
            is_begun = connection is not None and connection.exchange.is_begun
            if is_kept:  # probably the others are dead too
                state.idle.clear()
            return Lost(why_of(error), is_kept and not is_begun)
        finally:
            if connection is not None:
                state.idle.give(connection)
        return answer

    async def _open(self, state: State, attempt: Attempt) -> Connection:
        address = attempt.address
        if address.unix:
            return Connection(address, *await asyncio.open_unix_connection(address.unix))
        found = await asyncio.wrap_future(state.names.find(address.host, address.port))
        more: dict[str, Any] = {}
        if address.is_tls:
            more = {"ssl": self._tls, "server_hostname": address.host}
        for left, (_, where) in zip(range(len(found), 0, -1), found, strict=True):
            try:
                async with asyncio.timeout((attempt.deadline - time.monotonic()) / left):
                    streams = await asyncio.open_connection(*where[:2], **more)
                    return Connection(address, *streams)
            except OSError:
                if left == 1:
                    raise
        raise AssertionError("there is at least one address")

    async def _later(self, later: Later) -> None:
        until = time.monotonic() + flows.LATER_FOR
        for pause in self._pauses():
            await asyncio.sleep(pause)
            try:
                await self.run(later.flow())
            except Exception as error:  # noqa: BLE001 - a defect ends no other logout
                if not flows.is_final(error) and time.monotonic() < until:
                    continue
                flows.log_given_up(error)
            return

    def _here(self) -> State:
        """Return what belongs to this process and loop."""
        if self._state is None or not self._state.is_here():
            self._state = State(self._connections)
        return self._state
