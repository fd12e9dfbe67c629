"""The tutorial: its application before and after, and what the reader does with two browsers."""

import difflib
import json
import shlex
import sys
import types
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from flask.testing import FlaskClient

import sse_trio
from sse_trio.core.messages import Joined, Terminate

from ..proxies import DEADLINE, ask, free_port, running
from ..test_docs import ROOT, fences
from .examples import post, ticket_in

TUTORIAL = ROOT / "docs" / "tutorial.md"
MAX_LINES = 15

ADA = {"username": "ada", "password": "analytical engine"}
GRACE = {"username": "grace", "password": "first compiler"}

# What the reader replaces in the command of the check.
COPIED = "session=COPIED; sse_trio=COPIED"


def blocks(info: str) -> list[str]:
    return [block.text for block in fences(TUTORIAL.read_text()) if block.info == info]


def block(info: str) -> str:
    (text,) = blocks(info)
    return text


def new_lines() -> list[str]:
    """The lines that the reader adds, or changes."""
    before, after = (block(f"python {when}").splitlines() for when in ("before", "after"))
    compared = list(difflib.ndiff(before, after))
    assert compared
    return [line[2:] for line in compared if line.startswith("+ ") and line[2:].strip()]


def test_the_reader_adds_or_changes_fifteen_lines() -> None:
    assert 0 < len(new_lines()) <= MAX_LINES


def test_the_steps_are_what_the_whole_file_has() -> None:
    steps = [*blocks("python step"), *blocks("py step"), *blocks("html step")]
    whole = block("python after")
    assert all(step in whole for step in steps)
    assert set(new_lines()) <= {line for step in steps for line in step.splitlines()}


def test_before_it_both_browsers_stay_logged_in() -> None:
    module: Any = types.ModuleType("app")
    exec(compile(block("python before"), "app.py", "exec"), module.__dict__)
    browsers: list[FlaskClient] = [module.app.test_client() for _ in range(2)]
    for browser in browsers:
        assert browser.get("/").location == "/login"
        assert browser.post("/login", data=ADA | {"password": "x"}).status_code == 401
        assert browser.post("/login", data=ADA).location == "/"
    for browser in browsers:
        assert "Hello ada" in browser.get("/").text
    browsers[0].post("/logout")
    assert browsers[0].get("/").location == "/login"
    assert browsers[1].get("/").status_code == 200


@pytest.mark.parametrize(
    ("session", "user", "stays"),
    [
        ({"user_id": 1}, "1", True),
        ({"user_id": 1}, None, False),
        ({"user_id": 1}, "2", False),
        ({"csrf": "a"}, None, True),
    ],
)
def test_ids_that_are_numbers(session: dict[str, Any], user: str | None, stays: bool) -> None:
    def login_of(environ: object) -> Any:
        return types.SimpleNamespace(user=user)

    before = dict(session)
    request = types.SimpleNamespace(environ={}, endpoint="static")
    told = {"session": session, "request": request, "login_of": login_of}
    exec(block("python ids"), told)
    assert session == before
    request.endpoint = "home"
    exec(block("python ids"), told)
    assert session == (before if stays else {})


@pytest.mark.slow
async def test_two_browsers(tmp_path: Path) -> None:
    hub_port, port = free_port(), free_port()
    (tmp_path / "app.py").write_text(block("python after"))
    for_hub = tmp_path / "hub"
    for_hub.mkdir()
    config = json.loads(block("json config"))
    (for_hub / "config.json").write_text(json.dumps(config | {"port": hub_port}))

    @asynccontextmanager
    async def hub() -> AsyncIterator[None]:
        program, *arguments = shlex.split(block("sh hub"))
        assert program == "sse-trio"
        command = [sys.executable, "-m", "sse_trio", *arguments]
        async with running(command, hub_port, for_hub):
            with trio.fail_after(DEADLINE):
                while True:
                    if (await ask(hub_port, target="/readyz")).status == 200:
                        break
                    await trio.sleep(0.05)
            yield

    def application() -> Any:
        variables, command = block("sh after").splitlines()
        env = dict(word.split("=", 1) for word in shlex.split(variables)[1:])
        assert env.keys() == {"SSE_TRIO_URL", "SSE_TRIO_KEY"}
        env["SSE_TRIO_URL"] = env["SSE_TRIO_URL"].replace(str(config["port"]), str(hub_port))
        told = [sys.executable, "-m", *shlex.split(command.replace("5000", str(port)))]
        return running(told, port, tmp_path, **env)

    async def log_in(user: dict[str, str]) -> str:
        answer = await post(port, "/login", user)
        assert (answer.status, answer.headers["location"]) == (302, "/")
        assert len(answer.cookies) == 2
        return "; ".join(cookie.partition(";")[0] for cookie in answer.cookies)

    async def page(cookies: str) -> str | None:
        """What the home page says; None if it leads to the form."""
        answer = await ask(port, cookie=cookies)
        if answer.status == 302:
            assert answer.headers["location"] == "/login"
            return None
        assert answer.status == 200
        return str(answer.body.decode())

    def guard(page: str | None) -> Any:
        assert page is not None
        assert f'src="http://127.0.0.1:{hub_port}/ws"' in page
        return sse_trio.open_member(f"ws://127.0.0.1:{hub_port}/ws", ticket=ticket_in(page))

    async def told_by_curl(cookies: str) -> str:
        command = block("sh check").replace("5000", str(port))
        words = [word.replace(COPIED, cookies) for word in shlex.split(command)]
        assert cookies in words
        return (await trio.run_process(words, capture_stdout=True)).stdout.decode()

    async with application():
        async with hub():
            grace = await log_in(GRACE)
            first = await log_in(ADA)
            shown = await page(first)
            assert await told_by_curl(first) == "200 \n"
            async with guard(shown) as listening:
                assert isinstance(await anext(listening), Joined)
                second = await log_in(ADA)
                assert isinstance(await anext(listening), Terminate)
            assert await page(first) is None
            sent = block("text check").replace("5000", str(port))
            assert await told_by_curl(first) == sent
            assert "Hello ada" in str(await page(second))
            # It was offline, and comes back.
            async with guard(shown) as late:
                assert isinstance(await anext(late), Terminate)
        async with hub():  # it has been restarted
            assert await page(first) is None
            assert "Hello grace" in str(await page(grace))
            out = await post(port, "/logout", {}, second)
            assert (out.status, out.headers["location"]) == (302, "/login")
            assert await page(second) is None
            assert "Hello grace" in str(await page(grace))
