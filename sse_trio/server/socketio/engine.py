"""The sessions of Engine.IO on one server, by their ids, and the requests that belong to them."""

import hashlib
import http
import logging
import math
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ... import strict_json
from ...config import Config
from ...core.messages import CloseCode
from ...core.problems import Problem
from ...core.requests import NOT_FOUND, Wanted
from ...core.socketio import (
    BAD_REQUEST,
    UNKNOWN_SESSION,
    UNKNOWN_VERSION,
    Attach,
    Begin,
    Poll,
    Preflight,
    Push,
    Refusal,
    Script,
)
from ...hub.hub import Hub
from ..replies import Reply
from .client import SocketClient
from .dialect import Dialect, to_frames
from .engine_packets import (
    SEPARATOR,
    Kind,
    encode_body,
)
from .joins import Terminated
from .names import Names
from .peer import TEXT

JAVASCRIPT: Final = "text/javascript; charset=utf-8"

logger = logging.getLogger("sse_trio")

# Sessions that need no connection, and have not joined, take one place of so many at most.
STRANGERS: Final = 4

# Seconds after which a client that found the server full may try again.
_RETRY: Final = (b"Retry-After", b"5")

_DRAINING: Final = Refusal(BAD_REQUEST.code, "the server is shutting down", "draining", 503)


