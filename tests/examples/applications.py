"""The applications of `docs/examples/` as processes, each with a hub of its own."""

import os
import shutil
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

EXAMPLES = ROOT / "docs" / "examples"

# How each is started: as its README.md says, but for the port.
COMMANDS = {
    "flask": f"{sys.executable} -m waitress --listen=127.0.0.1:{{port}} app:app",
    "fastapi": f"{sys.executable} -m uvicorn --port={{port}} app:app",
    "django": f"{sys.executable} -m tests.examples.django_server {{port}}",
    "express": "node app.js",
}


@attrs.frozen
class Application:
    """An application that listens, and the hub that it asks."""

    name: str
    port: int
    hub: HubProcess

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def login(self) -> str:
        """The path of the form."""
        return "/login/" if self.name == "django" else "/login"

    def is_readable(self, cookie: str) -> bool:
        """Whether scripts may read a cookie: Django's, against forged requests."""
        return cookie == "csrftoken"

    def accepts(self, cookies: list[Cookie]) -> bool:
        """Whether a copy of a browser's cookies is logged in, without the browser."""
        jar = "; ".join(f"{each['name']}={each['value']}" for each in cookies)
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request("GET", "/", headers={"Cookie": jar})
            answer = connection.getresponse()
            answer.read()
            where = answer.headers.get("Location", "")
        assert answer.status == 200 or where.startswith("/login"), (answer.status, where)
        return answer.status == 200


@contextmanager
def run_application(name: str, directory: Path) -> Iterator[Application]:
    hub = HubProcess(directory, {"join": "ticket"})
    hub.start()
    application = Application(name, free_port(), hub)
    inherited = {name: v for name, v in os.environ.items() if not name.startswith("SSE_TRIO_")}
    told = {
        "SSE_TRIO_URL": hub.origin,
        "SSE_TRIO_KEY": KEY,
        "SECRET_KEY": "a secret of the application's own",
        "PLAIN_HTTP": "1",
        "PYTHONPATH": f"{EXAMPLES / name}:{ROOT}",
        "PORT": str(application.port),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = COMMANDS[name].format(port=application.port).split()
    if name == "express":
        install(directory)
    log = directory / "application.log"
    with log.open("w") as output:
        process: subprocess.Popen[Any] = subprocess.Popen(
            command,
            cwd=directory,
            env=inherited | told,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_it_listens(application.port, process, log)
            yield application
        finally:
            process.kill()
            process.wait(DEADLINE)
            hub.end()


def install(directory: Path) -> None:
    """Install what the Express application needs, beside a copy of it."""
    if shutil.which("npm") is None:
        pytest.fail("no npm: apt-get install npm")
    for name in ("app.js", "package.json"):
        shutil.copy(EXAMPLES / "express" / name, directory)
    quiet = ("--silent", "--no-audit", "--no-fund", "--prefer-offline")
    subprocess.run(["npm", "install", *quiet], cwd=directory, check=True, timeout=120)


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
