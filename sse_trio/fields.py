"""Fields of a configuration: each checks its value, and has the text that describes it.

Each also says how its value is written as text (`Text`), and whether a new value needs a restart
(`needs_restart`). A wrong value raises a `ConfigError` that names the field. It quotes only numbers
of the value, because a text may be a key.
"""

import enum
import ipaddress
import os
import re
import sys
from typing import Any

import attrs

from . import origins, strict_json
from .errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# These belong to a URL, a list or a network, and to no host name.
_NO_HOST = re.compile(r"[\s:/@*,\[\]]")

# Bytes of a Unix socket's path, without the NUL at its end (unix(7); BSD and macOS have 4 less).
_MAX_SOCKET_PATH = 107 if sys.platform == "linux" else 103

# RFC 6265, section 4.1.1: the name of a cookie is a token (RFC 9110, section 5.6.2).
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

# Of characters that are written as they are in a URL (RFC 3986, section 2.3).
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)+/?")

MAX_EVENT = 64

RESERVED_EVENTS = frozenset(
    {"connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"}
)
"""Names that an event of Socket.IO cannot have: they are for what happens to the connection."""


class Text(enum.Enum):
    """How a value is written as text, for example in the environment."""

    JSON = "a number, true, false or null"
    PLAIN = "the text itself"
    OPTIONAL = "the text itself, or null"
    LIST = "separated by commas, or a JSON array"
    KEYS = "one key as it is, or a JSON array of strings"


def read_text(attribute: "attrs.Attribute[Any]", text: str) -> Any:
    """Return the value that `text` stands for; the field checks it afterwards.

    Raises:
        ValueError: it begins like a JSON array, and is none.
    """
    match attribute.metadata["text"]:
        case Text.JSON:
            try:
                return strict_json.loads_untrusted(text)
            except ValueError:
                return text
        case Text.OPTIONAL if text == "null":
            return None
        case Text.LIST:
            is_array = text.startswith("[")
            return (
                _array(attribute, text) if is_array else [item.strip() for item in text.split(",")]
            )
        # A key may contain commas and brackets. If it were split at them, the keys would be
        # shorter, and easier to guess.
        case Text.KEYS if re.match(r'\[\s*"', text):
            return _array(attribute, text)
    return text


def _array(attribute: "attrs.Attribute[Any]", text: str) -> Any:
    try:
        return strict_json.loads_untrusted(text, max_values=None)
    except ValueError as error:
        raise ValueError(f"{attribute.name} begins like a JSON array: {error}") from None


def describe(
    about: str, text: Text, *, unit: str = "", needs_restart: bool = False
) -> dict[str, Any]:
    """Return a field's metadata.

    `needs_restart` says that a running server keeps its old value at a reload.
    """
    return {"about": about, "text": text, "unit": unit, "needs_restart": needs_restart}


def number(
    default: Any,
    about: str,
    *,
    low: float,
    high: float,
    unit: str = "s",
    whole: bool = False,
    optional: bool = False,
    needs_restart: bool = False,
) -> Any:
    """Declare a number from `low` to `high`; with `optional`, or null.

    `default` may be an `attrs.Factory` that makes it of the keys before this one.
    """

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value is None and optional:
            return
        kind = ("a whole number" if whole else "a number") + (" or null" if optional else "")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ConfigError(f"{attribute.name} must be {kind}, not {kind_of(value)}")
        if not low <= value <= high:
            of = f" {unit}" if unit else ""
            raise ConfigError(f"{attribute.name} must be from {low:g} to {high:g}{of}, not {value}")

    metadata = describe(about, Text.JSON, unit=unit, needs_restart=needs_restart)
    return attrs.field(default=default, validator=check, metadata=metadata)


def count(
    default: int,
    about: str,
    *,
    low: int = 1,
    high: int = 10**9,
    unit: str = "",
    needs_restart: bool = False,
) -> Any:
    """Declare a whole number."""
    return number(
        default, about, low=low, high=high, unit=unit, whole=True, needs_restart=needs_restart
    )


