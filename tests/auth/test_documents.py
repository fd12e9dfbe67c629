"""What `docs/authentication.md` says is what the code does."""

import ast
import inspect
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import jwt
import pytest
import trio

from sse_trio.auth import (
    Authority,
    Kind,
    PersistentSettings,
    Reason,
    SessionSettings,
    Settings,
    cookies,
)
from sse_trio.auth.asgi import Authentication, RequestAuth

from ..test_docs import ROOT, code, curls, fences, section, table
from .browser import Browser
from .fixtures import CLAIMS, KEYS, changed, cookies_of

PAGE = ROOT / "docs" / "authentication.md"

# What an application's own table may say of somebody, and what is wrong with it.
WRONG_NAMES = {
    "": "must have 1 to 256 characters",
    "A\tda": "must not hold control characters",
    "a" * 300: "must have 1 to 256 characters",
}


@pytest.fixture
async def application(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[int]:
    """The application of the page, started by the command of the page; its port."""
    (program,) = [block.text for block in fences(PAGE.read_text()) if block.info == "python app"]
    assert program.count("port=8080") == 1
    assert program.count("PASSWORDS = {") == 1
    wrong = "".join(f"{name!r}: 'secret', " for name in WRONG_NAMES)
    program = program.replace("PASSWORDS = {", f"PASSWORDS = {{{wrong}").replace(
        "port=8080", "port=0"
    )
    (tmp_path / "app.py").write_text(program)
    commands = [
        block.text for block in fences(PAGE.read_text()) if "hypercorn --worker" in block.text
    ]
    _, *command = shlex.split(commands[0])
    process: trio.Process = await nursery.start(
        partial(
            trio.run_process,
            [sys.executable, "-W", "error", *command, "--bind", "127.0.0.1:0"],
            stderr=subprocess.PIPE,
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    )
    assert process.stderr is not None
    told = ""
    with trio.fail_after(60):
        while not (found := re.search(r"Running on http://127\.0\.0\.1:(\d+)", told)):
            told += (await process.stderr.receive_some()).decode()
    yield int(found[1])
    process.send_signal(signal.SIGTERM)
    with trio.fail_after(60):
        while more := await process.stderr.receive_some():
            told += more.decode()
    assert "Traceback" not in told, told


async def test_the_application(application: int) -> None:
    first, second = Browser(application), Browser(application)
    login, again, *gets = curls(section(PAGE, "An application"))
    assert login[3:] == again[3:]
    assert {get[-1] for get in gets} == {"http://127.0.0.1:8000/"}
    form = json.loads(login[-1])
    for wrong in ({**form, "password": "wrong"}, {"user": "mallory", "password": None}):
        assert (await first.post("/login", wrong)).status == 401
    for name, why in WRONG_NAMES.items():
        answer = await first.post("/login", {"user": name, "password": "secret"})
        assert (answer.status, answer.body.decode()) == (422, f"the user's id {why}")
    assert b"<form>" in (await first.load("/")).body
    assert (await first.post("/login", form)).status == 204
    page = (await first.load("/")).body.decode()
    assert "Hello Ada" in page
    attributes = dict(re.findall(r'(\w+)="([^"]*)"', page.partition("<session-guard")[2]))
    assert attributes["csrf"] == first.csrf
    claims = jwt.decode(attributes["ticket"], options={"verify_signature": False})
    assert claims["room"] == "ada"
    await second.post("/login", form)
    assert b"<form>" in (await first.load("/")).body
    # The page of the first browser is told, and asks for its logout.
    guards = f"session={claims['session']}&reason=login".encode()
    media_type = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (await first.request("POST", "/logout", media_type, guards)).status == 204
    assert b"Hello Ada" in (await second.load("/")).body
    await second.request("POST", "/logout", {})
    assert second.jar == {}


def test_the_test_of_the_application(tmp_path: Path) -> None:
    program, test = [
        block.text
        for block in fences(PAGE.read_text())
        if block.info in ("python app", "python test")
    ]
    # As the page advises; and as it is in production.
    program = program.replace("port=8080", "port=0")
    for https in (False, True):
        (tmp_path / "app.py").write_text(program.replace("https=False", f"https={https}"))
        (tmp_path / "test_app.py").write_text(test)
        command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout
        assert "1 passed" in done.stdout


def settings_in_the_code() -> list[tuple[str, Any]]:
    nested = {"persistent": PersistentSettings, "session": SessionSettings}
    found = []
    for field in attrs.fields(Settings):
        if field.name in nested:
            inner = attrs.fields(nested[field.name])
            found += [(f"{field.name}.{one.name}", one) for one in inner]
        else:
            found.append((field.name, field))
    return found


def test_the_settings_are_the_codes() -> None:
    rows = table(PAGE, "Settings", "setting", "default", "unit", "meaning")
    assert rows == [
        [
            f"`{name}`",
            f"`{json.dumps(field.default)}`",
            field.metadata.get("unit", ""),
            field.metadata["about"],
        ]
        for name, field in settings_in_the_code()
    ]


def test_the_reasons_are_the_codes() -> None:
    rows = table(PAGE, "Who is authenticated", "reason", "says")
    assert [(code(row[0]), row[1]) for row in rows] == [
        (reason.name, reason.value) for reason in Reason
    ]


def test_the_parts_of_the_cookies_are_the_codes() -> None:
    nr1, nr2 = cookies_of(CLAIMS)
    header = jwt.get_unverified_header(nr1)
    payload = jwt.decode(nr1, options={"verify_signature": False})
    rows = table(PAGE, "The cookies", "part", "field", "meaning")
    said = [(row[0], code(row[1])) for row in rows]
    assert sorted(said) == sorted(
        [("header", name) for name in header] + [("payload", name) for name in payload]
    )
    rows = table(PAGE, "The cookies", "pair", "meaning")
    assert [code(row[0]) for row in rows] == [pair.partition("=")[0] for pair in nr2.split("&")]
    text = section(PAGE, "The cookies")
    for constant in (header["alg"], header["typ"], payload["iss"], payload["aud"]):
        assert f"`{constant}`" in text
    assert f"{cookies.MAX_COOKIE:,} bytes" in text


def test_the_attributes_of_the_cookies_are_the_codes() -> None:
    text = section(PAGE, "The cookies")
    for kind in Kind:
        for written in cookies.write(changed(kind=kind), Settings(), KEYS):
            for attribute in written.split("; ")[1:]:
                assert f"`{attribute.partition('=')[0]}" in text
            assert "Domain" not in written


def test_the_methods_are_the_codes() -> None:
    rows = table(PAGE, "The middleware", "of `auth(scope)`", "meaning")
    said = {name for row in rows for name in re.findall(r"`(\w+)", row[0])}
    internal = {
        "abandon",
        "begin_answer",
        "note_answer_sent",
        "note_answer_refused",
        "has_to_delete_cookies",
    }
    assert said | internal == {*public(RequestAuth), "identity"}
    rows = table(PAGE, "The middleware", "option", "default", "meaning")
    arguments = set(inspect.signature(Authentication).parameters) - {"app"}
    assert {code(row[0]) for row in rows} == arguments


def test_the_signatures_are_the_codes() -> None:
    rows = table(PAGE, "Without the middleware", "method", "does")
    said = {}
    for row in rows:
        call = ast.parse(code(row[0]), mode="eval").body
        assert isinstance(call, ast.Call)
        assert isinstance(call.func, ast.Name)
        positional = [ast.unparse(argument) for argument in call.args]
        said[call.func.id] = positional + [str(keyword.arg) for keyword in call.keywords]
    assert said == {
        name: [
            parameter
            for parameter in inspect.signature(getattr(Authority, name)).parameters
            if parameter not in ("self", "wall")
        ]
        for name in public(Authority) - {"limited_log"}
    }


def public(kind: type) -> set[str]:
    return {name for name in vars(kind) if not name.startswith("_")}
