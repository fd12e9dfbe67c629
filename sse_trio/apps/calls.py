"""The calls to the hub: requests, the meaning of the answers, and when to try again.

Nothing here sends a byte, sleeps or reads a clock of its own. `attempts` is a generator: it yields
what to do, is sent the result, and returns the answer's meaning. The synchronous and the asyncio
client both run it, so both follow the same rules:

- A call has one deadline for everything: names, connections, attempts, pauses.
- Every call may be repeated: a notify has the same `id` in every attempt; a second release of a
  session has no effect; questions change nothing.
- Where there are several addresses, each attempt has its share of the time that is left. The one
  that has answered last is asked first: a node that is dead costs one call its share, and not all.
- A refused call is not repeated. A call without an answer is, and one whose status says that the
  hub cannot answer now.
"""

import contextlib
import enum
import re
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, Generic, Literal, TypeVar

import attrs

from .. import strict_json
from ..core.messages import name
from ..errors import Conflict, HubAway, HubRefused, LimitReached, LoginEnded, SseTrioError
from ..roster import Roster
from . import answers
from .address import Address
from .answers import Checked, Notified
from .exchange import Answer

T = TypeVar("T")

# Seconds. A check is answered from memory, in a millisecond.
TIMEOUT: Final = 2.0
# Seconds: the hub's own `ledger_timeout`, and one more.
NOTIFY_TIMEOUT: Final = 6.0

# Sessions that one notify may end besides (docs/protocol.md).
MAX_END: Final = 16

# Seconds before the second attempt, doubled for each further one.
FIRST_PAUSE: Final = 0.05

# The request was not read in time; a proxy has no hub; the hub has a fault, or cannot know now.
_AWAY: Final = {408, 500, 502, 503, 504}

_KIND: Final = re.compile(r"urn:sse-trio:problem:([a-z-]{1,40})")


@attrs.frozen
class Call(Generic[T]):
    """A request to the hub."""

    path: str
    members: Mapping[str, Any] = attrs.field(repr=False)
    read: Callable[[Any], T] = attrs.field(repr=False)
    """Reads the answer's JSON; raises ValueError if it is something else."""
    timeout: float
    """Seconds for all attempts together."""
    new_session: str | None = attrs.field(default=None, repr=False)
    """The session that a notify makes, if its caller has named none, so that no one else knows
    it."""


@attrs.frozen
class Attempt:
    """Send a request, and return the `Answer`; or `Lost` if there is none at the deadline."""

    address: Address
    path: str
    body: bytes = attrs.field(repr=False)
    deadline: float
    is_fresh: bool = False
    """Whether to open a new connection, because a kept one was dead."""


@attrs.frozen
class Pause:
    """Wait for so many seconds."""

    seconds: float


@attrs.frozen
class Lost:
    """An attempt has failed."""

    why: str
    was_kept: bool = False
    """Whether that was a kept connection which has ended before anything of the answer came."""


def attempts(
    call: Call[T], key: str, addresses: list[Address], clock: Callable[[], float]
) -> Generator[Attempt | Pause, Any, T]:
    """Make a call; the address that answers comes first in `addresses` from then on.

    Raises:
        HubAway: there was no answer in time.
        HubRefused, Conflict, LimitReached: the hub refuses. If an earlier attempt was not answered,
            the cause is a HubAway, because the hub may have carried that one out.
    """
    deadline = clock() + call.timeout
    body = strict_json.dumps({"key": key, **call.members}).encode()
    pause = FIRST_PAUSE
    away: HubAway | None = None
    while True:
        order = tuple(addresses)  # others may change it meanwhile
        for left, address in zip(range(len(order), 0, -1), order, strict=True):
            until = clock() + (deadline - clock()) / left
            attempt = Attempt(address, call.path, body, until)
            outcome = yield attempt
            if isinstance(outcome, Lost) and outcome.was_kept:
                outcome = yield attrs.evolve(attempt, is_fresh=True)
            if isinstance(outcome, Lost):
                away = HubAway(f"no answer to {call.path}: {outcome.why}")
            elif outcome.status in _AWAY:
                why = f"the hub answers {call.path} with {outcome.status}"
                away = HubAway(why, outcome.retry_after or 1)
                pause = max(pause, outcome.retry_after or 0)
            else:
                if order[0] is not address:
                    addresses[:] = [address, *(each for each in order if each is not address)]
                try:
                    return _meaning(call, outcome)
                except SseTrioError as refusal:
                    raise refusal from away
        if clock() + pause >= deadline:
            assert away is not None
            raise away
        yield Pause(pause)
        pause *= 2


