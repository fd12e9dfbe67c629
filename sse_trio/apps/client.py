"""The synchronous client: for Flask, Django, and every program without an event loop.

Threads may share one `Client`. It keeps connections for later calls, but none whose exchange was
not finished. A forked process never uses the sockets of its parent: each kept connection knows its
process. A call ends at its deadline, whatever the hub does.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self, TypeVar

from ..errors import HubAway, SseTrioError
from ..roster import Roster
from . import calls, flows, sockets
from .answers import Checked, Notified
from .background import Background
from .base import BaseClient
from .calls import AtLimit, Attempt, Call, Configured, Lost, New, Pause
from .exchange import Answer, BadAnswer
from .flows import Flow, Later, Settled
from .idle import Idle
from .names import Resolver

T = TypeVar("T")


class Client(BaseClient):
    """Asks the hub, and waits for its answers. Threads may share it. See `BaseClient`."""

    _state: "_State | None" = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections. From now on the client keeps none."""
        self._here().idle.close()

    # -- what is asked ------------------------------------------------------------------

    def notify(
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
        """Say that a session has logged in to `room`: every other one beyond the limit ends.

        `max_sessions` None is the largest limit; left out, it is the hub's configured one. Without
        a `sender` the client makes a new session; None ends all sessions. The `id`, random if it is
        not given, is the same in every attempt. If this raises HubAway, let the login fail: the
        client releases a new session in the background, so that it takes no place. It does not
        release a session that you have named: repeat the notify with the same `id`, or release the
        session.

        Raises:
            HubAway: nobody is logged in.
            LimitReached: the room is full; `sessions` are those that could be ended.
            Conflict: the `id` was used for another notify, or its login has ended.
            HubRefused: the hub refuses the request.
            ValueError: `room`, `sender` or one of `end` is not a valid name (docs/protocol.md).
        """
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
        return self.run(flows.announcing(call, self.timeout))

    def release(
        self,
        room: str | int,
        session: str | int,
        *,
        epoch: int | None = None,
        reason: str | None = None,
    ) -> Notified | None:
        """Say that `session` has logged out; None if the hub has not answered yet.

        Then the client repeats it in the background for an hour, while the process runs. With the
        `epoch` of its login, this ends no newer login of that session.

        Raises:
            HubRefused: the hub says no.
            ValueError: `room` or `session` is no name (docs/protocol.md).
        """
        call = calls.release(room, session, self.timeout, epoch=epoch, reason=reason)
        return self.run(flows.releasing(call))

    def check(
        self,
        token: str | None = None,
        *,
        room: str | int | None = None,
        session: str | int | None = None,
        epoch: int | None = None,
        seen: bool = False,
        renew: bool = False,
    ) -> Checked:
        """Ask whether a login is active: that of a `token`, or of a `room` and `session`.

        With `renew` the answer has a fresh token and ticket.

        Raises:
            HubAway: the hub did not answer. That is not a "no".
            HubRefused: the hub refuses the question.
        """
        return self.ask(
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

    def check_many(self, questions: Sequence[Mapping[str, Any]]) -> list[Checked]:
        """Ask about up to 100 logins at once; each is what `check` takes, as a mapping."""
        return self.ask(calls.check_many(self.timeout, questions))

    def sessions(self, room: str | int) -> Roster:
        """Ask for the active sessions of `room`: the devices of a user."""
        return self.ask(calls.sessions(room, self.timeout))

    # -- how ----------------------------------------------------------------------------

    def run(self, flow: Flow[T]) -> T:
        """Make the calls of a flow, and return what it returns."""
        with contextlib.closing(flow):
            try:
                step = next(flow)
                while True:
                    try:
                        result = self._do(step)
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

    def _leave(self, flow: Flow[Any]) -> None:
        """Continue in the background: the caller no longer waits for the flow."""
        with contextlib.suppress(SseTrioError, StopIteration):
            step = flow.throw(HubAway("it was given up"))
            if isinstance(step, Later):
                self._do(step)

    def _do(self, step: Call[Any] | Later | Settled) -> Any:
        if isinstance(step, Later):
            return self._here().background.add(step, self.run)
        if isinstance(step, Settled):
            return self._here().background.settle(step)
        return self.ask(step)

    def ask(self, call: Call[T]) -> T:
        """Make one call."""
        made = calls.attempts(call, self._key, self._order, time.monotonic)
        with contextlib.closing(made):
            try:
                step = next(made)
                while True:
                    if isinstance(step, Pause):
                        time.sleep(step.seconds)
                        step = next(made)
                    else:
                        step = made.send(self._attempt(step))
            except StopIteration as done:
                found: T = done.value
                return found

    def _attempt(self, attempt: Attempt) -> Answer | Lost:
        state = self._here()
        if not state.places.acquire(timeout=max(0, attempt.deadline - time.monotonic())):
            return Lost("all connections are in use")
        try:
            return self._exchange(state, attempt)
        finally:
            state.places.release()

    def _exchange(self, state: "_State", attempt: Attempt) -> Answer | Lost:
        connection = None if attempt.is_fresh else state.idle.take(attempt.address)
        is_kept = connection is not None
        try:
            if connection is None:
                connection = sockets.connect(
                    attempt.address, state.names, self._tls, attempt.deadline
                )
            answer = connection.ask(attempt)
        except (OSError, BadAnswer) as error:
            is_late = isinstance(error, TimeoutError)
            is_begun = connection is not None and connection.exchange.is_begun
            if connection is not None:
                connection.close()
            if is_kept:  # probably the others are dead too
                state.idle.clear()
            return Lost(sockets.why_of(error), is_kept and not is_begun and not is_late)
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        state.idle.give(connection)
        return answer

    def _here(self) -> "_State":
        """Return the state of this process: after a fork, a new one."""
        state = self._state
        if state is None or state.process != os.getpid():
            if state is not None:
                state.idle.clear()  # this process's descriptors: the parent has its own
            state = self._state = _State(self._connections, self._pauses)
        return state


class _State:
    """What a client has in one process."""

    def __init__(self, connections: int, pauses: Callable[[], Iterator[float]]) -> None:
        self.process = os.getpid()
        self.places = threading.BoundedSemaphore(connections)
        self.idle = Idle[sockets.Connection]()
        self.names = Resolver()
        self.background = Background(pauses)

    def __del__(self) -> None:
        self.idle.clear()
