"""Several calls, one after the other, and the background work when no answer comes."""

import logging
from collections.abc import Callable, Generator, Iterator
from functools import partial
from typing import Any, Final, TypeVar

import attrs

from ..errors import HubAway, HubRefused, SseTrioError
from .answers import Checked, Notified
from .calls import Call, check, release

T = TypeVar("T")

logger = logging.getLogger("sse_trio")


@attrs.frozen
class Later:
    """Repeat this in the background until the hub answers; do not wait for it."""

    flow: Callable[[], "Flow[Any]"] = attrs.field(repr=False)
    about: tuple[str, str] | None = attrs.field(default=None, repr=False)
    """Its room and session."""


@attrs.frozen
class Settled:
    """Drop the background work for this session: it has logged in since."""

    about: tuple[str, str] = attrs.field(repr=False)
    """The room and the session."""


Flow = Generator[Call[Any] | Later | Settled, Any, T]
"""Yields calls; receives the result of each, or its exception."""


def alone(call: Call[Any]) -> Flow[None]:
    """Make one call, and ignore its answer."""
    yield call


def announcing(call: Call[Notified], timeout: float) -> Flow[Notified]:
    """Make a notify; if it fails but may have had its effect, release its session.

    Only a session that this notify makes is released. A session that the caller has named may have
    logged in before, or logs in when the caller repeats: it must not end.
    """
    try:
        found: Notified = yield call
    except SseTrioError as error:
        if call.new_session is not None and may_be_done(error):
            yield _later(release(call.members["room"], call.new_session, timeout))
        raise
    if found.session is not None and call.new_session is None:
        yield Settled((found.room, found.session))
    return found


def may_be_done(error: SseTrioError) -> bool:
    """Whether a failed call may have had its effect: an attempt was not answered."""
    return isinstance(error, HubAway) or isinstance(error.__cause__, HubAway)


def releasing(call: Call[Notified]) -> Flow[Notified | None]:
    """Make a release; if no answer comes, go on with it in the background."""
    try:
        found: Notified = yield call
    except HubAway:
        yield _later(call)
        return None
    return found


def _later(call: Call[Notified]) -> Later:
    about = str(call.members["room"]), str(call.members["session"])
    return Later(partial(alone, call), about)


def ending(token: str, timeout: float) -> Flow[None]:
    """Find the login of a token, and release it."""
    found: Checked = yield check(timeout, token=token)
    if found.active:
        assert found.room is not None
        assert found.session is not None
        yield release(found.room, found.session, timeout, epoch=found.epoch)


# Statuses after which the next attempt, or another node, may succeed: a key is being replaced, a
# proxy has another configuration, there were too many requests.
_PASSING: Final = {401, 403, 404, 429}


def is_final(error: Exception) -> bool:
    """Whether background work is not tried again after this."""
    passing = isinstance(error, HubRefused) and error.status in _PASSING
    return not passing and not isinstance(error, HubAway)


def log_given_up(error: Exception) -> None:
    """Log that background work was dropped; of a defect, only the type is logged."""
    why = error if isinstance(error, SseTrioError) else type(error).__name__
    logger.error("a logout was dropped: %s", why)


# Background work is dropped after so many seconds, and limited in number.
LATER_FOR: Final = 3600.0
MAX_LATER: Final = 1000


def pauses() -> Iterator[float]:
    """Yield the seconds to wait before each attempt in the background."""
    seconds = 1.0
    while True:
        yield seconds
        seconds = min(60.0, seconds * 2)
