"""Sockets that listen already, as systemd opens them: they are used in place of new ones."""

import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

import sse_trio
from sse_trio import Config, ConfigError
from sse_trio.fields import Tcp, Unix

from ..support import KEY, open_files, request


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


async def serve(nursery: trio.Nursery, config: Config, *sockets: socket.socket) -> sse_trio.Hub:
    hub: sse_trio.Hub = await nursery.start(partial(sse_trio.serve, config, sockets=sockets))
    return hub


async def test_both_addresses_were_open(
    nursery: trio.Nursery, listening: socket.socket, tmp_path: Path
) -> None:
    path = tmp_path / "api.sock"
    with socket.socket(socket.AF_UNIX) as internal:
        internal.bind(str(path))
        internal.listen()
        config = Config(port=port(listening), internal=f"unix:{path}", authkey=KEY)
        # Who connects before the server is there waits, and is answered.
        async with trio.open_nursery() as early:
            early.start_soon(expect_alive, At(port(listening)))
            hub = await serve(nursery, config, internal, listening)
        assert (hub.port, hub.internal) == (port(listening), Unix(str(path)))
        hub.drain()
        with trio.fail_after(10):
            while listening.fileno() >= 0 or internal.fileno() >= 0:  # noqa: ASYNC110
                await trio.sleep(0.001)
    # systemd has it open still, and gives it to the next one.
    assert path.exists()


@attrs.define
class At:
    """A server whose hub nobody has yet."""

    port: int


async def expect_alive(at: At) -> None:
    assert (await request(at, "GET", "/healthz")).status == 200


async def test_the_other_address_is_opened_as_usual(
    nursery: trio.Nursery, listening: socket.socket
) -> None:
    where = f"127.0.0.1:{port(listening)}"
    hub = await serve(nursery, Config(port=0, internal=where, authkey=KEY), listening)
    assert hub.internal == Tcp("127.0.0.1", port(listening))
    assert (await request(hub, "GET", "/healthz")).status == 200


async def test_a_socket_at_another_address_is_an_error(listening: socket.socket) -> None:
    before = open_files()
    shown = rf"^a socket was passed for 127\.0\.0\.1:{port(listening)}, and neither ipaddr and "
    with pytest.raises(ConfigError, match=shown):
        await sse_trio.serve(Config(port=0, authkey=KEY), sockets=[listening])
    assert open_files() <= before


async def test_a_unix_socket_at_another_address_is_an_error(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(f"{tmp_path}/s")
        other.listen()
        with pytest.raises(ConfigError, match=f"passed for unix:{tmp_path}/s, and neither"):
            await sse_trio.serve(Config(port=0, authkey=KEY), sockets=[other])


async def test_a_socket_that_does_not_listen_is_an_error(listening: socket.socket) -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    with socket.create_connection(listening.getsockname()) as connected, datagrams:
        for wrong in (connected, datagrams):
            with pytest.raises(ConfigError, match=r"does not listen$"):
                await sse_trio.serve(Config(port=0, authkey=KEY), sockets=[wrong])