def choice(*choices: str, about: str) -> Any:
    """Declare a key that is one of `choices`; the first is the default."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in choices:
            quoted = " or ".join(f'"{choice}"' for choice in choices)
            raise ConfigError(f"{attribute.name} must be {quoted}")

    metadata = describe(about, Text.PLAIN)
    return attrs.field(default=choices[0], validator=check, metadata=metadata)


def flag(about: str, *, default: bool) -> Any:
    """Declare a key that is true or false."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, bool):
            raise ConfigError(f"{attribute.name} must be true or false, not {kind_of(value)}")

    metadata = describe(about, Text.JSON)
    return attrs.field(default=default, validator=check, metadata=metadata)


def _to_strings(name: str, value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ConfigError(f"{name} must be a string or a list of strings, not {kind_of(value)}")
    return tuple(value)


def to_authkeys(value: object) -> tuple[str, ...]:
    """Take a key, a list of keys, or null."""
    keys = () if value is None else _to_strings("authkey", value)
    for key in keys:
        if why := _why_no_authkey(key):
            raise ConfigError(f"authkey {why}")
    return keys


def _why_no_authkey(key: str) -> str | None:
    """Return why no application server could send this key, or None (RFC 6750, section 2.1)."""
    # Bytes of the environment that are not UTF-8 become these characters (PEP 383).
    if strict_json.has_lone_surrogates(key):
        return "must be UTF-8"
    if not key.strip():
        return "must not be empty or blank"
    # An editor, `echo` or a spreadsheet may leave these around a key.
    if key != key.strip() or key != key.strip("\ufeff"):
        return "must not begin or end with a space, a line end or a byte order mark"
    if not key.isprintable():
        return "must not hold characters that cannot be seen, such as line ends"
    return None


def to_address(value: object) -> str:
    """Take an IP address or the name of a host."""
    if not isinstance(value, str) or not value:
        raise ConfigError("ipaddr must be an address or a host name")
    if not _is_host(value):
        raise ConfigError(
            "ipaddr must be an address or a host name alone: "
            "without brackets, a port, a scheme or a mask"
        )
    return value


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return bool(text) and not _NO_HOST.search(text)
    return True


@attrs.frozen
class Tcp:
    """A host and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class Unix:
    """A Unix socket, by its path."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Endpoint = Tcp | Unix


def to_endpoint(value: object) -> Endpoint | None:
    """Take ``host:port``, ``[IPv6]:port``, ``unix:path``, or null."""
    if value is None or isinstance(value, Endpoint):
        return value
    text = value if isinstance(value, str) else ""
    if text.startswith("unix:"):
        return _to_unix(text.removeprefix("unix:"))
    found = re.fullmatch(r"(?:\[([^\[\]]*:[^\[\]]*)\]|([^\[\]:]*)):([0-9]{1,5})", text)
    host = found and (found[1] or found[2])
    if not found or not host or not _is_host(host) or int(found[3]) > 65535:
        raise ConfigError(
            "internal must be null or like 127.0.0.1:9000, [::1]:9000 or unix:/run/x.sock"
        )
    return Tcp(host, int(found[3]))


def _to_unix(path: str) -> Unix:
    if "\0" in path or path.rpartition("/")[2] in ("", ".", ".."):
        raise ConfigError("internal must name a socket after unix:, not a folder")
    if len(os.fsencode(path)) > _MAX_SOCKET_PATH:
        raise ConfigError(
            f"internal must not have a path of more than {_MAX_SOCKET_PATH} bytes after unix:"
        )
    return Unix(path)


def to_cookie_name(value: object) -> str:
    """Take the name of a cookie (RFC 6265, section 4.1.1)."""
    if not isinstance(value, str) or not _TOKEN.fullmatch(value):
        raise ConfigError(
            "token_cookie must be the name of a cookie: letters, digits and !#$%&'*+-.^_`|~"
        )
    return value


def to_path(value: object) -> str:
    """Take the path of a URL, with or without a slash at its end; return it with one."""
    return f"{_to_path('socketio_path', value).removesuffix('/')}/"


def to_paths(value: object) -> tuple[str, ...]:
    """Take a list of paths of URLs, as they are."""
    return tuple(_to_path("notify_paths", path) for path in _to_strings("notify_paths", value))


def _to_path(attribute: str, value: object) -> str:
    if not isinstance(value, str) or not _PATH.fullmatch(value):
        raise ConfigError(
            f"{attribute} must be a path like /socket.io/: of letters, digits and ._~- between "
            "slashes"
        )
    return value


def event(name: str, default: str | None, about: str, *, optional: bool = False) -> Any:
    """Declare the name of an event that pages of Socket.IO know; with `optional`, or null."""

    def convert(value: object) -> str | None:
        return None if value is None and optional else _to_event(name, value)

    text = Text.OPTIONAL if optional else Text.PLAIN
    return attrs.field(default=default, converter=convert, metadata=describe(about, text))


def events(name: str, default: str, about: str) -> Any:
    """Declare the name of an event, or a list of names."""

    def convert(value: object) -> tuple[str, ...]:
        names = tuple(_to_event(name, event) for event in _to_strings(name, value))
        if not names:
            raise ConfigError(f"{name} must name at least one event")
        return names

    return attrs.field(default=default, converter=convert, metadata=describe(about, Text.LIST))


def _to_event(attribute: str, value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_EVENT or not value.isprintable():
        raise ConfigError(
            f"{attribute} must be the name of an event, of 1 to {MAX_EVENT} printable characters"
        )
    if value in RESERVED_EVENTS:
        raise ConfigError(f"{attribute} must not be a name that Socket.IO has for itself")
    return value


def to_file(value: object) -> str | None:
    """Take a file's path, or null."""
    if value is not None and (not isinstance(value, str) or not value or "\0" in value):
        raise ConfigError("socketio_client must be null or the path of a file")
    return value


def to_audit(value: object) -> str | None:
    """Take ``log``, a file's path, or null."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError('audit must be null, "log" or the path of a file')
    if value.rpartition("/")[2] in ("", ".", ".."):
        raise ConfigError("audit must name a file, not a folder")
    return value


def to_origins(value: object) -> tuple[str, ...] | None:
    """Take origins, in any spelling; null for any origin."""
    if value is None:
        return None
    normal = []
    for place, origin in enumerate(_to_strings("origins", value)):
        try:
            normal.append(origins.normalise(origin))
        except ValueError as error:
            raise ConfigError(f"origins[{place}]: {error}") from None
    return tuple(normal)


def to_networks(value: object) -> tuple[Network, ...]:
    """Take IP networks or addresses."""
    if isinstance(value, list | tuple) and all(isinstance(item, Network) for item in value):
        return tuple(map(_to_plain, value))
    networks = []
    for place, text in enumerate(_to_strings("trusted_proxies", value)):
        try:
            networks.append(_to_plain(ipaddress.ip_network(text)))
        except ValueError:
            raise ConfigError(
                f"trusted_proxies[{place}] is neither an address nor a network like 10.0.0.0/8, "
                "with nothing behind its mask"
            ) from None
    return tuple(networks)


def _to_plain(network: Network) -> Network:
    """Write an IPv4 network as one: that is how addresses are compared (RFC 4291, 2.5.5.2)."""
    first = network.network_address
    mapped = first.ipv4_mapped if isinstance(first, ipaddress.IPv6Address) else None
    return ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}") if mapped else network


def kind_of(value: object) -> str:
    """Say what `value` is, in JSON's words; never the value itself, which may be a key."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {list: "a list", tuple: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), type(value).__name__)
