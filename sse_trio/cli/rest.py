"""How the commands call a server's REST API: over TCP, TLS or a Unix socket, without a proxy."""

import argparse
import contextlib
import http
import http.client
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import attrs

from .. import strict_json
from ..apps import address
from ..config import ENVIRONMENT_KEY, Config
from ..errors import ConfigError, SseTrioError
from ..fields import Tcp, Unix

# Seconds to wait for bytes from the server, unless a command says otherwise.
PATIENCE = 10

JSON = {"Content-Type": "application/json"}


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the server."""
    add("--config", metavar="FILE", help=f"where the key is; or set {address.KEY}")
    add(
        "--url",
        help=f"the server, http://host:port or unix:/path; else {address.URL}, "
        "or the configured address",
    )


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, *, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@attrs.frozen
class Server:
    """A server that commands ask."""

    url: str
    """Its address, without a key, as it is shown."""
    timeout: float
    """Seconds to wait for its bytes."""
    _open: Callable[[], http.client.HTTPConnection] = attrs.field(repr=False)
    _path: str = ""

    def ask(
        self, doing: str, method: str, path: str, body: dict[str, Any] | None = None
    ) -> tuple[int, bytes]:
        """Return the status and the body of the answer. No redirect is followed.

        Raises:
            SseTrioError: there was no answer; the message names the action, `doing`.
        """
        sent = None if body is None else json.dumps(body).encode()
        try:
            with contextlib.closing(self._open()) as connection:
                connection.request(method, f"{self._path}{path}", sent, JSON if sent else {})
                response = connection.getresponse()
                return response.status, response.read()
        except (OSError, UnicodeError, http.client.HTTPException) as error:
            raise SseTrioError(f"cannot {doing} {self.url}: {error}") from error


def server_of(options: argparse.Namespace, config: Config, *, timeout: float) -> Server:
    """Return the server of ``--url``, or of ``SSE_TRIO_URL``, or the configured one.

    Of several nodes it is the first one. An internal address goes before the public one.

    Raises:
        ConfigError: the URL is wrong, or there is none.
    """
    if options.url is not None:
        return server_at(options.url, timeout=timeout)
    if os.environ.get(address.URL):
        return server_at(address.addresses(None)[0].url, timeout=timeout)
    endpoint = config.internal or Tcp(config.ipaddr, config.port)
    if isinstance(endpoint, Unix):
        return server_at(str(endpoint), timeout=timeout)
    if not endpoint.port:
        raise ConfigError("--url is required: the configured port is 0, so the system chooses it")
    return server_at(f"http://{endpoint}", timeout=timeout)


def server_at(url: str, *, timeout: float) -> Server:
    """Return the server of a URL.

    Raises:
        ConfigError: the URL is wrong.
    """
    at = address.parse(url)
    if at.unix:
        return Server(url, timeout, lambda: _UnixConnection(at.unix, timeout=timeout))
    connect = http.client.HTTPSConnection if at.is_tls else http.client.HTTPConnection
    return Server(url, timeout, lambda: connect(at.host, at.port, timeout=timeout), at.path)


class Refused(SseTrioError):
    """The server has answered with another `status` than 200."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class Client:
    """A server, and the key for it."""

    server: Server
    _key: str = attrs.field(repr=False)

    def post(self, doing: str, path: str, members: dict[str, Any]) -> dict[str, Any]:
        """Send a request with the key, and return the members of the answer.

        Raises:
            Refused: the status is not 200; it says what could not be done, `doing`.
            SseTrioError: there was no answer, or none that can be read; likewise.
        """
        server = self.server
        status, answer = server.ask(doing, "POST", path, {"key": self._key, **members})
        if status != http.HTTPStatus.OK:
            said = _detail(answer)
            raise Refused(f"cannot {doing} {server.url}: {status} {said}", status)
        try:
            found = strict_json.loads_untrusted(answer, max_values=None)
        except ValueError as error:
            raise SseTrioError(f"cannot {doing} {server.url}: {error}") from None
        if not isinstance(found, dict):
            raise SseTrioError(f"cannot {doing} {server.url}: the answer is not a JSON object")
        return found


def client_of(options: argparse.Namespace, *, timeout: float = PATIENCE) -> Client:
    """Return what speaks to the server with the configured key.

    Raises:
        ConfigError: there is no key, or nothing says where the server is.
    """
    config = configured(options)
    key = _key(config)
    return Client(server_of(options, config, timeout=timeout), key)


def post(
    options: argparse.Namespace,
    doing: str,
    path: str,
    members: dict[str, Any],
    *,
    timeout: float = PATIENCE,
) -> dict[str, Any]:
    """Send one request with the configured key, as `client_of` and `Client.post` do."""
    return client_of(options, timeout=timeout).post(doing, path, members)


@contextlib.contextmanager
def reading_untrusted() -> Iterator[None]:
    """Raise an error about an answer's members as a `SseTrioError`.

    Raises:
        SseTrioError: a member is missing, or of the wrong type.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        raise SseTrioError("the server's answer is not of the expected form") from None


def configured(options: argparse.Namespace) -> Config:
    """Read the configuration, as `serve` does."""
    return Config.load(options.config, os.environ)


def _key(config: Config) -> str:
    if os.environ.get(address.KEY):
        return address.key(None)
    if not config.authkey:
        raise ConfigError(f"the key is required: --config, {address.KEY} or {ENVIRONMENT_KEY}")
    return config.authkey[0]


def _detail(answer: bytes) -> str:
    """Return the `detail` of a problem (RFC 9457)."""
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return "the answer has no readable reason"