class Engine:
    """The sessions of one server. `spawn` starts a task; each session is of a `client`."""

    def __init__(
        self,
        hub: Hub,
        spawn: Callable[..., None],
        *,
        client: type[SocketClient] = SocketClient,
    ) -> None:
        self._hub = hub
        self._client = client
        self._spawn = spawn
        self.clients: dict[str, SocketClient] = {}
        """By the ids of their sessions."""
        self.on_requests: dict[str, None] = {}
        """The ids of those that began on requests, the eldest first."""
        self._terminated = Terminated()
        self._ignored = Names(
            hub.limited_log, "a page of Socket.IO sent an event that is not configured: %s"
        )
        self.missing = Names(
            hub.limited_log,
            "nothing here takes a POST: %s; if it announces logins, name it in notify_paths",
        )
        """Paths to which something was POSTed in vain."""
        self.reload(hub.config)

    def reload(self, config: Config) -> None:
        """Take over another configuration, for whoever comes from now on."""
        self._dialects = {version: Dialect(config, version) for version in (3, 4)}
        self._script = self._read(config.socketio_client)

    def judge(self, wanted: Wanted, address: str) -> Wanted:
        """Refuse what has no session, or no place for one: before there is anything of it."""
        match wanted:
            case Poll() | Push():
                return wanted if wanted.sid in self.clients else UNKNOWN_SESSION.to(wanted.cors)
            case Attach(sid=str() as sid):
                return self._why_no_trial(sid) or wanted
            case Begin() | Attach():
                if refusal := self._not_now(address):
                    cors = wanted.cors if isinstance(wanted, Begin) else ()
                    return refusal.to((*cors, _RETRY))
        return wanted

    def _why_no_trial(self, sid: str) -> Refusal | None:
        """Return why a session may not try a WebSocket, if so."""
        client = self.clients.get(sid)
        if client is None:
            return UNKNOWN_SESSION
        if self._hub.draining.is_set():
            return _DRAINING.to((_RETRY,))
        return BAD_REQUEST if client.session.is_trying else None

    def _not_now(self, address: str) -> Refusal | None:
        """Return why no session can begin now, if so."""
        hub, code = self._hub, BAD_REQUEST.code
        if hub.loading:
            return Refusal(code, "the server is still reading its ledger", "loading", 503)
        if hub.draining.is_set():
            return _DRAINING
        refusal = hub.membership.refusal(address)
        return Refusal(code, refusal[1], "full", 503) if refusal else None

    def _read(self, path: str | None) -> bytes | None:
        """Read the client's file: once, for all browsers."""
        try:
            return Path(path).read_bytes() if path is not None else None
        except OSError as error:
            logger.error("socketio_client cannot be read: %s", error.strerror)  # noqa: TRY400
            return None

    def answer(
        self, wanted: Begin | Preflight | Script | Refusal, address: str
    ) -> Reply | Refusal | Problem:
        """Answer what belongs to no session, or begins one."""
        match wanted:
            case Script():
                return script(self._script, wanted) if self._script is not None else NOT_FOUND
            case Preflight():
                return Reply(http.HTTPStatus.NO_CONTENT, TEXT, b"", [*wanted.headers])
            case Begin():
                return self._begin(wanted, address)
        self._hub.counters.refused_handshakes[wanted.reason] += 1
        if wanted.code == UNKNOWN_VERSION.code:
            # Its page says little of why, and its user nothing.
            self._hub.limited_log.warn(
                "a client of Socket.IO was refused, because its EIO is neither 3 nor 4: give its "
                "page a client of the versions 2 to 4"
            )
        return wanted

    def _begin(self, wanted: Begin, address: str) -> Reply:
        client = self._make(wanted.version, wanted.claims, address)
        self._limit_strangers(client.sid)
        packets = SEPARATOR.join(self._opening(client, ["websocket"]))
        body = encode_body(packets, wanted.version).encode()
        return Reply(200, TEXT, body, [*wanted.cors])

    def _limit_strangers(self, sid: str) -> None:
        """End the eldest session if it has not joined, and so many others began on requests.

        Such a session needs no connection, and may take its time to join. So one client could take
        all places.
        """
        self.on_requests[sid] = None
        if len(self.on_requests) > math.ceil(self._hub.config.max_connections / STRANGERS):
            eldest = next(iter(self.on_requests))
            del self.on_requests[eldest]
            client = self.clients[eldest]
            if client.is_stranger:
                why = "too many have come after it, and it has not joined"
                self._hub.membership.close(client.member, CloseCode.TRY_AGAIN_LATER, why)

    def begin_on_websocket(self, wanted: Attach, address: str) -> tuple[SocketClient, bytes]:
        """Begin a session on a WebSocket; return it, and the frames that it begins with."""
        client = self._make(wanted.version, wanted.claims, address)
        return client, to_frames(SEPARATOR.join(self._opening(client, [])).encode())

    def _make(self, version: int, claims: dict[str, str], address: str) -> SocketClient:
        sid = secrets.token_urlsafe(16)
        client = self.clients[sid] = self._client(
            self._hub,
            self._dialects[version],
            sid,
            claims,
            spawn=self._spawn,
            forget=self._forget,
            ignored=self._ignored.note,
            terminated=self._terminated,
        )
        client.arrive(address)
        return client

    def _forget(self, sid: str) -> None:
        del self.clients[sid]
        self.on_requests.pop(sid, None)

    def _opening(self, client: SocketClient, upgrades: list[str]) -> list[str]:
        """Write the packets that a session begins with; all times are milliseconds."""
        config = self._hub.config
        patience = config.heartbeat_timeout - config.heartbeat_interval + client.grace
        opening = {
            "sid": client.sid,
            "upgrades": upgrades,
            "pingInterval": round(config.heartbeat_interval * 1000),
            "pingTimeout": round(patience * 1000),
            "maxPayload": config.max_body,
        }
        return [Kind.OPEN.value + strict_json.dumps(opening), *client.greeting]


def script(source: bytes, wanted: Script) -> Reply:
    """Return the client's file, unless the browser has it."""
    digest = hashlib.sha256(source).hexdigest()[:32]
    etag = f'"{digest}"'.encode()
    headers = [
        (b"ETag", etag),
        (b"Cache-Control", b"public, max-age=300"),
        (b"Access-Control-Allow-Origin", b"*"),
        (b"Cross-Origin-Resource-Policy", b"cross-origin"),
    ]
    is_known = not wanted.known.isdisjoint((etag, b"*"))
    return Reply(304 if is_known else 200, JAVASCRIPT, b"" if is_known else source, headers)
