"""Every limit of the server, with its unit and its reason, in one frozen object.

`Config` is made by an embedder in Python, or by :meth:`Config.load` from ``config.json`` and
the environment; both go through the same checks. It holds the keys, so its repr
does not show them, and no error quotes them.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from . import paths
from .errors import ConfigError
from .fields import (
    Endpoint,
    Network,
    Tcp,
    Text,
    choice,
    count,
    describe,
    event,
    events,
    flag,
    number,
    to_address,
    to_audit,
    to_authkeys,
    to_cookie_name,
    to_endpoint,
    to_file,
    to_networks,
    to_origins,
    to_path,
    to_paths,
)
from .ledger_url import MEMORY, is_shared, path_of, to_feed, to_ledger, without_secrets
from .sources import ARGUMENT, DEFAULT, ENVIRONMENT, FILE, PREFIX, Danger, Value, gather

logger = logging.getLogger("sse_trio")

ENVIRONMENT_KEY = f"{PREFIX}AUTHKEY"

# `sse-trio serve` remembers over a restart; a program that embeds the server chooses the ledger.
COMMAND_LEDGER = "sqlite:///sse-trio.db"

# Bytes. 16 random printable characters have about 100 bits: more than an attacker can try.
SHORT_KEY = 16

# Bytes. A join with a ticket of the shortest names is about 380 long, a usual one 400.
_TICKETS_MESSAGE = 512


# Seconds: for one process with its own ledger, and for several nodes that share one. There a notify
# may have to wait for the end of a dead node's lease.
_LEDGER_TIMEOUT, _SHARED_LEDGER_TIMEOUT = 5, 10


def _ledger_timeout(config: "Config") -> float:
    return _SHARED_LEDGER_TIMEOUT if config.is_shared else _LEDGER_TIMEOUT


@attrs.frozen(kw_only=True)
class Config:
    """What one server may do and how long it waits. Seconds and bytes throughout.

    Raises:
        ConfigError: a value is of the wrong type or out of its range; the message
            names the key.
    """

    port: int = count(
        8080, "TCP port; 0 lets the system choose", low=0, high=65535, needs_restart=True
    )
    ipaddr: str = attrs.field(
        default="127.0.0.1",
        converter=to_address,
        metadata=describe(
            "address or host name to listen on; `::` accepts IPv4 too",
            Text.PLAIN,
            needs_restart=True,
        ),
    )
    authkey: tuple[str, ...] = attrs.field(
        default=None,
        converter=to_authkeys,
        repr=False,
        metadata=describe(
            "the application servers' key, or a list of keys; the first one signs", Text.KEYS
        ),
    )
    join: Literal["open", "ticket"] = choice(
        "open",
        "ticket",
        about="`open`: room and session as claimed; `ticket`: signed tickets alone",
    )
    origins: tuple[str, ...] | None = attrs.field(
        default=None,
        converter=to_origins,
        metadata=describe("`Origin`s whose pages may connect; any if left out", Text.LIST),
    )
    ledger: str = attrs.field(
        default=MEMORY,
        converter=to_ledger,
        repr=lambda ledger: json.dumps(without_secrets(ledger), ensure_ascii=False),
        metadata=describe(
            "where terminations are remembered: `memory:`; a file, which is "
            f"the command's default, `{COMMAND_LEDGER}`; or a database that several nodes share, "
            "`postgresql://user@host/database`",
            Text.PLAIN,
            needs_restart=True,
        ),
    )
    ledger_feed: str | None = attrs.field(
        default=None,
        converter=to_feed,
        repr=lambda feed: json.dumps(feed and without_secrets(feed), ensure_ascii=False),
        metadata=describe(
            "with `postgresql:` behind a pooler: the same database without the pooler",
            Text.OPTIONAL,
            needs_restart=True,
        ),
    )
    internal: Endpoint | None = attrs.field(
        default=None,
        converter=to_endpoint,
        metadata=describe(
            "a second address, `127.0.0.1:9000` or `unix:/run/sse-trio/api.sock`; only there, the "
            "server answers requests with the key, `/metrics`, `/readyz` and `/openapi.json`, and "
            "serves the operator's page",
            Text.OPTIONAL,
            needs_restart=True,
        ),
    )

    heartbeat_interval: float = number(
        25,
        "between heartbeats; under the 30 s of the shortest common proxies",
        low=0.05,
        high=3600,
        needs_restart=True,
    )
    heartbeat_timeout: float = number(
        60,
        "without a byte from a member until the server drops it",
        low=0.05,
        high=86400,
        needs_restart=True,
    )
    join_timeout: float = number(5, "from the handshake to the join message", low=0.05, high=3600)
    request_timeout: float = number(
        10, "for a whole HTTP request to arrive, or an answer to leave", low=0.05, high=3600
    )
    keep_alive: float = number(
        75, "an idle HTTP connection is kept (nginx 75, Node 5, Apache 5)", low=0.05, high=3600
    )
    ledger_timeout: float = number(
        attrs.Factory(_ledger_timeout, takes_self=True),
        "a notify waits for the ledger; then it is answered 503. With `postgresql:` the default "
        f"is {_SHARED_LEDGER_TIMEOUT}",
        low=0.05,
        high=3600,
    )
    lease: float = number(
        6,
        "with `postgresql:`, a node that sends nothing to the database for so long is expelled",
        low=2,
        high=60,
        needs_restart=True,
    )
    on_lost_engine: Literal["hold", "cut", "carry-on"] = choice(
        "hold",
        "cut",
        "carry-on",
        about="with `postgresql:`, what happens to members while it is unreachable: `hold`: they "
        "wait; `cut`: they are closed with 1013; `carry-on`: nothing, which breaks the promise",
    )
    hold: float = number(
        30, "members are on hold; then they are closed with 1013", low=0.05, high=3600
    )
    join_patience: float = number(
        10,
        "a join waits while the server cannot know; then it is closed with 1013",
        low=0.05,
        high=3600,
    )
    linger: float = number(5, "a closing peer has to acknowledge or close", low=0.05, high=3600)
    shutdown_grace: float = number(
        10, "from the first signal until the server cancels what is left", low=0.05, high=3600
    )
    lame_duck: float = number(
        0,
        "from the first signal, `/readyz` is 503 and the server accepts as before",
        low=0,
        high=1800,
    )
    drain_rate: int = count(
        2000,
        "members that a shutdown closes in a second, so that they do not all come back at once",
        unit="1/s",
    )

    max_sessions: int = count(1, "active sessions of one room", high=1000)
    at_limit: Literal["end-oldest", "refuse-new"] = choice(
        "end-oldest",
        "refuse-new",
        about="`end-oldest`: a new login ends the oldest; `refuse-new`: it is answered 409",
    )
    max_connections: int = count(
        100_000,
        "WebSockets at once, without those being closed; one more is closed with 1013",
    )
    max_connections_per_room: int = count(
        64, "members of one room; one more is closed with 4429", high=1_000_000
    )
    max_connections_per_address: int | None = number(
        None,
        "WebSockets of one client address; one more is closed with 4429",
        low=1,
        high=10**9,
        unit="",
        whole=True,
        optional=True,
    )
    max_message: int = count(
        4096, "a WebSocket message; a longer one is closed with 1009", low=64, unit="B"
    )
    max_body: int = count(16384, "a request's body; a longer one is answered 413", low=64, unit="B")
    max_check_body: int = count(
        65536,
        "the body of a `/check`, which may ask for many; a longer one is answered 413",
        low=64,
        unit="B",
    )
    max_headers: int = count(
        16384,
        "a request's head; a longer one is answered 431 (Node 16 KiB, Apache 8 KiB a line)",
        low=256,
        unit="B",
    )
    max_header_lines: int = count(
        100,
        "lines of a request's head; with more it is answered 431 (Apache 100, Tomcat 100)",
        low=16,
    )
    max_outbox: int = count(
        65536,
        "memory for data that waits for one slow member; beyond it the member is closed with 1013",
        low=1024,
        unit="B",
    )
    max_wrong_keys: int = count(
        10, "wrong keys a minute from one address; then its notifies are answered 429"
    )
    max_remembered_rooms: int = count(
        1_000_000,
        "rooms remembered without a named session, and as many whose named sessions have all ended",
    )
    max_remembered_sessions: int = count(
        64,
        "ended sessions a room remembers, and as many that have only joined",
        low=2,
        high=65536,
    )
    ticket_lifetime: float = number(
        30 * 86400,
        "a ticket is valid, and the server remembers a room",
        low=1,
        high=10 * 366 * 86400,
    )
    trusted_proxies: tuple[Network, ...] = attrs.field(
        default=(),
        converter=to_networks,
        metadata=describe("networks whose `X-Forwarded-For` names the client's address", Text.LIST),
    )
    metrics: bool = flag("false: `/metrics` answers 404", default=True)
    token_cookie: str = attrs.field(
        default="__Host-sse_trio",
        converter=to_cookie_name,
        metadata=describe("the cookie in which `/verify` finds the token", Text.PLAIN),
    )
    socketio: bool = flag(
        "true: pages of Socket.IO, versions 2 to 4, may join, as docs/socketio.md says",
        default=False,
    )
    socketio_path: str = attrs.field(
        default="/socket.io/",
        converter=to_path,
        metadata=describe("where they connect", Text.PLAIN),
    )
    socketio_join: tuple[str, ...] = events(
        "socketio_join", "join", "the event by which they join, or a list of events"
    )
    socketio_terminate: str = event(
        "socketio_terminate", "terminate", "the event that tells them to log out"
    )
    socketio_joined: str | None = event(
        "socketio_joined",
        "joined",
        "the event that tells them that they have joined",
        optional=True,
    )
    socketio_heartbeat: str | None = event(
        "socketio_heartbeat", None, "the event that they get with each heartbeat", optional=True
    )
    socketio_client: str | None = attrs.field(
        default=None,
        converter=to_file,
        metadata=describe(
            "a file that is served as `socket.io.js` and `socket.io.min.js` below their path",
            Text.OPTIONAL,
        ),
    )
    notify_paths: tuple[str, ...] = attrs.field(
        default=(),
        converter=to_paths,
        metadata=describe(
            "further paths that take what `/notify` takes, for application servers whose path is "
            "fixed",
            Text.LIST,
        ),
    )
    without_sender: Literal["newest-stays", "all-end"] = choice(
        "newest-stays",
        "all-end",
        about="what a `POST /notify` means that names no sender: `newest-stays`: the session that "
        "joined last stays; `all-end`: all end, as with `null`",
    )
    audit: str | None = attrs.field(
        default=None,
        converter=to_audit,
        metadata=describe(
            "where every decision is written: `log`, or a file", Text.OPTIONAL, needs_restart=True
        ),
    )

    def __attrs_post_init__(self) -> None:
        if self.heartbeat_timeout <= self.heartbeat_interval:
            raise ConfigError(
                f"heartbeat_timeout ({self.heartbeat_timeout:g} s) must be longer than "
                f"heartbeat_interval ({self.heartbeat_interval:g} s): "
                "a healthy member sends something once an interval"
            )
        if self.max_remembered_sessions <= self.max_sessions:
            raise ConfigError(
                f"max_remembered_sessions ({self.max_remembered_sessions}) must be more than "
                f"max_sessions ({self.max_sessions}): "
                "a room must remember the sessions that a notify ends"
            )
        if self.max_connections_per_room < self.max_sessions:
            raise ConfigError(
                f"max_connections_per_room ({self.max_connections_per_room}) must be at least "
                f"max_sessions ({self.max_sessions}): each session has a page"
            )
        if self.join == "ticket" and self.max_message < _TICKETS_MESSAGE:
            raise ConfigError(
                f"max_message ({self.max_message} B) must be at least {_TICKETS_MESSAGE} B "
                'where join is "ticket": a ticket takes about 400'
            )
        told = (self.socketio_terminate, self.socketio_joined, self.socketio_heartbeat)
        names = [*self.socketio_join, *(name for name in told if name is not None)]
        if len(set(names)) < len(names):
            raise ConfigError(
                "socketio_join, socketio_terminate, socketio_joined and socketio_heartbeat must "
                "be different events"
            )
        self._check_paths()
        if self.lame_duck >= self.shutdown_grace:
            raise ConfigError(
                f"lame_duck ({self.lame_duck:g} s) must be shorter than "
                f"shutdown_grace ({self.shutdown_grace:g} s): it closes members in the rest"
            )
        needed = 1.2 * self.lease + 2
        if self.is_shared and self.ledger_timeout < needed:
            raise ConfigError(
                f"ledger_timeout ({self.ledger_timeout:g} s) must be at least {needed:g} s where "
                f"the ledger is shared and lease is {self.lease:g} s: "
                "a notify may have to wait until a node is expelled"
            )

        if self.internal == Tcp(self.ipaddr, self.port) and self.port:
            raise ConfigError(f"internal ({self.internal}) must differ from ipaddr and port")

    def _check_paths(self) -> None:
        engine = {*paths.of_socketio(self.socketio_path), *paths.of_scripts(self.socketio_path)}
        if any(map(paths.is_own, engine)):
            raise ConfigError(
                "socketio_path must not be a path that the hub has for something else"
            )
        for place, path in enumerate(self.notify_paths):
            if path != "/notify" and paths.is_own(path):
                raise ConfigError(
                    f"notify_paths[{place}] must not be a path that the hub has for something else"
                )
            if path in engine:
                raise ConfigError(f"notify_paths[{place}] must differ from socketio_path")

    def dangers(self, port: int) -> Iterator[Danger]:
        """Yield settings that are allowed but dangerous, if the server listens on this port."""
        if self.join == "open":
            yield (
                (
                    "open mode: anyone who reaches %s port %s can listen in on any room, or join "
                    'it under any session; restrict who reaches it, or set join to "ticket"'
                ),
                (self.ipaddr, port),
            )
        if any(len(key.encode()) < SHORT_KEY for key in self.authkey):
            yield (
                (
                    "an authkey is short: anyone who sees a ticket can try keys until one fits; "
                    "`sse-trio keygen` makes one of 256 bits"
                ),
                (),
            )

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file, if it is one."""
        return path_of(self.ledger)

    @property
    def is_shared(self) -> bool:
        """Whether the ledger is a database that several nodes share."""
        return is_shared(self.ledger)

    @classmethod
    def load(
        cls,
        path: str | Path | None,
        environ: Mapping[str, str] | None = None,
        arguments: Mapping[str, Any] | None = None,
        **defaults: Any,
    ) -> "Config":
        """Read ``config.json``, then the environment, then `arguments`: the last one counts.

        A key that none of them has comes from `defaults`, or has its usual value. In the
        environment a key is ``SSE_TRIO_`` and its name in capitals; an empty variable counts as not
        set. ``SSE_TRIO_AUTHKEY_FILE`` names a file with one authkey a line. If all users of the
        machine may read or change the file that the authkey comes from, this logs a warning.

        Raises:
            ConfigError: something cannot be read, or is wrong; the message says where.
        """
        loaded = load(path, environ, arguments, **defaults)
        for message, values in loaded.dangers:
            logger.warning(message, *values)
        return loaded.config

    def reloaded(self, wanted: "Config") -> "Reload":
        """Return how a running server applies a new configuration.

        It keeps the values of the keys that need a restart.

        Raises:
            ConfigError: the new values do not fit the ones that are kept: a `ledger_timeout` with
                `ledger` and `lease`.
        """
        differ = [key for key in FIELDS if getattr(self, key.name) != getattr(wanted, key.name)]
        changed = tuple(key.name for key in differ if not key.metadata["needs_restart"])
        config = attrs.evolve(self, **{name: getattr(wanted, name) for name in changed})
        return Reload(config, changed, tuple(k.name for k in differ if k.metadata["needs_restart"]))


