"""What an operator asks of a running server: `sessions`, `end` and `check`. No secret is shown."""

import argparse
import io
import json
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest
import trio

import sse_trio
from sse_trio.cli import check, end, main, terminal
from sse_trio.core.messages import Joined
from sse_trio.errors import ConfigError, SseTrioError
from sse_trio.roster import fingerprint

from ..support import KEY
from .live import DEADLINE, ORDERS, Live, Told, fake, live

S1, S2, S3 = (fingerprint(f"secret-{n}") for n in (1, 2, 3))


def login(server: Live, session: str, **members: Any) -> dict[str, Any]:
    """Have somebody log in to the room u1."""
    notify = partial(server.hub.notify, "u1", sender=session, **members)
    outcome = trio.from_thread.run(notify, trio_token=server.token)
    return {"token": outcome.token, "ticket": outcome.ticket}


@pytest.fixture
def several() -> Any:
    """A server that allows several sessions, with three of one user."""
    with live(max_sessions=9) as server:
        login(server, "secret-1", about={"device": "Firefox", "place": ORDERS})
        login(server, "secret-2")
        login(server, "secret-3")
        yield server


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Return the lines on standard output; there is nothing else, and no secret."""

    def shown() -> list[str]:
        out, err = capsys.readouterr()
        assert err == ""
        assert "secret" not in out
        assert KEY not in out
        assert all(line.isprintable() for line in out.splitlines())
        return out.splitlines()

    return shown


Shown = Callable[[], list[str]]


def test_the_sessions_of_a_user(several: Live, shown: Shown) -> None:
    assert main(["sessions", "u1", "--url", several.http]) == 0
    lines = shown()
    assert [line.split()[0] for line in lines] == [S3, S2, S1]
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
    assert re.fullmatch(rf"{S2}  since {moment}  seen {moment}", lines[1])
    assert lines[2].split("  ")[3].startswith('{"device":"Firefox","place":"\\u001b')
    assert main(["sessions", "u2", "--url", several.http]) == 0
    assert shown() == []


def test_sessions_are_ended_by_what_they_are_called(several: Live, shown: Shown) -> None:
    assert main(["end", "u1", S1[:4].upper(), S3, "--url", several.http]) == 0
    assert shown() == [f"{each}  ended; connected pages: 0" for each in (S1, S3)]
    assert several.hub.view("u1").sessions == {"secret-2"}


def test_what_a_page_is_told(several: Live, shown: Shown) -> None:
    has_joined = threading.Event()
    heard: Future[list[Any]] = Future()

    async def page() -> None:
        async with sse_trio.open_member(several.ws, room="u1", session="secret-2") as member:
            assert isinstance(await anext(member), Joined)
            has_joined.set()
            heard.set_result([event async for event in member])

    several.soon(page)
    assert has_joined.wait(DEADLINE)
    assert main(["end", "u1", S2, "--reason", "stolen", "--url", several.http]) == 0
    assert shown() == [f"{S2}  ended; connected pages: 1"]
    [terminate] = heard.result(DEADLINE)
    assert (terminate.room, terminate.reason) == ("u1", "stolen")


@pytest.mark.parametrize("wanted", ["ffffffffffffffff", "secret-1", S1 + "0"])
def test_what_is_called_so_by_nobody_ends_nobody(several: Live, told: Told, wanted: str) -> None:
    assert main(["end", "u1", S1, wanted, "--url", several.http]) == 1
    assert told() == "no session has this name; nothing has ended"
    assert len(several.hub.view("u1").sessions) == 3


def test_a_name_that_is_too_short(told: Told) -> None:
    assert main(["end", "u1", "abc", "--url", "http://127.0.0.1:1"]) == 2
    assert told() == "SESSION must have 4 digits or more"


def asking(server: Live, **options: Any) -> argparse.Namespace:
    usual: dict[str, Any] = {"config": None, "room": None, "url": server.http, "reason": None}
    return argparse.Namespace(**usual | options)


def test_ids_come_from_standard_input(several: Live, shown: Shown) -> None:
    ids = io.StringIO("secret-1\n\n secret-2 \r\n")
    assert end.run(asking(several, room="u1", fingerprints=["-"]), ids) == 0
    assert shown() == [f"{each}  ended; connected pages: 0" for each in (S1, S2)]
    with pytest.raises(SseTrioError, match="no session has this name"):
        end.run(asking(several, room="u1", fingerprints=["-"]), io.StringIO("secret-1"))


def test_two_that_are_called_so() -> None:
    sessions = [{"session": f"s{n}", "epoch": n} for n in range(2000)]
    names = [fingerprint(f"s{n}")[:4] for n in range(2000)]
    twice = next(each for each in names if names.count(each) > 1)
    answer = b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"sessions": sessions}).encode()
    with fake(answer) as (url, asked):
        options = argparse.Namespace(
            config=None, room="u1", url=url, reason=None, fingerprints=[twice]
        )
        with pytest.raises(SseTrioError, match="more than one session has this name"):
            end.run(options)
    assert asked == [b"POST /sessions HTTP/1.1\r\n"]


def test_tokens_are_checked(several: Live, shown: Shown) -> None:
    token = login(several, "secret-4")["token"]
    assert check.run(asking(several), io.StringIO(f"{token}\n")) == 0
    [line] = shown()
    verdict = json.loads(line)
    assert (verdict["active"], verdict["room"]) == (True, "u1")
    assert verdict["session"] == fingerprint("secret-4")
    # A ticket is none, and one that does not stand is enough.
    ticket = login(several, "secret-4")["ticket"]
    assert check.run(asking(several), io.StringIO(f"{token}\n{ticket}\n")) == 1
    assert [json.loads(line)["active"] for line in shown()] == [True, False]


def test_sessions_are_checked_by_their_ids(several: Live, shown: Shown) -> None:
    ids = io.StringIO("secret-1\nsecret-9\n")
    assert check.run(asking(several, room="u1"), ids) == 1
    first, second = map(json.loads, shown())
    assert (first["active"], first["session"]) == (True, S1)
    assert second == {"active": False, "known": False}


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_there_is_something_to_check(several: Live, text: str) -> None:
    with pytest.raises(ConfigError, match="standard input must have a token"):
        check.run(asking(several), io.StringIO(text))


def test_what_is_not_utf_8_is_not_repeated(several: Live) -> None:
    for stream in (
        io.TextIOWrapper(io.BytesIO(b"secret\xff"), "utf-8"),
        io.StringIO("secret\udcff"),
    ):
        with pytest.raises(ConfigError, match=r"^standard input must be UTF-8$"):
            check.run(asking(several), stream)


def test_a_standard_input_that_is_closed_is_not_read() -> None:
    """Python has None for it then."""
    with pytest.raises(ConfigError, match=r"^standard input is closed$"):
        terminal.lines(None)


@pytest.mark.parametrize(
    "body",
    [
        *(b"{}", b"[]", b'{"sessions": 7, "checks": 7}', b'{"sessions": [7], "checks": [7]}'),
        *(b'{"sessions": [{}], "checks": [{}]}', b"no"),
        b'{"sessions": [{"session": 7}], "checks": [{"session": 7}]}',
        b'{"sessions": [{"session": "s", "connected": false, "seen": 1e300}], "checks": [[]]}',
    ],
)
def test_a_server_that_is_none(body: bytes) -> None:
    with fake(b"HTTP/1.1 200 OK\r\n\r\n" + body) as (url, _):
        assert main(["sessions", "u1", "--url", url]) == 1
        options = argparse.Namespace(config=None, room=None, url=url)
        with pytest.raises(SseTrioError):
            check.run(options, io.StringIO("token"))


@pytest.mark.parametrize("command", [["sessions", "u1"], ["end", "u1", S1]])
def test_a_wrong_key(
    server: Live, told: Told, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", "wrong")
    assert main([*command, "--url", server.http]) == 1
    assert told() == f"cannot ask {server.http}: 401 a valid key is required"
