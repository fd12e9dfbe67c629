"""`sse-trio watch`."""

import contextlib
import json
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.cli import main

from ..support import KEY
from .live import DEADLINE, ORDERS, Live, Told, live


def test_watch_joins_with_a_ticket_from_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", KEY)
    with live(join="ticket") as server:
        assert main(["notify", "--room", "u1", "--sender", "s1", "--url", server.http]) == 0
        ticket = json.loads(capsys.readouterr().out)["ticket"]
        assert main(["notify", "--room", "u1", "--sender", "s2", "--url", server.http]) == 0
        capsys.readouterr()
        monkeypatch.setenv("SSE_TRIO_TICKET", ticket)
        assert main(["watch", "--url", server.ws]) == 0
        assert json.loads(capsys.readouterr().out)["type"] == "terminate"


def test_watch_needs_a_room_or_a_ticket(told: Told) -> None:
    assert main(["watch", "--url", "ws://127.0.0.1:1/ws"]) == 2
    assert "SSE_TRIO_TICKET" in told()


async def when_joined(hub: sse_trio.Hub, then: Callable[[], Any]) -> None:
    """Call `then` once somebody has joined."""
    with trio.fail_after(DEADLINE):
        while not hub.statistics().members:  # noqa: ASYNC110 - the hub tells nobody
            await trio.sleep(0.001)
    then()


def test_watch_until_terminated(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    def login() -> None:
        server.nursery.start_soon(partial(server.hub.notify, "u1", sender="s2"))

    server.soon(when_joined, server.hub, login)
    assert main(["watch", "--url", server.ws, "--room", "u1", "--session", "s1"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["joined", "terminate"]
    assert err == ""


def test_what_a_page_would_be_told_is_escaped(
    server: Live, capsys: pytest.CaptureFixture[str]
) -> None:
    detail = {"device": ORDERS, ORDERS: "ä"}

    def login() -> None:
        server.nursery.start_soon(partial(server.hub.notify, "u1", sender="s2", detail=detail))

    server.soon(when_joined, server.hub, login)
    assert main(["watch", "--url", server.ws, "--room", "u1"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.isprintable()
    assert json.loads(line)["detail"] == detail
    assert '"ä"' in line


def test_watch_until_interrupted(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    server.soon(when_joined, server.hub, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert main(["watch", "--url", server.ws, "--room", "u1"]) == 1
    assert capsys.readouterr().err == ""


def test_watch_until_the_server_goes(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    server.soon(when_joined, server.hub, server.hub.drain)
    assert main(["watch", "--url", server.ws, "--room", "u1"]) == 1
    assert capsys.readouterr().err == "sse-trio: closed with 1001: the server is shutting down\n"


def test_watch_of_a_room_that_cannot_be(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", "--url", server.ws, "--room", ""]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == 4400
    assert err == "sse-trio: closed with 4400: room must have 1 to 256 characters\n"


def test_watch_at_a_wrong_url(told: Told) -> None:
    assert main(["watch", "--url", "http://127.0.0.1:1/ws", "--room", "u1"]) == 2
    assert told() == "the URL must look like ws://host:port/ws"


def test_watch_where_nobody_listens(told: Told) -> None:
    assert main(["watch", "--url", "ws://127.0.0.1:1/ws", "--room", "u1"]) == 1
    assert told().startswith("closed with 1006: cannot connect: ")


def test_watch_into_a_pipe_that_is_broken(server: Live, capfd: pytest.CaptureFixture[str]) -> None:
    receiver, sender = os.pipe()
    os.close(receiver)
    with open(sender, "w") as broken, contextlib.redirect_stdout(broken):  # noqa: PTH123
        assert main(["watch", "--url", server.ws, "--room", "u1"]) == 1
        broken.write("this goes nowhere, and says nothing")
    assert capfd.readouterr() == ("", "")
