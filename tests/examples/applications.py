"""The applications of `docs/examples/` as processes, each with a hub of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import attrs
import pytest
from playwright.sync_api import Cookie

from ..browser.processes import DEADLINE, KEY, HubProcess
from ..proxies import free_port
from ..test_docs import ROOT
from .relay import Relay

EXAMPLES = ROOT / "docs" / "examples"

# How each is started: as its README.md says, but for the port.
COMMANDS = {
    "flask": f"{sys.executable} -m waitress --listen=127.0.0.1:{{port}} app:app",
    "fastapi": f"{sys.executable} -m uvicorn --port={{port}} app:app",
    "django": f"{sys.executable} -m tests.examples.django_server {{port}}",
    "express": "node app.js",
}

# Those that cost too much for every run: `EXAMPLE=nextjs python -m pytest tests/examples`.
BY_HAND = {
    "nextjs": "npm start -- --port {port}",
    "rails": "puma --bind tcp://127.0.0.1:{port} config.ru",
    "laravel": "sh run.sh {port}",
}

# They run where they are.
PYTHON = {"flask", "fastapi", "django"}

# What somebody who has tried an application may have left beside it.
MADE = shutil.ignore_patterns("node_modules", ".next")


@attrs.frozen
class Application:
    """An application that listens, and the hub that it asks."""

    name: str
    port: int
    hub: HubProcess
    relay: Relay
    """What is between the two."""

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def login(self) -> str:
        """The path of the form."""
        return "/login/" if self.name == "django" else "/login"

    def is_readable(self, cookie: str) -> bool:
        """Whether scripts may read a cookie: a framework's, against forged requests."""
        return cookie in {"csrftoken", "XSRF-TOKEN"}

    def accepts(self, cookies: list[Cookie]) -> bool:
        """Whether a copy of a browser's cookies is logged in, without the browser."""
        jar = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request("GET", "/", headers={"Cookie": jar})
            answer = connection.getresponse()
            answer.read()
            where = answer.headers.get("Location", "").removeprefix(self.origin)
        assert answer.status == 200 or where.startswith("/login"), (answer.status, where)
        return answer.status == 200


@contextmanager
def run_application(name: str, directory: Path) -> Iterator[Application]:
    hub = HubProcess(directory, {"join": "ticket"})
    hub.start()
    relay = Relay(hub.port)
    application = Application(name, free_port(), hub, relay)
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SSE_TRIO_")}
    told = {
        "SSE_TRIO_KEY": KEY,
        "SSE_TRIO_PUBLIC_URL": hub.origin,
        "SECRET_KEY": "a secret of the application's own",
        "PLAIN_HTTP": "1",
        "PYTHONPATH": f"{EXAMPLES / name}:{ROOT}",
        "PORT": str(application.port),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = (COMMANDS | BY_HAND)[name].format(port=application.port).split()
    if name not in PYTHON:
        install(name, directory)
    log = directory / "application.log"
    with log.open("w") as output, relay.running():
        process: subprocess.Popen[Any] = subprocess.Popen(
            command,
            cwd=directory,
            env=inherited | told | {"SSE_TRIO_URL": relay.origin},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            wait_until_it_listens(application.port, process, log)
            yield application
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # with what it has started
            process.wait(DEADLINE)
            hub.end()


def install(name: str, directory: Path) -> None:
    """Copy an application, and install what it needs beside it."""
    for source in (Path(__file__).parent / name, EXAMPLES / name):
        if source.exists():
            shutil.copytree(source, directory, ignore=MADE, dirs_exist_ok=True)
    package = directory / "package.json"
    if not package.exists():
        return
    if shutil.which("npm") is None:
        pytest.fail("no npm: apt-get install npm")
    quiet = ("--silent", "--no-audit", "--no-fund", "--prefer-offline")
    subprocess.run(["npm", "install", *quiet], cwd=directory, check=True, timeout=120)
    if "build" in json.loads(package.read_text())["scripts"]:
        subprocess.run(["npm", "run", "build"], cwd=directory, check=True, timeout=600)


def wait_until_it_listens(port: int, process: subprocess.Popen[Any], log: Path) -> None:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())
