"""Names are looked up in threads, so that nobody waits for a lookup that hangs."""

import concurrent.futures
import socket
import threading

import pytest

from sse_trio.apps.names import Found, Resolver

from .support import LOOSELY


def test_a_lookup_that_hangs() -> None:
    begun: list[str] = []
    go_on = threading.Event()
    where: Found = [(socket.AF_INET, ("127.0.0.1", 1))]

    def look_up(host: str, port: int) -> Found:
        begun.append(host)
        go_on.wait(LOOSELY)
        return where

    names = Resolver(look_up)
    for _ in range(3):
        with pytest.raises(concurrent.futures.TimeoutError):
            names.find("hub", 1).result(0.01)
    assert begun == ["hub"]  # one thread for all who wait
    waiting = names.find("hub", 1)
    go_on.set()
    assert waiting.result(LOOSELY) == where
    assert names.find("hub", 1).result(LOOSELY) == where
    assert begun == ["hub", "hub"]  # nothing is remembered


def test_a_name_without_an_address() -> None:
    def look_up(host: str, port: int) -> Found:
        raise socket.gaierror("no")

    with pytest.raises(OSError, match="no address"):
        Resolver(look_up).find("hub", 1).result(LOOSELY)
    with pytest.raises(OSError, match="no address"):
        Resolver().find("x" * 64, 1).result(LOOSELY)


def test_an_address_needs_no_thread() -> None:
    names = Resolver()
    before = threading.active_count()
    assert names.find("127.0.0.1", 1).result(0) == [(socket.AF_INET, ("127.0.0.1", 1))]
    assert names.find("::1", 1).result(0) == [(socket.AF_INET6, ("::1", 1))]
    assert threading.active_count() <= before


def test_the_system_knows_localhost() -> None:
    assert any(where[0] == "127.0.0.1" for _, where in Resolver().find("localhost", 1).result())
