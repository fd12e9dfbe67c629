"""The namespaces that one client has connected to: what it says, in each, and in which order.

Socket.IO 4, of clients 2.x, connects every client to the main namespace by itself. In version 5
the client asks for it.
"""

from collections.abc import Container
from typing import Any

import attrs

from ...values import frozen
from .socket_packets import Decoder, Kind, SocketPacket, encode

MAIN = "/"


@frozen
class Connect:
    """The client asks for a namespace that there is; it has it from now on."""

    namespace: str
    auth: dict[str, Any] = attrs.field(repr=False)


@frozen
class Unknown:
    """The client asks for a namespace that there is not."""

    namespace: str


@frozen
class Happened:
    """An event: its name and arguments, and what an acknowledgement has to be numbered with."""

    namespace: str
    name: str | float
    arguments: list[Any] = attrs.field(repr=False)
    id: int | None


@frozen
class Leave:
    """The client leaves a namespace."""

    namespace: str


Said = Connect | Unknown | Happened | Leave


class Namespaces:
    """The namespaces of one client. `known` are those that there are."""

    def __init__(self, known: Container[str], *, version: int) -> None:
        self._known = known
        self._decoder = Decoder()
        self._connected = {MAIN} if version < 5 else set[str]()

    def is_connected(self, namespace: str = MAIN) -> bool:
        """Whether the client has connected to a namespace, and not left it."""
        return namespace in self._connected

    def receive_untrusted(self, message: str | bytes) -> Said | None:
        """Take a message of Engine.IO; return what it says, if that is anything.

        Raises:
            ValueError: no client says this here; the connection has to be closed. The text can
                be shown.
        """
        packet = self._decoder.receive_untrusted(message)
        if packet is None:
            return None
        namespace, is_connected = packet.namespace, packet.namespace in self._connected
        if packet.kind is Kind.CONNECT:
            if is_connected:
                raise ValueError("connected to this namespace already")
            if namespace not in self._known:
                return Unknown(namespace)
            self._connected.add(namespace)
            return Connect(namespace, packet.data or {})
        if not is_connected:
            raise ValueError("not connected to this namespace")
        match packet.kind:
            case Kind.DISCONNECT:
                self._connected.remove(namespace)
                return Leave(namespace)
            case Kind.EVENT | Kind.BINARY_EVENT:
                name, *arguments = packet.data
                return Happened(namespace, name, arguments, packet.id)
        return None  # nothing here asks for an acknowledgement


def accepted(namespace: str, sid: str, pid: str | None = None, *, version: int) -> str:
    """Write the answer to a `Connect`. Version 4 has no ids here."""
    ids = {"sid": sid} | ({"pid": pid} if pid is not None else {})
    return encode(SocketPacket(Kind.CONNECT, namespace, ids if version > 4 else None))


def refused(namespace: str, message: str, code: int | None = None, *, version: int) -> str:
    """Write why a client may not be in a namespace; `code` is for its scripts."""
    data: str | dict[str, Any] = message
    if version > 4:
        data = {"message": message} | ({"data": {"code": code}} if code is not None else {})
    return encode(SocketPacket(Kind.CONNECT_ERROR, namespace, data))


def left(namespace: str = MAIN) -> str:
    """Write that the server ends a client's part in a namespace. It does not come back for it."""
    return encode(SocketPacket(Kind.DISCONNECT, namespace))
