"""Sockets: how they are opened, accepted, read, written and closed, and whose they are.

A connection is a non-blocking socket of the standard library and no more. What awaits asks
Trio when it can go on; what must not await, a fan-out's send, goes straight to the socket
(`outbox`). A `trio.SocketStream` around each would cost 20 us and 1 KiB a connection.
"""

import contextlib
import errno
import functools
import ipaddress
import logging
import os
import socket
from collections.abc import Callable

import attrs
import trio

from ..config import Config

logger = logging.getLogger("sse_trio")

# What accept(2) reports of a connection that is gone already, or of its network
# (its manual page, "Error handling"): nothing that the listener has to care about.
_STILLBORN = {
    errno.EPERM,
    errno.ECONNABORTED,
    errno.ECONNRESET,
    errno.EPROTO,
    errno.ENETDOWN,
    errno.ENOPROTOOPT,
    errno.EHOSTDOWN,
    getattr(errno, "ENONET", errno.EHOSTDOWN),  # only Linux has this one
    errno.EHOSTUNREACH,
    errno.EOPNOTSUPP,
    errno.ENETUNREACH,
    errno.ETIMEDOUT,
}

# Errors of the listening socket itself. After any other error, such as too many open files, the
# server tries again after a while: the existing connections go on.
_BROKEN = {errno.EBADF, errno.EFAULT, errno.EINVAL, errno.ENOTSOCK}
_RETRY = 0.1

# Accepted in one go: a crowd costs few wake-ups, and those who are connected already wait no
# longer for it than for a slice of a fan-out.
_AT_ONCE = 64

# Addresses that are known already: to read one takes 5 us, and many connections share one.
_ADDRESSES = 4096

# Proxies that a request can come through, and the characters of one's address, with a zone and a
# port. What is beyond has been written by somebody who wants it to be read.
_HOPS = 16
_LONGEST = 96


@attrs.define(eq=False, weakref_slot=False)
class Transport:
    """One accepted TCP connection.

    What awaits raises `trio.BrokenResourceError` once the peer has reset it, and
    `trio.ClosedResourceError` if it is closed meanwhile.
    """

    socket: socket.socket
    host: str
    """The peer's address, as the socket tells it: a proxy's, if there is one."""

    async def receive(self, most: int) -> bytes:
        """Wait for bytes, at most so many; none are the end."""
        # A schedule point too: whoever always has more to say does not keep others waiting.
        await trio.lowlevel.checkpoint()
        while True:
            try:
                data = self.socket.recv(most)
            except BlockingIOError:
                await trio.lowlevel.wait_readable(self.socket)
            except OSError as error:
                raise trio.BrokenResourceError from error
            else:
                return data

    def has_unread(self) -> bool:
        """Whether there is data to be received, or the end of the stream."""
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:  # `receive` will raise it
            pass
        return True

    async def send_all(self, data: bytes) -> None:
        """Send, however long the peer takes; when that is cut short, nothing can be sent after."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                await trio.lowlevel.wait_writable(self.socket)
            except OSError as error:
                raise trio.BrokenResourceError from error

    async def part(self) -> None:
        """Read until the peer closes too, or until that is cancelled, and close.

        To close while something is unread is to reset the connection, and a reset can
        overtake the last that was sent.
        """
        try:
            with contextlib.suppress(trio.BrokenResourceError):
                while await self.receive(_UNHEARD):
                    pass
        finally:
            self.close()

    def send_eof(self) -> None:
        """Close this side."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            raise trio.BrokenResourceError from error

    def close(self) -> None:
        """Close; what the kernel still holds is sent if the peer takes it."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()


# Bytes of one read that nobody is going to look at.
_UNHEARD = 65536


class Listener:
    """Accepts connections."""

    def __init__(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        # Those that are accepted inherit it: every frame is a whole message, and none waits
        # for the acknowledgement of the last.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = listening

    @property
    def port(self) -> int:
        """The TCP port."""
        port: int = self.socket.getsockname()[1]
        return port

    async def listen(
        self,
        accepted: Callable[[Transport], object],
        warn: Callable[..., object] = logger.warning,
    ) -> None:
        """Hand over each connection until cancelled, then close; `accepted` must not raise."""
        failures = 0
        try:
            while True:
                await trio.lowlevel.wait_readable(self.socket)
                try:
                    for _ in range(_AT_ONCE):
                        if transport := self._accept():
                            accepted(transport)
                            if failures:
                                warn("connections are accepted again, at attempt %d", failures + 1)
                                failures = 0
                except BlockingIOError:
                    pass
                except OSError as error:
                    if error.errno in _BROKEN:
                        raise
                    if not failures:
                        why = errno.errorcode.get(error.errno or 0, error.errno)
                        warn("cannot accept another connection (%s), trying again", why)
                    failures += 1
                    await trio.sleep(_RETRY)
        finally:
            self.close()

    def _accept(self) -> Transport | None:
        """Accept the next connection, unless it is gone already. Raises OSError."""
        try:
            accepted, address = self.socket.accept()
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in _STILLBORN:
                raise
            return None
        accepted.setblocking(False)
        return Transport(accepted, _plain(address[0]))

    def close(self) -> None:
        """Stop listening."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()


