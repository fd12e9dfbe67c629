"""Listening sockets: how they are opened, and what is accepted on them."""

import contextlib
import errno
import logging
import os
import socket
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import trio

from ..errors import ConfigError
from ..fields import Endpoint, Tcp, Unix
from .addresses import LOCAL, plain
from .transport import Transport

logger = logging.getLogger("sse_trio")

# Errors of accept(2) for one connection that is gone already, or for its network (its manual page,
# "Error handling"): the listener goes on.
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

# The most connections that one step accepts: many new connections cost few wake-ups, and the
# existing connections wait for them only as long as for a slice of a fan-out.
_AT_ONCE = 64


class Listener:
    """Accepts connections."""

    def __init__(self, listening: socket.socket) -> None:
        listening.setblocking(False)
        if listening.family != socket.AF_UNIX:
            # Accepted sockets inherit this: every frame is a whole message, and none waits for the
            # acknowledgement of the last one.
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = listening

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        name = self.socket.getsockname()
        return Unix(name) if self.socket.family == socket.AF_UNIX else Tcp(name[0], name[1])

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
        """Pass on each connection until cancelled, then close; `accepted` must not raise."""
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
        return Transport(accepted, plain(address[0]) if address else LOCAL)

    def close(self) -> None:
        """Stop listening."""
        if self.socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self.socket)
            self.socket.close()


class UnixListener(Listener):
    """Accepts connections on a Unix socket, which its owner and its group may use.

    Raises:
        OSError: another process listens on it, or the path is something else, or not allowed.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            _remove_abandoned(path)
            listening.bind(path)
            # Before any client can connect, which needs permission to write.
            Path(path).chmod(0o660)
            self._made = Path(path).stat()
            listening.listen(0xFFFF)
        except OSError as error:
            listening.close()
            reason = os.strerror(error.errno) if error.errno else error
            raise OSError(error.errno, f"cannot listen on unix:{path}: {reason}") from None
        super().__init__(listening)

    def close(self) -> None:
        """Stop listening, and remove the socket, if it is still this one."""
        if self.socket.fileno() >= 0:
            super().close()
            with contextlib.suppress(OSError):
                if os.path.samestat(Path(self._path).stat(), self._made):
                    Path(self._path).unlink()


def _remove_abandoned(path: str) -> None:
    """Remove a Unix socket on which no process listens. Raises OSError for any other file."""
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise FileExistsError(errno.EEXIST, "")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            # If the backlog is full, a process listens too.
            probe.setblocking(False)
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                Path(path).unlink()
            except BlockingIOError:
                pass


# Errors for an address, or a family of addresses, that this machine does not have.
_FOREIGN = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


async def open_listeners(
    endpoint: Endpoint, passed: list[socket.socket] | None = None
) -> list[Listener]:
    """Listen on a Unix socket, or on every address that a host stands for, all on one port.

    If a name has several addresses, those that this machine does not have are left out: many
    hosts files have an IPv6 address for `localhost` where there is no IPv6.

    A socket of `passed` that listens at such an address already is used, and taken from the list.

    Raises:
        OSError: this machine has none of the addresses; or the port, or the path, is taken or not
            allowed.
    """
    passed = [] if passed is None else passed
    if isinstance(endpoint, Unix):
        # The file of a socket that was passed is not ours to remove.
        found_open = _take(passed, endpoint.path)
        return [Listener(found_open) if found_open else UnixListener(endpoint.path)]
    listeners: list[Listener] = []
    foreign: list[tuple[object, OSError]] = []
    try:
        found = await trio.socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        # A hosts file can name the same address twice.
        for family, (host, _, *scope) in dict.fromkeys((each[0], each[4]) for each in found):
            # With port 0 the first address chooses for all.
            port = listeners[0].port if listeners else endpoint.port
            at = (host, port, *scope)
            try:
                listening = _take(passed, at) or _listen(family, at)
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
        where = f"{endpoint.host} port {endpoint.port}"
        number = error.errno if isinstance(error, OSError) else None
        # Errors of a host name have no error number.
        reason = os.strerror(number) if number and number > 0 else "no such host"
        raise OSError(number, f"cannot listen on {where}: {reason}") from None
    for address, _ in foreign:
        logger.warning("%s has an address that is not this machine's: %s", endpoint.host, address)
    return listeners


def _listen(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    """Listen at one address. Raises OSError."""
    return socket.create_server(
        address,
        family=family,
        # Cut by the kernel to what it allows (net.core.somaxconn).
        backlog=0xFFFF,
        dualstack_ipv6=address[0] == "::" and socket.has_dualstack_ipv6(),
    )


def _take(passed: list[socket.socket], address: object) -> socket.socket | None:
    """Remove the socket that is bound to an address from the list, and return it."""
    for each in passed:
        if each.getsockname() == address:
            passed.remove(each)
            return each
    return None


def check_passed(passed: Iterable[socket.socket]) -> None:
    """Check that these sockets take connections.

    Raises:
        ConfigError: one of them does not: it is connected itself, or takes datagrams.
    """
    for each in passed:
        if not each.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise ConfigError(f"the socket that was passed for {_shown(each)} does not listen")


def check_taken(passed: Iterable[socket.socket]) -> None:
    """Check that no socket is left over.

    Raises:
        ConfigError: one is: it is at another address than those that are configured.
    """
    for each in passed:
        raise ConfigError(
            f"a socket was passed for {_shown(each)}, and neither ipaddr and port nor internal "
            "is this address"
        )


def _shown(sock: socket.socket) -> str:
    name = sock.getsockname()
    return f"unix:{name}" if sock.family == socket.AF_UNIX else str(Tcp(name[0], name[1]))