def _meaning(call: Call[T], answer: Answer) -> T:
    try:
        members = strict_json.loads_untrusted(answer.body, max_values=None)
    except ValueError:
        members = None
    if answer.status == 200:
        with contextlib.suppress(ValueError):
            return call.read(members)
        raise HubAway(f"the answer to {call.path} does not come from a hub")
    kind = _kind(members)
    if answer.status == 409:
        if kind == "limit-reached":
            with contextlib.suppress(ValueError):
                raise LimitReached(answers.sessions(members))
        if kind == "login-ended":
            raise LoginEnded("the login that this id has announced has ended")
        if kind == "id-used":
            raise Conflict("the id was used for another notify")
    raise HubRefused(call.path, answer.status, kind)


def _kind(members: object) -> str:
    named = members.get("type") if isinstance(members, dict) else None
    found = _KIND.fullmatch(named) if isinstance(named, str) else None
    return found[1] if found else ""


# -- the calls --------------------------------------------------------------------------


class New(enum.Enum):
    """A new session."""

    SESSION = "a new session"


class Configured(enum.Enum):
    """The hub's own limit."""

    LIMIT = "as configured"


AtLimit = Literal["end-oldest", "refuse-new"]


def is_name(session: object) -> bool:
    """Whether a session can have this name: a form may have sent anything."""
    try:
        name(session, "session")
    except ValueError:
        return False
    return True


def new_session() -> str:
    """Return a new name of a session, or a new id: 192 random bits, URL-safe."""
    return secrets.token_urlsafe(24)


def notify(
    room: str | int,
    sender: str | int | New | None,
    timeout: float,
    wait: float,
    max_sessions: int | Configured | None = Configured.LIMIT,
    **more: Any,
) -> Call[Notified]:
    """`sender` has logged in to `room`; members of `more` that are None are left out.

    Raises:
        ValueError: `room`, `sender` or one of `end` is not a valid name.
    """
    name(room, "room")
    for each in more.get("end") or ():
        name(each, "end")
    new = new_session() if isinstance(sender, New) else None
    sender = sender if new is None else new
    session = None if sender is None else name(sender, "sender")
    members = {"room": room, "sender": sender, "wait": wait, **_given(more)}
    members.setdefault("id", new_session())
    if not isinstance(max_sessions, Configured):
        members["max_sessions"] = max_sessions
    return Call(
        "/notify", members, lambda answer: answers.notified(answer, session), timeout + wait, new
    )


def release(room: str | int, session: str | int, timeout: float, **more: Any) -> Call[Notified]:
    """`session` has logged out of `room`.

    Raises:
        ValueError: `room` or `session` is not a valid name.
    """
    name(room, "room")
    name(session, "session")
    members = {"room": room, "session": session, **_given(more)}
    return Call("/release", members, lambda answer: answers.notified(answer, None), timeout)


def check(timeout: float, **question: Any) -> Call[Checked]:
    """Whether a login is active."""
    return Call("/check", _given(question), answers.checked, timeout)


def check_many(timeout: float, questions: Sequence[Mapping[str, Any]]) -> Call[list[Checked]]:
    """Whether several logins are active."""

    def read(answer: Any) -> list[Checked]:
        listed = answer.get("checks") if isinstance(answer, dict) else None
        if not isinstance(listed, list) or len(listed) != len(questions):
            raise ValueError("checks are missing")
        return list(map(answers.checked, listed))

    return Call("/check", {"checks": list(questions)}, read, timeout)


def sessions(room: str | int, timeout: float) -> Call[Roster]:
    """Ask for the active sessions of a room."""
    return Call("/sessions", {"room": room}, answers.roster, timeout)


def _given(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
