"""Flask-Session: the session of a login that has ended is deleted from its store."""

from pathlib import Path
from typing import Any

import pytest
from cachelib import FileSystemCache
from flask import Flask, redirect, request, session
from flask_session import Session
from werkzeug.test import Client as Browser

from sse_trio.apps import Client, Settings
from sse_trio.apps.stores import KeptSessions
from sse_trio.apps.wsgi import SingleSession, login_of
from sse_trio.errors import ConfigError

from ..support import Start
from .support import client, in_thread


def application(hub: Client, cache: FileSystemCache) -> Flask:
    app = Flask("application")
    app.testing = True
    app.config |= {"SESSION_TYPE": "cachelib", "SESSION_CACHELIB": cache}
    Session(app)
    kept = KeptSessions(cache, "the application's secret")

    @app.before_request
    def forget_what_has_ended() -> None:
        if login_of(request.environ).user is None and "name" in session:
            session.clear()

    @app.get("/")
    def home() -> str:
        return str(session.get("name"))

    @app.post("/login")
    def log_in() -> Any:
        app.session_interface.regenerate(session)  # type: ignore[attr-defined]
        session["name"] = request.form["user"]
        login = login_of(request.environ).log_in(request.form["user"])
        kept.apply(login, session.sid)  # type: ignore[attr-defined]
        return redirect("/")

    @app.post("/logout")
    def log_out() -> Any:
        kept.apply(login_of(request.environ).log_out())
        session.clear()
        return redirect("/login")

    app.wsgi_app = SingleSession(  # type: ignore[method-assign]
        app.wsgi_app, client=hub, settings=Settings(https=False)
    )
    return app


async def test_flask_session(start: Start, tmp_path: Path) -> None:
    hub = await start(join="ticket")

    def steps() -> None:
        cache = FileSystemCache(str(tmp_path), threshold=0)

        def is_stored(browser: Browser) -> bool:
            kept = browser.get_cookie("session")
            return kept is not None and cache.has(f"session:{kept.value}")

        with client(hub.port) as asks:
            app = application(asks, cache)
            first, second, third = (Browser(app) for _ in range(3))
            for browser in (first, second):
                browser.post("/login", data={"user": "ada"})
            assert (is_stored(first), is_stored(second)) == (False, True)
            assert (first.get("/").text, second.get("/").text) == ("None", "ada")
            # The same browser again, and another user in it.
            second.post("/login", data={"user": "ada"})
            assert is_stored(second)
            before = second.get_cookie("session")
            second.post("/login", data={"user": "grace"})
            assert before is not None
            third.set_cookie("session", before.value)
            assert (is_stored(second), is_stored(third)) == (True, False)
            second.post("/logout")
            assert not is_stored(second)
            # What is left are neither sessions nor notes of where they are.
            names = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
            assert len(names) <= 2, names

    await in_thread(steps)


def test_a_secret_is_required(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        KeptSessions(FileSystemCache(str(tmp_path)), "")
