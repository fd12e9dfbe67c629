"""What systemd is told (sd_notify(3)), and the sockets it passes (sd_listen_fds(3))."""

import contextlib
import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sse_trio.cli import systemd
from sse_trio.errors import ConfigError

ONLY_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="names without a file")


@pytest.fixture(params=["file", pytest.param("abstract", marks=ONLY_LINUX)])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET would say, and the socket that is there."""
    name = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.setblocking(False)
        if request.param == "abstract":
            listening.bind(f"\0{name}")
            yield f"@{name}", listening
        else:
            listening.bind(name)
            yield name, listening


def test_systemd_is_told(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    for state in (systemd.READY, systemd.STOPPING):
        systemd.tell(state, {"NOTIFY_SOCKET": name})
        assert listening.recv(100).decode() == state


def test_a_reload_comes_with_its_time(manager: tuple[str, socket.socket]) -> None:
    name, listening = manager
    systemd.tell(systemd.reloading(lambda: 12_345_678), {"NOTIFY_SOCKET": name})
    assert listening.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=12345"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}])
def test_without_systemd_nobody_is_told(
    environ: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    systemd.tell(systemd.READY, environ)
    assert not caplog.records


def test_a_manager_that_has_gone_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    systemd.tell(systemd.READY, {"NOTIFY_SOCKET": f"{tmp_path}/nobody"})
    assert caplog.messages == ["cannot notify systemd of READY=1: No such file or directory"]


def test_a_manager_that_does_not_read_is_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while other.sendto(b"x", name):
                    pass
        systemd.tell(systemd.READY, {"NOTIFY_SOCKET": name}, patience=0.01)
    assert caplog.messages == ["cannot notify systemd of READY=1: timed out"]


# -- sockets ----------------------------------------------------------------------------


@pytest.fixture
def descriptors() -> Iterator[tuple[int, list[socket.socket]]]:
    """Two listening sockets, whose descriptors follow each other, and the first of these."""
    first = 900
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    for number, each in enumerate(opened):
        os.dup2(each.fileno(), first + number)
    yield first, opened
    for each in opened:
        each.close()


def passed(count: object, process: int | None = None) -> dict[str, str]:
    return {
        "LISTEN_PID": str(os.getpid() if process is None else process),
        "LISTEN_FDS": str(count),
    }


def test_sockets_that_are_passed(descriptors: tuple[int, list[socket.socket]]) -> None:
    first, opened = descriptors
    found = systemd.sockets(passed(2), first=first)
    assert [each.getsockname() for each in found] == [each.getsockname() for each in opened]
    assert not any(each.get_inheritable() for each in found)
    for each in found:
        each.close()


@pytest.mark.parametrize("environ", [{}, passed(2, process=1), passed(0)])
def test_sockets_of_another_process_are_left_alone(environ: dict[str, str]) -> None:
    assert systemd.sockets(environ) == []


@pytest.mark.parametrize("count", ["", "x", "-1"])
def test_a_count_that_is_none(count: str) -> None:
    with pytest.raises(ConfigError, match="LISTEN_FDS"):
        systemd.sockets(passed(count))


def test_what_is_no_socket(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="not a socket"):
        systemd.sockets(passed(1), first=file.fileno())


def test_the_functions_look_at_the_environment_of_the_process(
    monkeypatch: pytest.MonkeyPatch, manager: tuple[str, socket.socket]
) -> None:
    name, listening = manager
    monkeypatch.setenv("NOTIFY_SOCKET", name)
    ask: Callable[[], list[socket.socket]] = systemd.sockets
    systemd.tell("STATUS=x")
    assert listening.recv(100) == b"STATUS=x"
    assert ask() == []
