"""The WebSocket protocol on one page: the messages, the close codes, and how both are written.

`docs/protocol.md` is the normative text. This module knows nothing of frames and
sockets: a message is one JSON object in one text message. Unknown members of an object
are ignored, so that either side can grow; an unknown ``type`` is an error.
"""

import enum
import re
from types import NoneType
from typing import Any, get_args

import attrs

from .. import strict_json
from ..errors import RemoteProtocolError

# The newest first. A client offers all that it knows; the server takes the newest that it knows.
_HOLDS = "sse-trio.v1.1"
SUBPROTOCOLS = (_HOLDS, "sse-trio.v1")

MAX_NAME = 256

# Seconds between two answers to a member that asks whether its connection lives, at least.
ANSWER_INTERVAL = 1.0

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""A control character, which no name may hold."""


def understands_hold(subprotocol: str | None) -> bool:
    """Whether a client that speaks this subprotocol knows what a `Hold` is."""
    return subprotocol == _HOLDS


class CloseCode(enum.IntEnum):
    """Why the server closed (RFC 6455, section 7.4), and whether to come back."""

    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    NOT_UTF8 = 1007
    TOO_BIG = 1009
    TRY_AGAIN_LATER = 1013
    TERMINATED = 4001
    MALFORMED = 4400
    BAD_TICKET = 4401
    ORIGIN_REFUSED = 4403
    TIMED_OUT = 4408
    TOO_MANY = 4429

    @property
    def reconnect(self) -> bool:
        """Whether a client should connect again (with backoff). Otherwise it must not."""
        return may_reconnect(self)


def may_reconnect(code: int) -> bool:
    """Whether a client should connect again, with backoff, after a close with any `code`.

    It should, after every code that is not listed here: that of a proxy or of a later version, and
    1006, if there was no close frame.
    """
    return code not in _FINAL


# After these the same join would fail again.
_FINAL = {
    CloseCode.PROTOCOL_ERROR,
    CloseCode.NOT_UTF8,
    CloseCode.TOO_BIG,
    CloseCode.TERMINATED,
    CloseCode.MALFORMED,
    CloseCode.BAD_TICKET,
    CloseCode.ORIGIN_REFUSED,
}


def _of(*types: type) -> dict[str, Any]:
    """Return the types that a member of a server's message may have."""
    return {"types": types}


@attrs.frozen
class Join:
    """Client: the first message. Either a ticket, or a room and perhaps a session."""

    room: str | None = attrs.field(default=None, repr=False)
    session: str | None = attrs.field(default=None, repr=False)
    ticket: str | None = attrs.field(default=None, repr=False)


@attrs.frozen
class Terminated:
    """Client: the acknowledgement of a termination."""

    epoch: int


@attrs.frozen
class Heartbeat:
    """Either side: a sign of life. A client's asks for the server's, which carries its clock.

    `time` is in Unix milliseconds.
    """

    time: int | None = attrs.field(default=None, metadata=_of(int, NoneType))


@attrs.frozen
class Joined:
    """Server: admitted. `heartbeat` is the seconds between heartbeats."""

    room: str = attrs.field(repr=False, metadata=_of(str))
    session: str = attrs.field(repr=False, metadata=_of(str))
    epoch: int = attrs.field(metadata=_of(int))
    heartbeat: float = attrs.field(metadata=_of(int, float))


@attrs.frozen
class Terminate:
    """Server: log out now. Never names the session that stays."""

    room: str = attrs.field(repr=False, metadata=_of(str))
    epoch: int = attrs.field(metadata=_of(int))
    reason: str = attrs.field(metadata=_of(str))
    detail: dict[str, Any] | None = attrs.field(repr=False, metadata=_of(dict, NoneType))
    reconnect: bool = attrs.field(default=False, metadata=_of(bool))


@attrs.frozen
class Hold:
    """Server: it cannot know for the moment. Claim nothing, and stay connected.

    Then comes `Joined` again, or `Terminate`, or the close.
    """


@attrs.frozen
class Error:
    """Server: why the connection is about to be closed with `code`."""

    code: int = attrs.field(metadata=_of(int))
    message: str = attrs.field(metadata=_of(str))


ClientMessage = Join | Terminated | Heartbeat
ServerMessage = Joined | Heartbeat | Terminate | Hold | Error

_TYPES: dict[type, str] = {
    Join: "join",
    Terminated: "terminated",
    Heartbeat: "heartbeat",
    Joined: "joined",
    Terminate: "terminate",
    Hold: "hold",
    Error: "error",
}

# By `attrs.asdict` it is five times as slow.
_MEMBERS = {kind: [attribute.name for attribute in attrs.fields(kind)] for kind in _TYPES}


