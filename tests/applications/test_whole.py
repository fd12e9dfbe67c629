"""The whole application of `docs/applications.md`, and those of its lines that the README shows."""

import json
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from sse_trio.config import Config

from ..proxies import ask, free_port, running
from ..support import KEY, Start, open_peer
from ..test_docs import EXAMPLE, README, fences, section
from ..test_proxies import recipe
from .examples import ADA, APPLICATIONS, EXAMPLES, GRACE, example, post, ticket_in

# What an application's lines about single sessions have.
OURS = re.compile(r"sse_trio|Settings|SingleSession|login_of|\blogin\.|HubAway")


def test_the_lines_about_single_sessions_are_ten_and_three() -> None:
    text = example("app.py")
    lines = [line for line in text.splitlines() if OURS.search(line)]
    away = text[text.index("@app.errorhandler") :].splitlines()
    assert away[0] == lines[-1]
    assert (len(lines) - 1, len(away)) == (10, 3)


def test_the_readme_shows_these_ten() -> None:
    parts = [b.text for b in fences(section(README, "In your application")) if b.info != "sh"]
    shown = [line for part in parts for line in part.splitlines() if OURS.search(line)]
    lines = [line.strip() for line in example("app.py").splitlines() if OURS.search(line)]
    assert sorted(shown) == sorted(lines[:-1])


@pytest.mark.parametrize("name", [name for name in EXAMPLES if "PAGE = " in example(name)])
def test_a_page_shows_no_notice_of_its_own_logout(name: str) -> None:
    forms = re.findall(r'<form method="post" action="/[^>]*>', example(name))
    assert forms
    assert all("document.querySelector('session-guard').remove()" in form for form in forms)


@pytest.mark.parametrize("name", [name for name in EXAMPLES if "PAGE = " in example(name)])
def test_an_old_page_goes_on_with_a_new_login(name: str) -> None:
    assert re.findall(r'redirect="([^"]*)"', example(name)) == ["/"]


def test_the_part_in_any_other_language_is_fifteen_lines() -> None:
    text = example("plain.py")
    (part,) = re.findall(r"^# -- single sessions.*?\n(.*?)^# -- ", text, re.DOTALL | re.MULTILINE)
    lines = [line for line in part.splitlines() if line.strip()]
    assert len(lines) == 15
    assert "urlopen" in part
    assert "import sse_trio" not in text
    assert "from sse_trio" not in text


@pytest.mark.slow
async def test_the_application_on_two_workers(start: Start, tmp_path: Path) -> None:
    hub = await start(join="ticket")
    (tmp_path / "app.py").write_text(example("app.py"))
    commands = recipe("A whole application", "sh", APPLICATIONS).splitlines()
    serve = shlex.split(commands[-1])
    assert serve[0] == "waitress-serve"
    ports = [free_port(), free_port()]
    url = f"http://127.0.0.1:{hub.port}"
    env = {"SSE_TRIO_URL": url, "SSE_TRIO_KEY": KEY, "PLAIN_HTTP": "1"}
    told = dict(word.split("=", 1) for word in shlex.split(commands[-2])[1:])
    example_hub = Config.load(EXAMPLE)
    assert told == {
        "SSE_TRIO_URL": f"http://{example_hub.ipaddr}:{example_hub.port}",
        "SSE_TRIO_KEY": example_hub.authkey[0],
        "PLAIN_HTTP": "1",
    }

    def worker(port: int) -> Any:
        told = [word.replace(":5000", f":{port}") for word in serve[1:]]
        return running([sys.executable, "-m", "waitress", *told], port, tmp_path, **env)

    async with worker(ports[0]), worker(ports[1]):

        async def log_in(port: int, user: dict[str, str], cookie: str | None = None) -> str:
            answer = await post(port, "/login", user, cookie)
            assert (answer.status, answer.headers["location"]) == (302, "/")
            (written,) = answer.cookies
            assert "HttpOnly" in written
            assert "SameSite=Lax" in written
            return str(written).partition(";")[0]

        async def where_it_counts(cookie: str) -> list[int]:
            answers = [await ask(port, cookie=cookie) for port in ports]
            assert {answer.status for answer in answers} <= {200, 302}
            assert all(a.status == 200 or a.headers["location"] == "/login" for a in answers)
            return [
                port for port, answer in zip(ports, answers, strict=True) if answer.status == 200
            ]

        wrong = await post(ports[0], "/login", ADA | {"password": "x"})
        assert (wrong.status, wrong.cookies) == (401, [])
        first = await log_in(ports[0], ADA)
        other = await log_in(ports[1], GRACE)
        assert await where_it_counts(first) == ports
        page = (await ask(ports[1], cookie=first)).body.decode()
        assert "Hello ada" in page
        async with open_peer(hub) as guard:
            await guard.send_message(json.dumps({"type": "join", "ticket": ticket_in(page)}))
            assert json.loads(await guard.get_message())["type"] == "joined"
            # The second login: the first browser is out on every worker, and its page knows.
            second = await log_in(ports[1], ADA)
            assert await where_it_counts(first) == []
            assert json.loads(await guard.get_message())["type"] == "terminate"
        assert await where_it_counts(second) == await where_it_counts(other) == ports
        # A logout, also that of the old browser, ends only itself.
        for cookie in (first, other):
            out = await post(ports[0], "/logout", {}, cookie)
            assert (out.status, out.headers["location"]) == (302, "/login")
            assert "Max-Age=0" in out.cookies[0]
        assert await where_it_counts(other) == []
        assert await where_it_counts(second) == ports
        # Another user in the same browser takes its cookie's place, so the old login ends.
        third = await log_in(ports[0], GRACE, cookie=second)
        assert await where_it_counts(second) == []
        assert await where_it_counts(third) == ports
