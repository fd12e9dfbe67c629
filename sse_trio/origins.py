"""Web origins, in the one form in which browsers write them.

An origin is a scheme, a host and a port (RFC 6454, section 4). A browser sends it in lower
case, the host in punycode and the default port left out (RFC 6454, section 6.2, and the URL
standard, https://url.spec.whatwg.org/#concept-host-parser). People write the same origin in
other ways, and so it is compared only after `normalise`.
"""

import ipaddress
import re

import idna

# Origins of pages that were not loaded over the network: browsers send `null` for an opaque
# origin, and web views of hybrid apps that may read files send `file://` (RFC 6454, section 4).
_WITHOUT_HOST = ("null", "file://")

_DEFAULT_PORTS = {"http": "80", "https": "443"}

# Schemes that no page has, and the ones that were probably meant.
_NEAR = {"ws": "http://...", "wss": "https://...", "file": "file:// alone"}

_ORIGIN = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(\[[^]]*\]|[^]\s:/?#@\\[]+)(?::([0-9]*))?")

# RFC 1034, section 3.1, and the underscore, which browsers take.
_NAME = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*([a-z0-9_-]{1,63})\.?")

# The URL standard, "ends in a number": such a host is an IPv4 address or nothing.
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def normalise(origin: str) -> str:
    """Return `origin` as browsers write it: ``https://xn--mller-kva.example``.

    Raises:
        ValueError: no page comes from it. The text says why, and does not quote it.
    """
    if origin.lower() in _WITHOUT_HOST:
        return origin.lower()
    if "*" in origin:
        raise ValueError("wildcards are not supported: list each origin by itself")
    found = _ORIGIN.fullmatch(origin)
    if not found:
        raise ValueError("it is not an origin; write it like https://app.example.com")
    scheme, host, port = found[1].lower(), found[2], found[3]
    if near := _NEAR.get(scheme):
        raise ValueError(f"no page comes from {scheme}://... but perhaps from {near}")
    if host.startswith("["):
        host = _address(host)
    elif scheme in _DEFAULT_PORTS:
        host = _name(host)
    elif host.isascii():
        # After its own scheme, an application can have any host, such as Electron's `app://.` (the
        # URL standard, "opaque-host parser").
        host = host.lower()
    else:
        raise ValueError("its host must be written in ASCII, as the application sends it")
    return f"{scheme}://{host}{_port(port, scheme) if port else ''}"


def _port(digits: str, scheme: str) -> str:
    port = digits.lstrip("0")
    if not port or len(port) > 5 or int(port) > 65535:
        raise ValueError("its port must be from 1 to 65535")
    return "" if port == _DEFAULT_PORTS.get(scheme) else f":{port}"


def _address(host: str) -> str:
    try:
        # Allow no zone: it means something on this machine only, and no URL has one.
        return f"[{ipaddress.IPv6Address(host[1:-1].replace('%', '/'))}]"
    except ValueError:
        raise ValueError("its host is not an IPv6 address") from None


def _alabel(label: str) -> str:
    try:
        return idna.alabel(label).decode()
    except idna.InvalidCodepoint:
        # Symbols such as emoji are in no name by IDNA 2008, and browsers take them.
        return "xn--" + label.encode("punycode").decode("ascii")


def _name(host: str) -> str:
    try:
        # For labels in ASCII browsers are less strict than IDNA: an underscore is allowed.
        labels = idna.uts46_remap(host, std3_rules=False).split(".")
        host = ".".join(x if x.isascii() else _alabel(x) for x in labels)
    except idna.IDNAError:
        raise ValueError("its host is not an IDNA name; write it in punycode (xn--...)") from None
    found = _NAME.fullmatch(host)
    if not found:
        raise ValueError("its host is neither a name nor an address")
    if _NUMBER.fullmatch(found[1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError("its host is not an IPv4 address in four decimal numbers") from None
    return host
