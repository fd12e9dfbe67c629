"""Fields of a configuration: each checks its value, and carries what the documents say of it.

What is wrong is a `ConfigError` that names the field. It quotes no value, which may be a key,
but numbers.
"""

import ipaddress
import re
from typing import Any

import attrs

from . import origins, strict_json
from .errors import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# These belong to a URL, a list or a network, and to no host name.
_NO_HOST = re.compile(r"[\s:/@*,\[\]]")


def number(
    default: float | None,
    about: str,
    *,
    low: float,
    high: float,
    unit: str = "s",
    whole: bool = False,
    optional: bool = False,
) -> Any:
    """Declare a number from `low` to `high`; with `optional`, or null."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value is None and optional:
            return
        kind = ("a whole number" if whole else "a number") + (" or null" if optional else "")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            raise ConfigError(f"{attribute.name} must be {kind}, not {kind_of(value)}")
        if not low <= value <= high:
            of = f" {unit}" if unit else ""
            raise ConfigError(f"{attribute.name} must be from {low:g} to {high:g}{of}, not {value}")

    return attrs.field(default=default, validator=check, metadata={"unit": unit, "about": about})


def count(default: int, about: str, *, low: int = 1, high: int = 10**9, unit: str = "") -> Any:
    """Declare a whole number."""
    return number(default, about, low=low, high=high, unit=unit, whole=True)


def choice(*choices: str, about: str) -> Any:
    """Declare a key that is one of `choices`; the first is the default."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if value not in choices:
            quoted = " or ".join(f'"{choice}"' for choice in choices)
            raise ConfigError(f"{attribute.name} must be {quoted}")

    return attrs.field(default=choices[0], validator=check, metadata={"about": about})


def flag(about: str, *, default: bool) -> Any:
    """Declare something that is true or false."""

    def check(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
        if not isinstance(value, bool):
            raise ConfigError(f"{attribute.name} must be true or false, not {kind_of(value)}")

    return attrs.field(default=default, validator=check, metadata={"about": about})


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
    """Say why no application server could send this key, or nothing (RFC 6750, section 2.1)."""
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
    try:
        ipaddress.ip_address(value)
    except ValueError:
        if _NO_HOST.search(value):
            raise ConfigError(
                "ipaddr must be an address or a host name alone: "
                "without brackets, a port, a scheme or a mask"
            ) from None
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
