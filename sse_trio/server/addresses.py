"""The client's address: that of the peer, or the one that a trusted proxy names."""

import functools
import ipaddress
from typing import Final

from ..config import Config

LOCAL: Final = "unix"
"""In place of an address: the peer came by a Unix socket, and so is on this machine."""

# Addresses that are known already: to read one takes 5 us, and many connections share one.
_ADDRESSES = 4096

# The most proxies that a request can come through, and the most characters of an address with its
# zone and port. A longer value comes from an attacker who wants the server to waste time.
_HOPS = 16
_LONGEST = 96


def client_address(host: str, forwarded_for: str | None, config: Config) -> str:
    """Return the client's address: `host`, or the one that trusted proxies name.

    The proxies append to ``X-Forwarded-For``, so it is read from its end, up to the first address
    that is not a trusted proxy's; the part before it may be forged. At most 16 addresses are read.
    Limits count by the result, so an IPv6 address is widened to its network of 64 bits.
    """
    if host == LOCAL:
        return host
    address = host
    hops = forwarded_for.rsplit(",", _HOPS)[-_HOPS:] if forwarded_for else []
    while hops and _trusted(address, config):
        hop = hops.pop().strip()
        if len(hop) > _LONGEST:
            break
        try:
            address = plain(_without_port(hop))
        except ValueError:
            break
    return _subscriber(address)


def _trusted(address: str, config: Config) -> bool:
    if not config.trusted_proxies:
        return False
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in config.trusted_proxies)


@functools.lru_cache(_ADDRESSES)
def _subscriber(address: str) -> str:
    """Widen an IPv6 address to the network of 64 bits that one subscriber has (RFC 6177)."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4 or parsed.is_loopback:
        return address
    return str(ipaddress.ip_network((address, 64), strict=False))


def _without_port(hop: str) -> str:
    """Drop what some proxies append: ``192.0.2.1:5678``, ``[2001:db8::1]:5678``."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


@functools.lru_cache(_ADDRESSES)
def plain(host: str) -> str:
    """Drop an IPv6 zone, and write an IPv4 address as one, even on a dual-stack socket."""
    parsed = ipaddress.ip_address(host.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
