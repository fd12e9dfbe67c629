"""The answer to ``/sessions``."""

import attrs

from ...core.questions import Sessions
from ...hub.hub import Hub
from ...strict_json import dumps
from ..replies import JSON, Reply


def sessions(hub: Hub, asked: Sessions) -> Reply:
    """List the active sessions of a room, the newest first."""
    roster = hub.sessions(asked.room)
    answer = {
        "room": roster.room,
        "epoch": roster.epoch,
        "floor": roster.floor,
        "sessions": [attrs.asdict(session, recurse=False) for session in roster.sessions],
    }
    return Reply(200, JSON, dumps(answer).encode())