@attrs.frozen
class Reload:
    """How a running server applies a new configuration."""

    config: Config
    changed: tuple[str, ...]
    """Keys that have another value from now on."""
    restart: tuple[str, ...]
    """Keys that would have one after a restart."""


@attrs.frozen
class Loaded:
    """A configuration, and where it comes from."""

    config: Config
    _values: dict[str, Value] = attrs.field(repr=False)
    dangers: tuple[Danger, ...]
    """What is dangerous about where values come from."""

    def place(self, key: str) -> str:
        """Return where a key has its value from: a file, a variable, an option, or the defaults."""
        return self._values[key].place if key in self._values else DEFAULT


def load(
    path: str | Path | None,
    environ: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> Loaded:
    """Do what :meth:`Config.load` does, and say where each value comes from. Logs nothing."""
    found = gather(FIELDS, path, environ or {}, arguments or {}, defaults)
    for key in FIELDS:
        if key.name in found.values:
            value = found.values[key.name]
            with _naming(value.place if value.source not in (ARGUMENT, DEFAULT) else None):
                _check(key, value.value)
    # Only the checks of several values together are left.
    labels = {FILE: str(path), ENVIRONMENT: "the environment", ARGUMENT: "the arguments"}
    sources = {value.source for value in found.values.values()}
    shown = [label for source, label in labels.items() if source in sources]
    with _naming(" and ".join(shown) or "config"):
        config = Config(**{key: value.value for key, value in found.values.items()})
    return Loaded(config, found.values, found.dangers)


def _check(key: "attrs.Attribute[Any]", value: Any) -> None:
    """Check one value by itself."""
    if key.converter:
        assert callable(key.converter)
        value = key.converter(value)
    if key.validator:
        key.validator(None, key, value)


@contextlib.contextmanager
def _naming(place: object) -> Iterator[None]:
    """Put the place of the value before an error's message."""
    try:
        yield
    except ConfigError as error:
        raise (ConfigError(f"{place}: {error}") if place else error) from None


FIELDS: tuple["attrs.Attribute[Any]", ...] = attrs.fields(Config)

KEYS = tuple(key.name for key in FIELDS)