def encode(message: ClientMessage | ServerMessage) -> str:
    """Write a message as the JSON text that goes on the wire."""
    if isinstance(message, Terminate):
        return _terminate(message)
    members: dict[str, Any] = {"type": _TYPES[type(message)]}
    for member in _MEMBERS[type(message)]:
        if (value := getattr(message, member)) is not None:  # an absent member is left out
            members[member] = value
    return strict_json.dumps(members)


def _terminate(message: Terminate) -> str:
    """Do the same by hand: there is one in every notify, and without `detail` it takes a fifth.

    An absent `detail` is spelled as null, so that a page may read it without asking first.
    """
    room, reason = strict_json.dumps(message.room), strict_json.dumps(message.reason)
    detail = "null" if message.detail is None else strict_json.dumps(message.detail)
    reconnect = "true" if message.reconnect else "false"
    return (
        f'{{"type":"terminate","room":{room},"epoch":{message.epoch:d},'
        f'"reason":{reason},"detail":{detail},"reconnect":{reconnect}}}'
    )


def parse_untrusted(text: str) -> ClientMessage:
    """Read what a browser sent.

    Raises:
        RemoteProtocolError: it is not one of the client's messages; closes with 4400.
    """
    try:
        return _client_message(_object(text))
    except ValueError as error:
        raise RemoteProtocolError(str(error), CloseCode.MALFORMED) from None


def parse_posted_untrusted(body: bytes) -> tuple[ClientMessage, str | None]:
    """Read what a browser POSTed, and the name of its event stream, if it gives one.

    Raises:
        ValueError: it is not one of the client's messages; the text can be shown.
    """
    members = _object(body)
    stream = members.get("stream")
    return _client_message(members), None if stream is None else name(stream, "stream")


def parse_from_server(text: str) -> ServerMessage:
    """Read what the server sent, in a Python client.

    Raises:
        RemoteProtocolError: it is not one of the server's messages.
    """
    try:
        members = _object(text)
        kind = next((c for c, t in _TYPES.items() if t == members.get("type")), None)
        if kind is None or kind not in get_args(ServerMessage):
            raise ValueError("unknown type of message")
        known = attrs.fields_dict(kind)
        message: ServerMessage = kind(**{n: v for n, v in members.items() if n in known})
        for each, member in known.items():
            if not isinstance(getattr(message, each), member.metadata["types"]):
                raise TypeError
    except TypeError:
        # Its text would quote the message.
        wrong = "a member of the message is missing or of the wrong type"
        raise RemoteProtocolError(wrong, CloseCode.MALFORMED) from None
    except ValueError as error:
        raise RemoteProtocolError(str(error), CloseCode.MALFORMED) from None
    return message


def name(value: object, what: str) -> str:
    """Check the name of a room or session: 1 to 256 characters, none of them control.

    A whole number is taken as its decimal digits, because platforms use integer user
    ids. Names are compared as they are: no case folding, no Unicode normalisation.

    Raises:
        ValueError: it is something else; `what` says which member it was.
    """
    if isinstance(value, str) and 1 <= len(value) <= MAX_NAME and value.isprintable():
        return value  # nothing printable is control, or half a character
    if isinstance(value, int) and not isinstance(value, bool):
        value = _decimal(value, what)
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a string or a whole number")
    if not 1 <= len(value) <= MAX_NAME:
        raise ValueError(f"{what} must have 1 to {MAX_NAME} characters")
    if CONTROL.search(value):
        raise ValueError(f"{what} must not hold control characters")
    if strict_json.has_lone_surrogates(value):
        raise ValueError(f"{what} must not hold lone surrogates")
    return value


def _decimal(value: int, what: str) -> str:
    if abs(value) >= 10**MAX_NAME:
        raise ValueError(f"{what} must have 1 to {MAX_NAME} characters")
    return str(value)


def _client_message(members: dict[str, Any]) -> ClientMessage:
    match members.get("type"):
        case "join":
            return read_join(members)
        case "terminated":
            return Terminated(_epoch(members.get("epoch")))
        case "heartbeat":
            return Heartbeat()
        case _:
            raise ValueError("unknown type of message")


def _object(text: str | bytes) -> dict[str, Any]:
    members = strict_json.loads_untrusted(text)
    if not isinstance(members, dict):
        raise ValueError("a message is a JSON object")
    return members


def read_join(members: dict[str, Any]) -> Join:
    """Read what a join names.

    Raises:
        ValueError: it is no join; the text can be shown.
    """
    if "ticket" in members:
        ticket = members["ticket"]
        if not isinstance(ticket, str):
            raise ValueError("ticket must be a string")
        return Join(ticket=ticket)
    if "room" not in members:
        raise ValueError("join needs a room or a ticket")
    session = members.get("session")
    return Join(
        room=name(members["room"], "room"),
        session=None if session is None else name(session, "session"),
    )


def _epoch(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError("epoch must be a whole number")
    return value
