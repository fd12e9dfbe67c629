"""What docs/applications.md says of `sse_trio.apps`: its applications and its tables."""

from pathlib import Path
from typing import Any

import attrs
import pytest
import werkzeug.test

from sse_trio.apps import Settings, address

from ..applications.examples import ADA, APPLICATIONS, Load, ticket_in
from ..applications.examples import load as load
from ..support import KEY, Start
from ..test_docs import code, table
from ..test_proxies import recipe
from .support import in_thread, urls
from .test_asgi import Browser, served


async def test_the_application_for_fastapi(load: Load, start: Start) -> None:
    hub = await start(join="ticket")
    with served(load("main.py", hub.port).app) as port:
        first, second = Browser(port), Browser(port)
        assert (await first.send("/login", **ADA | {"password": "x"})).status == 401
        for browser in (first, second):
            ada = {"user": "ada", "password": "analytical+engine"}
            assert (await browser.send("/login", **ada)).status == 303
        assert (await first.is_in(), await second.is_in()) == (False, True)
        page = (await second.send("/")).body.decode()
        assert "Hello ada" in page
        assert ticket_in(page)
        assert (await second.send("/logout")).status == 303
        assert not await second.is_in()


async def test_the_application_with_a_store(
    load: Load, start: Start, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub = await start(join="ticket")
    monkeypatch.setenv("SECRET", "a secret of the tests")
    app = load("kept.py", hub.port).app

    def steps() -> None:
        first, second = werkzeug.test.Client(app), werkzeug.test.Client(app)

        def stored() -> int:
            return sum(not file.name.startswith(".") for file in (tmp_path / "sessions").iterdir())

        first.post("/login", data={"user": "ada"})
        before = stored()
        second.post("/login", data={"user": "ada"})
        assert stored() == before > 0  # the first one's is gone
        assert (first.get("/").text, second.get("/").text) == ("Hello nobody", "Hello ada")
        second.post("/logout")
        assert second.get("/").text == "Hello nobody"

    await in_thread(steps)


async def test_what_the_client_does(
    start: Start, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = await start(join="ticket")
    monkeypatch.setenv("SSE_TRIO_URL", urls(hub.port))
    monkeypatch.setenv("SSE_TRIO_KEY", KEY)
    program = compile(recipe("The clients", "python clients", APPLICATIONS), "clients", "exec")
    await in_thread(exec, program, {})
    assert capsys.readouterr().out == "{'device': 'Firefox, Lisbon'} False\n"
    assert hub.sessions("7").sessions == ()


def test_the_settings_of_django() -> None:
    told: dict[str, Any] = {}
    exec(recipe("Django", "python settings", APPLICATIONS), told)
    middleware = told["MIDDLEWARE"]
    assert middleware[-1] == "sse_trio.apps.django.SingleSession"
    assert Settings(**told["SSE_TRIO"]).redirect == "/"


def test_the_settings_are_those_of_the_page() -> None:
    rows = table(APPLICATIONS, "Settings", "setting", "default", "meaning")
    said = {code(row[0]): eval(code(row[1])) for row in rows}
    assert said == {field.name: field.default for field in attrs.fields(Settings)}


def test_the_variables_are_those_of_the_page() -> None:
    rows = table(APPLICATIONS, "In Python: `sse_trio.apps`", "variable", "meaning")
    assert [code(row[0]) for row in rows] == [address.URL, address.KEY, address.PUBLIC_URL]