# Errors for an address, or a family of addresses, that this machine does not have.
_FOREIGN = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


async def open_listeners(config: Config) -> list[Listener]:
    """Listen on every address that `config.ipaddr` stands for, all on one port.

    If a name has several addresses, those that this machine does not have are left out: many
    hosts files have an IPv6 address for `localhost` where there is no IPv6.

    Raises:
        OSError: this machine has none of the addresses, or the port is taken or not allowed.
    """
    listeners: list[Listener] = []
    foreign: list[tuple[object, OSError]] = []
    try:
        found = await trio.socket.getaddrinfo(
            config.ipaddr, config.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A hosts file can name the same address twice.
        for family, (host, _, *scope) in dict.fromkeys((each[0], each[4]) for each in found):
            # With port 0 the first address chooses for all.
            port = listeners[0].port if listeners else config.port
            try:
                listening = socket.create_server(
                    (host, port, *scope),
                    family=family,
                    # Cut by the kernel to what it allows (net.core.somaxconn).
                    backlog=0xFFFF,
                    dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
                )
            except OSError as error:
                if error.errno not in _FOREIGN:
                    raise
                foreign.append((host, error))
            else:
                listeners.append(Listener(listening))
        if not listeners:
            raise foreign[0][1]
    except (OSError, UnicodeError) as error:
        for listener in listeners:
            listener.socket.close()
        where = f"{config.ipaddr} port {config.port}"
        number = error.errno if isinstance(error, OSError) else None
        # What is wrong with a host name has no number of the system's.
        reason = os.strerror(number) if number and number > 0 else "no such host"
        raise OSError(number, f"cannot listen on {where}: {reason}") from None
    for address, _ in foreign:
        logger.warning("%s has an address that is not this machine's: %s", config.ipaddr, address)
    return listeners


def client_address(host: str, forwarded_for: str | None, config: Config) -> str:
    """Return whose connection this is: `host`, or whom trusted proxies say it is for.

    The proxies append to ``X-Forwarded-For``, so it is read from its end, up to the first
    address that is not a trusted proxy's; what stands before that may be forged. At
    most 16 addresses are read.
    Limits count by the result, so an IPv6 address is widened to its network of 64 bits.
    """
    address = host
    hops = forwarded_for.rsplit(",", _HOPS)[-_HOPS:] if forwarded_for else []
    while hops and _trusted(address, config):
        hop = hops.pop().strip()
        if len(hop) > _LONGEST:
            break
        try:
            address = _plain(_without_port(hop))
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
def _plain(host: str) -> str:
    """Drop an IPv6 zone, and write an IPv4 address as one, even on a dual-stack socket."""
    parsed = ipaddress.ip_address(host.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
