"""What every peer in Python does for a notify, whatever its library: the hub's job, in short."""

import gc
import json
import resource
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

KEY = "the benchmark's authkey"

M = TypeVar("M")


def arguments() -> tuple[int, int, float, list[str]]:
    """Return the ports for WebSockets and HTTP, the seconds between heartbeats, and options."""
    port, http_port, heartbeat, *options = sys.argv[1:]
    return int(port), int(http_port), float(heartbeat), options


def prepare() -> None:
    """Raise the limit of open files, and the collector's thresholds, as the hub does."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 50, 100)


def dumps(value: object) -> str:
    """Write JSON without spaces, as the hub does."""
    return json.dumps(value, separators=(",", ":"))


class Rooms(Generic[M]):
    """Who is in which room under which session, and the epoch of each room."""

    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, set[M]]] = defaultdict(lambda: defaultdict(set))
        self.epochs: dict[str, int] = defaultdict(int)

    def join(self, message: dict[str, Any], member: M) -> tuple[str, str, dict[str, Any]]:
        """Take a member in; return its room, its session, and what it is answered."""
        room, session = message["room"], message["session"]
        self.rooms[room][session].add(member)
        joined = {
            "type": "joined",
            "room": room,
            "session": session,
            "epoch": self.epochs[room],
            "heartbeat": 25,
        }
        return room, session, joined

    def leave(self, room: str, session: str, member: M) -> None:
        """Forget a member; it may have been taken out already."""
        sessions = self.rooms.get(room, {})
        if session in sessions:
            sessions[session].discard(member)
            if not sessions[session]:
                del sessions[session]
            if not sessions:
                del self.rooms[room]

    def notify(
        self, body: bytes, send: Callable[[list[M], dict[str, Any]], object]
    ) -> tuple[int, str]:
        """End everybody of a room but the sender; return the status and the answer.

        `send` is given all who are to be told, and what.
        """
        asked = json.loads(body)
        if asked["key"] != KEY:
            return 401, "{}"
        room, sender = asked["room"], asked["sender"]
        self.epochs[room] += 1
        epoch = self.epochs[room]
        sessions = self.rooms[room]
        others = [member for name, of in sessions.items() if name != sender for member in of]
        self.rooms[room] = defaultdict(set, {k: v for k, v in sessions.items() if k == sender})
        terminate = {
            "type": "terminate",
            "room": room,
            "epoch": epoch,
            "reason": "login",
            "detail": None,
            "reconnect": False,
        }
        if others:
            send(others, terminate)
        answer = {
            "room": room,
            "epoch": epoch,
            "terminated": len(others),
            "acked": 0,
            "pending": len(others),
        }
        return 200, dumps(answer)
