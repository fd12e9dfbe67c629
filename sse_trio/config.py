"""Every limit of the server, with its unit and its reason, in one frozen object.

`Config` is made by an embedder in Python or by :meth:`Config.load` from
``config.json``; both go through the same checks. It holds the keys, so its repr
does not show them, and no error quotes them.
"""

import codecs
import contextlib
import difflib
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from . import strict_json
from .errors import ConfigError
from .fields import (
    Network,
    choice,
    count,
    flag,
    kind_of,
    number,
    to_address,
    to_authkeys,
    to_networks,
    to_origins,
)

logger = logging.getLogger("sse_trio")

ENVIRONMENT_KEY = "SSE_TRIO_AUTHKEY"

# `sse-trio serve` remembers over a restart; a program that embeds the server says where.
COMMAND_LEDGER = "sqlite:///sse-trio.db"

# As SQLAlchemy writes it: what comes after the third slash is the path. (SQLite would take
# a path that begins with a colon for a database in memory.)
_LEDGER = re.compile(r"sqlite:///([^:\x00][^\x00]*)")

_WORDS = re.compile(r"[A-Za-z_-]+")

# Bytes. A join whose ticket has the shortest names is some 380 long, a usual one 400.
_TICKETS_MESSAGE = 512


def _to_ledger(value: object) -> str:
    if not isinstance(value, str) or not (value == "memory:" or _LEDGER.fullmatch(value)):
        raise ConfigError(
            'ledger must be "memory:", "sqlite:///relative/path" or "sqlite:////absolute/path"'
        )
    if value.rpartition("/")[2] in ("", ".", ".."):
        raise ConfigError("ledger must name a file, not a folder")
    return value


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
        converter=to_address,
        metadata={"about": "address or host name to listen on; `::` takes IPv4 too"},
    )
    authkey: tuple[str, ...] = attrs.field(
        default=None,
        converter=to_authkeys,
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
        converter=to_origins,
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
    max_connections: int = count(
        100_000,
        "WebSockets at once, without those being closed; one more is closed with 1013",
    )
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
        "rooms remembered without any named session, and as many whose logins have all ended",
    )
    max_remembered_sessions: int = count(
        64,
        "ended sessions a room remembers, and as many that have only joined",
        low=2,
        high=65536,
    )
    ticket_lifetime: float = number(
        30 * 86400, "a ticket is valid, and a standing is remembered", low=1, high=10 * 366 * 86400
    )
    trusted_proxies: tuple[Network, ...] = attrs.field(
        default=(),
        converter=to_networks,
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
                f"max_sessions ({self.max_sessions}): a room must remember whom a notify ends"
            )
        if self.max_connections_per_room < self.max_sessions:
            raise ConfigError(
                f"max_connections_per_room ({self.max_connections_per_room}) must be at least "
                f"max_sessions ({self.max_sessions}): each session has a page"
            )
        if self.join == "ticket" and self.max_message < _TICKETS_MESSAGE:
            raise ConfigError(
                f"max_message ({self.max_message} B) must be at least {_TICKETS_MESSAGE} B "
                'where join is "ticket": a ticket takes some 400'
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
        """Read ``config.json``; keys that it lacks come from `defaults`, or have their usual value.

        The environment's ``SSE_TRIO_AUTHKEY``, if set, replaces the file's ``authkey``. If the
        file's key is used, and all users of the machine may read or change the file, this logs a
        warning.

        Raises:
            ConfigError: the file cannot be read, is not JSON, or holds something wrong.
        """
        values: Any = {}
        mode = 0
        if path is not None:
            try:
                with Path(path).open("rb") as file:
                    mode = os.fstat(file.fileno()).st_mode
                    text = file.read()
                # Some editors write a byte order mark; it may be ignored (RFC 8259, section 8.1).
                values = strict_json.loads_untrusted(
                    text.removeprefix(codecs.BOM_UTF8), max_values=None
                )
            except (OSError, ValueError) as error:
                raise ConfigError(f"{path}: {error}") from None
        if not isinstance(values, dict):
            raise ConfigError(f"{path}: must be a JSON object, not {kind_of(values)}")
        for place, key in enumerate(values, 1):
            if key not in KEYS:
                raise ConfigError(f"{path}: {_unknown(key, place)}")
        if from_environment := (environ or {}).get(ENVIRONMENT_KEY):
            with _naming(ENVIRONMENT_KEY):
                values["authkey"] = to_authkeys(from_environment)
        with _naming(path or "config"):
            config = cls(**defaults | values)
        if values.get("authkey") and not from_environment and mode & (stat.S_IROTH | stat.S_IWOTH):
            shown = f"{stat.S_IMODE(mode):04o}"
            logger.warning("%s holds the authkey, and is open to all users (mode %s)", path, shown)
        return config


@contextlib.contextmanager
def _naming(where: object) -> Iterator[None]:
    """Put where the value stands before an error's message."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _unknown(key: str, place: int) -> str:
    """Say which key is unknown. Quote only what looks like a typing error: it may be a secret."""
    near = difflib.get_close_matches(key.lower(), KEYS, n=1)
    shown = repr(key) if near and _WORDS.fullmatch(key) else f"(member {place} of the object)"
    return f"unknown key {shown}" + (f"; did you mean {near[0]!r}?" if near else "")


KEYS = tuple(attribute.name for attribute in attrs.fields(Config))
