"""The applications of the documents, as they stand there: found, loaded and asked.

Those of `docs/applications.md` run in the tests' own process, each worker a module of its own
that is called by threads. Their requests to the hub are real ones.
"""

import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import trio

import sse_trio

from ..proxies import ask
from ..support import KEY, open_peer
from ..test_docs import ROOT
from ..test_proxies import recipe

APPLICATIONS = ROOT / "docs" / "applications.md"
ADA = {"user": "ada", "password": "analytical engine"}
GRACE = {"user": "grace", "password": "first compiler"}

EXAMPLES = {
    "app.py": (APPLICATIONS, "A whole application"),
    "plain.py": (APPLICATIONS, "In any other language"),
    "devices.py": (APPLICATIONS, "Flask, and other WSGI applications"),
    "main.py": (APPLICATIONS, "FastAPI, and other ASGI applications on asyncio"),
    "kept.py": (APPLICATIONS, "Sessions that a framework keeps in a store"),
    "store.py": (APPLICATIONS, "Sessions in a store: `standing`"),
    "behind.py": (APPLICATIONS, "No code at all: `/verify`"),
    "away.py": (APPLICATIONS, "While the hub is away"),
}


def example(name: str) -> str:
    page, heading = EXAMPLES[name]
    return recipe(heading, f"python {name}", page)


in_thread = trio.to_thread.run_sync

Load = Callable[..., Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """``module = load("store.py", hub)``: a worker of an application, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def load(name: str, port: int = 1) -> Any:
        monkeypatch.setenv("SSE_TRIO_URL", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("SSE_TRIO_KEY", KEY)
        monkeypatch.setenv("PLAIN_HTTP", "1")
        module = types.ModuleType(name.removesuffix(".py"))
        exec(compile(example(name), name, "exec"), module.__dict__)
        return module

    return load


async def verdict(hub: sse_trio.Hub, ticket: str) -> str:
    """What the hub says first to a page that joins with this ticket."""
    async with open_peer(hub) as page:
        await page.send_message(json.dumps({"type": "join", "ticket": ticket}))
        return str(json.loads(await page.get_message())["type"])


def ticket_in(page: str) -> str:
    found = re.search(r'<session-guard src="[^"]*/ws" ticket="([^"]+)"', page)
    assert found, page
    return found[1]


async def post(port: int, path: str, form: dict[str, str], cookie: str | None = None) -> Any:
    body = urlencode(form).encode()
    head = (("Content-Type", "application/x-www-form-urlencoded"),)
    return await ask(port, "POST", path, cookie=cookie, body=body, headers=head)
