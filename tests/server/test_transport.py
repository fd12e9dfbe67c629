"""Listening, accepting, and whose address it is."""

import contextlib
import errno
import ipaddress
import itertools
import math
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from sse_trio import Config
from sse_trio.fields import Tcp
from sse_trio.server.addresses import client_address
from sse_trio.server.listeners import Listener, open_listeners
from sse_trio.server.transport import Transport

from ..support import open_files

PROXIES = ["10.0.0.0/8", "2001:db8::/32"]


class Hosts(trio.abc.HostnameResolver):
    """Resolves every name to the addresses given, as a hosts file does."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def getaddrinfo(
        self,
        host: bytes | None,
        port: bytes | str | int | None,
        family: int = 0,
        type: int = 0,
        proto: int = 0,
        flags: int = 0,
    ) -> Any:
        if not self._addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = []
        for address in self._addresses:
            found += socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
        return found

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:
        raise NotImplementedError


async def listen(config: Config, *addresses: str) -> list[Listener]:
    """Open listeners where every name stands for `addresses`."""
    trio.socket.set_custom_hostname_resolver(Hosts(*addresses))
    return await open_listeners(Tcp(config.ipaddr, config.port))


def addresses(listeners: list[Listener]) -> list[str]:
    """Close the listeners; return where they listened."""
    found = [str(listener.socket.getsockname()[0]) for listener in listeners]
    for listener in listeners:
        listener.socket.close()
    return found


async def test_who_always_has_more_to_say_keeps_nobody_waiting() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    transport = Transport(ours, "here")
    turns: list[str] = []

    async def talk() -> None:
        for _ in range(50):
            await transport.send_all(await transport.receive(1))
            turns.append("talk")

    async def somebody_else() -> None:
        while turns.count("talk") < 50:
            turns.append("else")
            await trio.lowlevel.checkpoint()

    with ours, theirs:
        theirs.send(bytes(50))
        async with trio.open_nursery() as both:
            both.start_soon(talk)
            both.start_soon(somebody_else)
    assert "talk talk talk" not in " ".join(turns)


async def test_every_address_of_a_name_on_one_port() -> None:
    listeners = await listen(Config(port=0, ipaddr="app"), "127.0.0.1", "127.0.0.2")
    assert len({listener.port for listener in listeners}) == 1
    assert addresses(listeners) == ["127.0.0.1", "127.0.0.2"]


async def test_the_same_address_twice_is_one() -> None:
    listeners = await listen(Config(port=0, ipaddr="app"), "127.0.0.1", "127.0.0.1")
    assert addresses(listeners) == ["127.0.0.1"]


async def test_a_name_that_is_none_is_one_clear_error() -> None:
    with pytest.raises(OSError, match=r"^\[Errno -2\] cannot listen on app port 80: no such host$"):
        await listen(Config(port=80, ipaddr="app"))


@pytest.mark.parametrize("name", ["a..b", "x" * 70])
async def test_so_is_a_name_that_can_be_none(name: str) -> None:
    with pytest.raises(OSError, match=r"no such host$"):
        await open_listeners(Tcp(name, 0))


async def test_a_port_in_use_is_an_error_that_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        before = open_files()
        with pytest.raises(OSError, match=f"on app port {port}: Address already in use$") as raised:
            await listen(Config(port=port, ipaddr="app"), "127.0.0.1", "127.0.0.2")
        assert raised.value.errno == errno.EADDRINUSE
        assert open_files() <= before


# RFC 1112, section 4: nobody's.
FOREIGN = "240.0.0.1"


@pytest.mark.parametrize("hosts", [(FOREIGN, "127.0.0.1"), ("127.0.0.1", FOREIGN)])
async def test_an_address_that_is_not_this_machines_is_left_out(
    caplog: pytest.LogCaptureFixture, hosts: tuple[str, ...]
) -> None:
    assert addresses(await listen(Config(port=0, ipaddr="app"), *hosts)) == ["127.0.0.1"]
    assert caplog.messages == [f"app has an address that is not this machine's: {FOREIGN}"]


@pytest.mark.parametrize("hosts", [(FOREIGN,), (FOREIGN, "240.0.0.2")])
async def test_where_none_is_this_machines_it_cannot_listen(
    caplog: pytest.LogCaptureFixture, hosts: tuple[str, ...]
) -> None:
    with pytest.raises(OSError, match=r"^\[.*cannot listen on app port 0: Cannot assign") as raised:
        await listen(Config(port=0, ipaddr="app"), *hosts)
    assert raised.value.errno == errno.EADDRNOTAVAIL
    assert caplog.messages == []


class Unlucky(socket.socket):
    """A listening socket whose accept fails first, with each of `errors` in turn."""

    errors: Iterator[int]

    def accept(self) -> tuple[socket.socket, Any]:
        for number in self.errors:
            raise OSError(number, os.strerror(number))
        return super().accept()


@pytest.fixture
def unlucky() -> Iterator[Unlucky]:
    with Unlucky(socket.AF_INET) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening


def accept(nursery: trio.Nursery, listener: Listener) -> trio.MemoryReceiveChannel[Transport]:
    """Listen; what is accepted comes out of the channel."""
    send, receive = trio.open_memory_channel[Transport](math.inf)
    nursery.start_soon(listener.listen, send.send_nowait)
    return receive


async def test_the_stillborn_are_passed_over(nursery: trio.Nursery, unlucky: Unlucky) -> None:
    unlucky.errors = iter([errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN, errno.ENONET])
    listener = Listener(unlucky)
    accepted = accept(nursery, listener)
    async with await trio.open_tcp_stream("127.0.0.1", listener.port) as client:
        transport = await accepted.receive()
        assert transport.host == "127.0.0.1"
        assert not transport.socket.getblocking()
        assert transport.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.close()
        assert transport.socket.fileno() == -1
        assert await client.receive_some() == b""


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ESOCKTNOSUPPORT]
)
async def test_where_there_is_no_room_it_waits(
    nursery: trio.Nursery,
    unlucky: Unlucky,
    number: int,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    unlucky.errors = iter([number, number])
    listener = Listener(unlucky)
    with socket.create_connection(("127.0.0.1", listener.port)):
        start = trio.current_time()
        transport = await accept(nursery, listener).receive()
        transport.close()
    assert trio.current_time() - start == pytest.approx(0.2)
    why = errno.errorcode[number]
    assert caplog.messages == [
        f"cannot accept another connection ({why}), trying again",
        "connections are accepted again, at attempt 3",
    ]


async def test_what_it_cannot_wait_out_is_raised(unlucky: Unlucky) -> None:
    unlucky.errors = iter([errno.EINVAL])
    listener = Listener(unlucky)
    with socket.create_connection(("127.0.0.1", listener.port)), pytest.raises(OSError) as raised:
        await listener.listen(lambda _: None)
    assert raised.value.errno == errno.EINVAL
    assert unlucky.fileno() == -1


class Steps(trio.abc.Instrument):
    """Begins a new list whenever a task runs."""

    def __init__(self, lists: list[list[Transport]]) -> None:
        self._lists = lists

    def before_task_step(self, _: trio.lowlevel.Task) -> None:
        self._lists.append([])


async def test_many_are_accepted_at_one_wake_up(nursery: trio.Nursery) -> None:
    (listener,) = await open_listeners(Tcp("127.0.0.1", 0))
    accepted: list[list[Transport]] = [[]]
    with contextlib.ExitStack() as stack:
        for _ in range(70):
            stack.enter_context(socket.create_connection(("127.0.0.1", listener.port)))
        trio.lowlevel.add_instrument(Steps(accepted))
        nursery.start_soon(listener.listen, lambda transport: accepted[-1].append(transport))
        await wait_all_tasks_blocked()
        for transport in itertools.chain(*accepted):
            stack.callback(transport.close)
    assert [len(each) for each in accepted if each] == [64, 6]


async def test_who_stops_listening_has_stopped(nursery: trio.Nursery) -> None:
    (listener,) = await open_listeners(Tcp("127.0.0.1", 0))
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as listening:
            listening.start_soon(listener.listen, lambda _: None)
            await wait_all_tasks_blocked()
            scope.cancel()
    assert listener.socket.fileno() == -1
    listener.close()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_an_ipv4_peer_of_a_dual_stack_socket_is_known_by_its_ipv4_address(
    nursery: trio.Nursery,
) -> None:
    (listener,) = await open_listeners(Tcp("::", 0))
    with socket.create_connection(("127.0.0.1", listener.port)):
        transport = await accept(nursery, listener).receive()
        transport.close()
    assert transport.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "forwarded", "address"),
    [
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "198.51.100.7", "192.0.2.1"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7, 10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "10.0.0.3 ,\t10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.7, garbage, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7:1234", "198.51.100.7"),
        ("10.0.0.1", "[2001:4860::1]:1234", "2001:4860::/64"),
        ("2001:4860::2", None, "2001:4860::/64"),
        ("::1", None, "::1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7,", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7, ::ffff:10.0.0.2", "198.51.100.7"),
        ("10.0.0.1", "::ffff:198.51.100.7", "198.51.100.7"),
        ("10.0.0.1", "2001:DB8:1::1", "2001:db8:1::/64"),
        ("2001:db8::1", "2001:4860::1, 10.0.0.2", "2001:4860::/64"),
        ("10.0.0.1", "caf\xe9", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.7" + ",10.0.0.2" * 15, "198.51.100.7"),
        ("10.0.0.1", "198.51.100.7" + ",10.0.0.2" * 16, "10.0.0.2"),
        ("10.0.0.1", "198.51.100.7" + ",10.0.0.2" * 10_000, "10.0.0.2"),
        ("10.0.0.1", "2001:4860::1%" + "z" * 16_000, "10.0.0.1"),
        ("10.0.0.1", "2001:4860::1%eth0", "2001:4860::/64"),
    ],
)
def test_whom_trusted_proxies_speak_for(host: str, forwarded: str | None, address: str) -> None:
    config = Config(trusted_proxies=[ipaddress.ip_network(proxy) for proxy in PROXIES])
    assert client_address(host, forwarded, config) == address


def test_nobody_speaks_for_another_without_trusted_proxies() -> None:
    assert client_address("10.0.0.1", "198.51.100.7", Config()) == "10.0.0.1"
