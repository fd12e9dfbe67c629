"""A ledger's file may be damaged: these checks notice it at the start, and not at a login.

Each of these raises a ValueError or a TypeError for data that no server has written.
"""

from typing import Any

from .. import strict_json
from ..core.messages import name
from ..core.tokens import MAX_EPOCH

# How a session may end by itself.
KINDS = ("session", "persistent")

# Bytes of a key that signs logins.
KEY_BYTES = 32

# The columns of what others keep in the file, as `check_session` and `check_key` take them.
SESSION = (
    "id, user, name, provider, room, kind, app_type, epoch, created, seen, kid, user_agent, address"
)
KEY = "kid, secret, created"


def a_name(value: str) -> str:
    """Return the name of a room or a session."""
    if type(value) is not str:
        raise TypeError
    return name(value, "a name")


def a_whole(value: int) -> int:
    """Return an epoch."""
    if type(value) is not int or not 0 <= value <= MAX_EPOCH:
        raise ValueError
    return value


def a_number(value: float) -> float:
    """Return a time in Unix seconds."""
    if (type(value) is not float and type(value) is not int) or not 0 <= value <= MAX_EPOCH:
        raise ValueError
    return value


def an_object(value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object, which can be sent: without NaN, infinities and lone surrogates."""
    if type(value) is not dict:
        raise TypeError
    for member in (*value, *value.values()):
        # Almost all are short texts, and to encode them takes ten times as long.
        if type(member) is not str or not member.isprintable():
            strict_json.dumps(value).encode()
            break
    return value


def check_session(
    id: str,
    user: str,
    user_name: str,
    provider: str,
    room: str,
    kind: str,
    app_type: str,
    epoch: int,
    created: float,
    seen: float,
    kid: str,
    user_agent: str,
    address: str,
) -> None:
    """Check that this is a session that can be listed, and ended."""
    for known in (id, user, user_name, room):
        a_name(known)
    for text in (provider, app_type, kid, user_agent, address):
        if type(text) is not str:
            raise TypeError
    a_whole(epoch)
    a_number(created)
    a_number(seen)
    if kind not in KINDS:
        raise ValueError


def check_key(kid: str, secret: bytes, created: float) -> None:
    """Check that this key can sign."""
    a_name(kid)
    a_number(created)
    if type(secret) is not bytes or len(secret) != KEY_BYTES:
        raise ValueError
