"""Every limit of the server, with its unit and its reason, in one frozen object.

`Config` is made by an embedder in Python or by :meth:`Config.load` from
``config.json``; both go through the same checks. It holds the keys, so its repr
does not show them, and no error quotes them.
"""

import difflib
import ipaddress
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from . import origins, strict_json
from .errors import ConfigError
from .fields import choice, count, flag, kind_of, number

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ENVIRONMENT_KEY = "SSE_TRIO_AUTHKEY"

# `sse-trio serve` remembers over a restart; a program that embeds the server says where.
COMMAND_LEDGER = "sqlite:///sse-trio.db"

# As SQLAlchemy writes it: what comes after the third slash is the path. (SQLite would take
# a path that begins with a colon for a database in memory.)
_LEDGER = re.compile(r"sqlite:///([^:\x00][^\x00]*)")


def _to_strings(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{name} must be a string or a list of strings, not {kind_of(value)}")
    return tuple(value)


def _to_authkeys(value: object) -> tuple[str, ...]:
    keys = () if value is None else _to_strings("authkey", value)
    if not all(keys):
        raise ConfigError("authkey must not be empty")
    # What the environment's bytes become where they are not UTF-8 (PEP 383).
    if any(map(strict_json.has_lone_surrogates, keys)):
        raise ConfigError("authkey must be UTF-8")
    return keys


def _to_address(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError("ipaddr must be an address or a host name")
    return value


def _to_origins(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    normal = []
    for place, origin in enumerate(_to_strings("origins", value)):
        try:
            normal.append(origins.normalise(origin))
        except ValueError as error:
            raise ConfigError(f"origins[{place}]: {error}") from None
    return tuple(normal)


def _to_ledger(value: object) -> str:
    if not isinstance(value, str) or not (value == "memory:" or _LEDGER.fullmatch(value)):
        raise ConfigError(
            'ledger must be "memory:", "sqlite:///relative/path" or "sqlite:////absolute/path"'
        )
    return value


def _to_networks(value: object) -> tuple[Network, ...]:
    if isinstance(value, list | tuple) and all(isinstance(item, Network) for item in value):
        return tuple(value)
    networks = _to_strings("trusted_proxies", value)
    try:
        return tuple(map(ipaddress.ip_network, networks))
    except ValueError as error:
        raise ConfigError(f"trusted_proxies: {error}") from None


@attrs.frozen(kw_only=True)
class Config:
    """What one server may do and how long it waits. Seconds and bytes throughout.

    Raises:
        ConfigError: a value is of the wrong type or out of its range; the message
            names the key.
    """

    port: int = count(8080, "TCP port; 0 lets the system choose", low=0, high=65535)
    ipaddr: str = attrs.field(
        default="127.0.0.1",
        converter=_to_address,
        metadata={"about": "address or host name to listen on; `::` takes IPv4 too"},
    )
    authkey: tuple[str, ...] = attrs.field(
        default=None,
        converter=_to_authkeys,
        repr=False,
        metadata={"about": "the application servers' key, or a list of keys; the first one signs"},
    )
    join: Literal["open", "ticket"] = choice(
        "open",
        "ticket",
        about="`open`: room and session as claimed; `ticket`: signed tickets alone",
    )
    origins: tuple[str, ...] | None = attrs.field(
        default=None,
        converter=_to_origins,
        metadata={"about": "`Origin`s whose pages may connect; any if left out"},
    )
    ledger: str = attrs.field(
        default="memory:",
        converter=_to_ledger,
        metadata={
            "about": "where terminations are remembered: `memory:`, or a file, which is "
            f"the command's default, `{COMMAND_LEDGER}`"
        },
    )

    heartbeat_interval: float = number(
        25, "between heartbeats; under the 30 s of the shortest common proxies", low=0.05, high=3600
    )
    heartbeat_timeout: float = number(
        60, "without a sign of life until a member is dead", low=0.05, high=86400
    )
    join_timeout: float = number(5, "from the handshake to the join message", low=0.05, high=3600)
    request_timeout: float = number(
        10, "for a whole HTTP request to arrive, or an answer to leave", low=0.05, high=3600
    )
    keep_alive: float = number(
        75, "an idle HTTP connection is kept (nginx 75, Node 5, Apache 5)", low=0.05, high=3600
    )
    ledger_timeout: float = number(
        5, "a notify waits for the ledger; then it is answered 503", low=0.05, high=3600
    )
    linger: float = number(
        5, "a closing peer is given to acknowledge or close", low=0.05, high=3600
    )
    shutdown_grace: float = number(
        10, "from the first signal until whatever is left is cancelled", low=0.05, high=3600
    )

    max_sessions: int = count(1, "logins of one room that stand at once", high=1000)
    at_limit: Literal["end-oldest", "refuse-new"] = choice(
        "end-oldest",
        "refuse-new",
        about="`end-oldest`: a new login ends the oldest; `refuse-new`: it is answered 409",
    )
    max_connections: int = count(100_000, "WebSockets at once; one more is closed with 1013")
    max_connections_per_room: int = count(
        64, "members of one room; one more is closed with 4429", high=1_000_000
    )
    max_connections_per_address: int | None = attrs.field(
        default=None,
        metadata={"about": "WebSockets of one client address; one more is closed with 4429"},
    )
    max_message: int = count(
        4096, "a WebSocket message; a longer one is closed with 1009", low=64, unit="B"
    )
    max_body: int = count(16384, "a request's body; a longer one is answered 413", low=64, unit="B")
    max_headers: int = count(
        16384,
        "a request's head; a longer one is answered 431 (Node 16 KiB, Apache 8 KiB a line)",
        low=256,
        unit="B",
    )
    max_outbox: int = count(
        65536, "waiting for one slow member; one more is closed with 1013", low=1024, unit="B"
    )
    max_wrong_keys: int = count(
        10, "wrong keys a minute from one address; then its notifies are answered 429"
    )
    max_remembered_rooms: int = count(
        1_000_000, "rooms whose standing is remembered; then the oldest is forgotten"
    )
    max_remembered_sessions: int = count(
        64, "sessions remembered in one room; then its oldest is forgotten", low=2, high=65536
    )
    ticket_lifetime: float = number(
        30 * 86400, "a ticket is valid, and a standing is remembered", low=1, high=10 * 366 * 86400
    )
    trusted_proxies: tuple[Network, ...] = attrs.field(
        default=(),
        converter=_to_networks,
        metadata={"about": "networks whose `X-Forwarded-For` names the client's address"},
    )
    metrics: bool = flag("false: `/metrics` answers 404", default=True)

    @max_connections_per_address.validator
    def _check_per_address(self, _: object, value: object) -> None:
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ConfigError(
                f"max_connections_per_address must be a whole number or null, not {kind_of(value)}"
            )
        if isinstance(value, int) and value < 1:
            raise ConfigError(f"max_connections_per_address must be at least 1, not {value}")

    def __attrs_post_init__(self) -> None:
        if self.heartbeat_timeout <= self.heartbeat_interval:
            raise ConfigError(
                f"heartbeat_timeout ({self.heartbeat_timeout:g} s) must be longer than "
                f"heartbeat_interval ({self.heartbeat_interval:g} s): "
                "a healthy member is heard from once an interval"
            )
        if self.max_remembered_sessions <= self.max_sessions:
            raise ConfigError(
                f"max_remembered_sessions ({self.max_remembered_sessions}) must be more than "
                f"max_sessions ({self.max_sessions}): one that has ended is to be remembered too"
            )

    @property
    def ledger_path(self) -> Path | None:
        """The ledger's file, if it is one."""
        found = _LEDGER.fullmatch(self.ledger)
        return Path(found[1]) if found else None

    @classmethod
    def load(
        cls,
        path: str | Path | None,
        environ: Mapping[str, str] | None = None,
        **defaults: Any,
    ) -> "Config":
        """Read ``config.json``; what it does not say is as in `defaults`, or the usual.

        The environment's ``SSE_TRIO_AUTHKEY``, if set, replaces the file's ``authkey``.

        Raises:
            ConfigError: the file cannot be read, is not JSON, or holds something wrong.
        """
        values: Any = {}
        if path is not None:
            try:
                values = strict_json.loads_untrusted(Path(path).read_bytes())
            except (OSError, ValueError) as error:
                raise ConfigError(f"{path}: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: must be a JSON object, not {kind_of(values)}")
        for key in values:
            if key not in KEYS:
                near = difflib.get_close_matches(key.lower(), KEYS, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"{path}: unknown key {key!r}{hint}")
        if from_environment := (environ or {}).get(ENVIRONMENT_KEY):
            values["authkey"] = from_environment
        try:
            return cls(**defaults | values)
        except ConfigError as error:
            raise ConfigError(f"{path or 'config'}: {error}") from None


KEYS = tuple(attribute.name for attribute in attrs.fields(Config))
