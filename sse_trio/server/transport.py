"""Sockets: how they are opened and accepted, and whose they are.

A connection is accepted as a standard-library socket and wrapped for Trio; both are
kept. What awaits goes through Trio's stream. What must not await, a fan-out's send,
goes straight to the non-blocking socket (`outbox`).
"""

import errno
import ipaddress
import os
import socket

import attrs
import trio

from ..config import Config

# What accept(2) reports of a connection that is gone already, or of its network
# (its manual page, "Error handling"): nothing that the listener has to care about.
_STILLBORN = {
    errno.EPERM,
    errno.ECONNABORTED,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
}


@attrs.define(eq=False)
class Transport(trio.abc.AsyncResource):
    """One accepted TCP connection."""

    socket: socket.socket
    stream: trio.SocketStream
    host: str
    """The peer's address, as the socket tells it: a proxy's, if there is one."""

    async def read_to_the_end(self, seconds: float) -> None:
        """Read until the peer closes too, or for so many seconds.

        To close while something is unread is to reset the connection, and a reset can
        overtake the last that was sent.
        """
        with trio.move_on_after(seconds):
            while await self.stream.receive_some():
                pass

    async def aclose(self) -> None:
        """Close the connection; what the kernel still holds is sent if the peer takes it."""
        await self.stream.aclose()


class Listener(trio.abc.Listener[Transport]):
    """Accepts `Transport`s."""

    def __init__(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        self.socket = listening

    @property
    def port(self) -> int:
        """The TCP port."""
        port: int = self.socket.getsockname()[1]
        return port

    async def accept(self) -> Transport:
        """Wait for the next connection.

        Raises:
            OSError: EMFILE and its like, which `trio.serve_listeners` waits out.
            trio.ClosedResourceError: the listener was closed.
        """
        await trio.lowlevel.checkpoint()
        while True:
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)
            except OSError as error:
                if error.errno not in _STILLBORN:
                    raise
                await trio.lowlevel.checkpoint()
            else:
                accepted.setblocking(False)
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
                return Transport(accepted, stream, _plain(address[0]))

    async def aclose(self) -> None:
        """Stop listening."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()
        await trio.lowlevel.checkpoint()


async def open_listeners(config: Config) -> list[Listener]:
    """Listen on every address that `config.ipaddr` stands for, all on one port.

    Raises:
        OSError: the address is not this machine's, the port is taken, or not allowed.
    """
    listeners: list[Listener] = []
    try:
        found = await trio.socket.getaddrinfo(
            config.ipaddr, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A hosts file can name the same address twice.
        for family, (host, _, *scope) in dict.fromkeys((each[0], each[4]) for each in found):
            # With port 0 the first address chooses for all.
            port = listeners[0].port if listeners else config.port
            listening = socket.create_server(
                (host, port, *scope),
                family=family,
                # Cut by the kernel to what it allows (net.core.somaxconn).
                backlog=0xFFFF,
                dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
            )
            listeners.append(Listener(listening))
    except (OSError, UnicodeError) as error:
        for listener in listeners:
            listener.socket.close()
        where = f"{config.ipaddr} port {config.port}"
        number = error.errno if isinstance(error, OSError) else None
        # What is wrong with a host name has no number of the system's.
        reason = os.strerror(number) if number and number > 0 else "no such host"
        raise OSError(number, f"cannot listen on {where}: {reason}") from None
    return listeners


def client_address(host: str, forwarded_for: str | None, config: Config) -> str:
    """Return whose connection this is: `host`, or whom trusted proxies say it is for.

    The proxies append to ``X-Forwarded-For``, so it is read from its end, up to the first
    address that is not a trusted proxy's; what stands before that anyone may have written.
    Limits count by the result, so an IPv6 address is widened to its network of 64 bits.
    """
    address = host
    hops = forwarded_for.split(",") if forwarded_for else []
    while hops and _trusted(address, config):
        try:
            address = _plain(_without_port(hops.pop().strip()))
        except ValueError:
            break
    return _subscriber(address)


def _trusted(address: str, config: Config) -> bool:
    if not config.trusted_proxies:
        return False
    parsed = ipaddress.ip_address(address)
    return any(parsed in network for network in config.trusted_proxies)


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


def _plain(host: str) -> str:
    """Drop an IPv6 zone, and write an IPv4 address as one, even on a dual-stack socket."""
    parsed = ipaddress.ip_address(host.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
