"""The WSGI middleware, before Flask, with a real hub."""

import base64
import json
import threading
import time
from typing import Any

import attrs
import pytest
from flask import Flask, abort, redirect, render_template_string, request
from werkzeug.test import Client as Browser
from werkzeug.test import TestResponse

from sse_trio.apps import Client, LimitReached, Settings
from sse_trio.apps.cookies import SharedByCookies
from sse_trio.apps.wsgi import Login, SingleSession, login_of
from sse_trio.errors import ConfigError

from ..applications.examples import ticket_in, verdict
from ..support import Start
from .support import (
    ACTIVE,
    LOOSELY,
    NOTIFIED,
    RELEASED,
    SHORT,
    UNKNOWN,
    answer,
    at_once,
    client,
    fake,
    in_thread,
    reset,
    silent,
)

PLAIN = Settings(https=False)


def application(hub: Client, settings: Settings = PLAIN) -> Flask:
    app = Flask("application")
    app.testing = True  # what is raised gets out

    @app.get("/")
    def home() -> Any:
        login = login_of(request.environ)
        if login.user is None:
            return redirect("/login")
        return render_template_string("{{ login.user }} {{ login.guard() }}", login=login)

    @app.post("/login")
    def log_in() -> Any:
        try:
            login_of(request.environ).log_in(
                request.form["user"],
                end=request.form.getlist("end"),
                max_sessions=request.form.get("places", 1, type=int),
                at_limit="refuse-new" if "places" in request.form else None,
                about={"device": request.user_agent.string},
            )
        except LimitReached as full:
            return [session.session for session in full.sessions], 409
        return redirect("/")

    @app.post("/logout")
    def log_out() -> Any:
        login_of(request.environ).log_out(request.form.get("session"))
        return redirect("/login")

    @app.post("/devices")
    def devices() -> Any:
        login = login_of(request.environ)
        if "end" in request.form:
            login.sign_out(request.form["end"])
        roster = login.devices()
        return [] if roster is None else [attrs.asdict(each) for each in roster.sessions]

    @app.get("/public")
    def public() -> str:
        return "for all"

    @app.get("/static/style")
    def style() -> str:
        return str("sse_trio.login" in request.environ)

    app.wsgi_app = SingleSession(app.wsgi_app, client=hub, settings=settings)  # type: ignore[method-assign]
    return app


def listed(answer: TestResponse) -> list[Any]:
    found = answer.json
    assert isinstance(found, list)
    return found


def is_in(browser: Browser) -> bool:
    answer = browser.get("/")
    assert answer.status_code in (200, 302)
    return answer.status_code == 200


async def test_two_browsers_another_user_and_a_logout(start: Start) -> None:
    hub = await start(join="ticket")
    tickets = []

    def steps() -> None:
        with client(hub.port) as asks:
            app = application(asks)
            first, second, third = (Browser(app) for _ in range(3))
            assert not is_in(first)
            answer = first.post("/login", data={"user": "ada"})
            (written,) = answer.headers.getlist("Set-Cookie")
            assert written.endswith("; Path=/; HttpOnly; SameSite=Lax")
            assert (answer.headers["Cache-Control"], answer.headers["Vary"]) == (
                "no-store",
                "Cookie",
            )
            page = first.get("/")
            assert page.headers.getlist("Set-Cookie") == []
            assert page.text.startswith("ada <script")
            tickets.append(ticket_in(page.text))
            # The second login: the first browser is out, and so is a copy of its cookie.
            second.post("/login", data={"user": "ada"})
            assert (is_in(first), is_in(second)) == (False, True)
            # The old browser logs out: nobody else does, and its cookie goes.
            answer = first.post("/logout")
            assert "Max-Age=0" in answer.headers["Set-Cookie"]
            assert is_in(second)
            # Another user in the same browser: the old login ends, also for a copy of its cookie.
            copy = second.get_cookie("sse_trio")
            second.post("/login", data={"user": "grace"})
            assert copy is not None
            third.set_cookie("sse_trio", copy.value)
            assert (is_in(second), is_in(third)) == (True, False)
            # A page of the old login says goodbye, with the cookie of the new one.
            second.post("/logout", data={"session": "another"})
            assert is_in(second)
            second.post("/logout")
            assert not is_in(second)

    await in_thread(steps)
    assert await verdict(hub, tickets[0]) == "terminate"


async def test_places_devices_and_the_same_browser_twice(start: Start) -> None:
    hub = await start(join="ticket")

    def steps() -> None:
        with client(hub.port) as asks:
            app = application(asks)
            laptop, phone, tablet = (Browser(app) for _ in range(3))
            ada = {"user": "ada", "places": "2"}
            laptop.post("/login", data=ada, headers={"User-Agent": "Laptop"})
            for _ in range(3):  # it takes its own place again
                phone.post("/login", data=ada, headers={"User-Agent": "Phone"})
            assert is_in(laptop)
            devices = listed(phone.post("/devices"))
            assert [each["about"]["device"] for each in devices] == ["Phone", "Laptop"]
            full = tablet.post("/login", data=ada)
            assert (full.status_code, is_in(tablet)) == (409, False)
            sessions = listed(full)
            assert sessions == [each["session"] for each in devices]
            tablet.post("/login", data=ada | {"end": sessions[1]})
            assert [is_in(each) for each in (laptop, phone, tablet)] == [False, True, True]
            assert len(listed(tablet.post("/devices", data={"end": sessions[0]}))) == 1
            assert not is_in(phone)
            assert listed(laptop.post("/devices")) == []

    await in_thread(steps)


def test_paths_that_are_left_out_ask_nothing() -> None:
    with fake(answer(200, UNKNOWN)) as hub, client(hub.port) as asks:
        browser = Browser(application(asks))
        browser.set_cookie("sse_trio", "a token")
        assert browser.get("/static/style").text == "False"
        assert hub.asked == []
        assert browser.get("/public").text == "for all"
        assert [path for path, _ in hub.asked] == ["/check"]


def test_what_nobody_asked_about_does_not_vary() -> None:
    with fake(answer(200, UNKNOWN)) as hub, client(hub.port) as asks:
        browser = Browser(application(asks))
        assert "Vary" not in browser.get("/public").headers
        assert browser.get("/").headers["Vary"] == "Cookie"
        assert hub.asked == []  # without a cookie there is nothing to ask


def test_an_application_without_the_middleware() -> None:
    with pytest.raises(LookupError, match=r"wsgi\.SingleSession, or its path is in leave_out$"):
        login_of({})


def test_a_hub_that_is_away_and_closed() -> None:
    with fake(silent) as hub, client(hub.port, timeout=SHORT) as asks:
        browser = Browser(application(asks))
        assert browser.get("/").location == "/login"  # an anonymous request is anonymous
        browser.set_cookie("sse_trio", "a token")
        answer = browser.get("/")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.headers["Cache-Control"] == "no-store"


async def test_a_hub_that_is_away_and_open(start: Start) -> None:
    hub = await start(join="ticket")
    settings = Settings(https=False, while_hub_away="open")

    def steps() -> None:
        with (
            fake(silent) as away,
            client(hub.port) as asks,
            client(away.port, timeout=SHORT, notify_timeout=SHORT) as asks_away,
        ):
            here, gone = application(asks, settings), application(asks_away, settings)
            ada, grace = Browser(here), Browser(here)
            ada.post("/login", data={"user": "ada"})
            grace.post("/login", data={"user": "grace"})
            outage = Browser(gone)

            def bring(name: str, browser: Browser) -> None:
                kept = browser.get_cookie(name)
                assert kept is not None
                outage.set_cookie(name, kept.value)

            bring("sse_trio", ada)
            assert not is_in(outage)  # nothing says who it is
            bring("sse_trio_open", grace)
            assert not is_in(outage)  # the statement is about another token
            bring("sse_trio_open", ada)
            page = outage.get("/")
            assert page.text.startswith("ada <script")
            assert ticket_in(page.text)  # the page joins when the hub is back
            forged = outage.get_cookie("sse_trio_open")
            assert forged is not None
            outage.set_cookie("sse_trio_open", forged.value[:-1] + "g")
            assert not is_in(outage)
            # A logout deletes both cookies.
            bring("sse_trio_open", ada)
            outage.post("/logout")
            assert outage.get_cookie("sse_trio") is outage.get_cookie("sse_trio_open") is None

    await in_thread(steps)


async def test_a_logout_while_the_hub_is_away(start: Start) -> None:
    """The browser is logged out at once; the hub is told when it is back."""
    hub = await start(join="ticket")
    done = threading.Event()

    def steps() -> None:
        with client(hub.port) as asks:
            login = asks.notify("ada")
            found = asks.check(login.token)

        def check(sock: Any, request: bytes) -> None:
            if b"/release" in request:
                answer(200, RELEASED)(sock, request)
                done.set()
            elif len(away.asked) < 3:
                reset(sock, request)
            else:
                answer(200, attrs.asdict(found))(sock, request)

        with fake(check) as away, client(away.port, timeout=SHORT, pauses=at_once) as asks:
            browser = Browser(application(asks))
            assert login.token is not None
            browser.set_cookie("sse_trio", login.token)
            away.behaviours[:] = [silent]
            assert browser.get("/").status_code == 503
            answered = browser.post("/logout")
            assert answered.location == "/login"
            assert browser.get_cookie("sse_trio") is None
            away.asked.clear()
            away.behaviours[:] = [check]
            assert done.wait(LOOSELY)
            path, members = away.asked[-1]
            assert (path, members["session"], members["epoch"]) == ("/release", login.session, 1)

    await in_thread(steps)


@pytest.mark.parametrize(("posted", "is_out"), [("s1", True), ("another", False)])
def test_a_guard_that_logs_out_while_the_hub_is_away(posted: str, is_out: bool) -> None:
    """The cookie itself says whose it is: nobody else is logged out."""
    with fake(answer(503, {}, "Retry-After: 60")) as hub, client(hub.port) as asks:
        browser = Browser(application(asks))
        browser.set_cookie("sse_trio", token(time.time(), time.time() + 60))
        browser.post("/logout", data={"session": posted})
        assert (browser.get_cookie("sse_trio") is None) is is_out
        browser.set_cookie("sse_trio", "head.WzFd.sign")
        browser.post("/logout", data={"session": posted})
        assert browser.get_cookie("sse_trio") is not None


def test_a_view_that_fails_after_the_login() -> None:
    """No answer has the cookie, so the login ends again."""
    with fake(answer(200, NOTIFIED)) as hub, client(hub.port) as asks:
        app = application(asks)

        @app.post("/fail")
        def fail() -> Any:
            login_of(request.environ).log_in("ada")
            raise RuntimeError("after the login")

        with pytest.raises(RuntimeError):
            Browser(app).post("/fail")
        assert [path for path, _ in hub.asked] == ["/notify", "/release"]


@pytest.mark.parametrize("status", [400, 500])
def test_an_error_after_the_login(status: int) -> None:
    """Frameworks make an answer of an exception: it logs nobody in."""
    with fake(answer(200, NOTIFIED)) as hub, client(hub.port) as asks:
        app = application(asks)
        app.testing = False  # what is raised becomes an answer

        @app.post("/fail")
        def fail() -> Any:
            login_of(request.environ).log_in("ada")
            abort(status)

        found = Browser(app).post("/fail")
        assert found.status_code == status
        (written,) = found.headers.getlist("Set-Cookie")
        assert written.startswith("sse_trio=; ")
        assert [path for path, _ in hub.asked] == ["/notify", "/release"]


def failing_before(environ: Any, start: Any) -> Any:
    login_of(environ).log_in("ada")
    start("200 OK", [])
    raise RuntimeError("before the body")


def failing_in_the_body(environ: Any, start: Any) -> Any:
    login_of(environ).log_in("ada")
    start("200 OK", [])
    return iter_failing(b"")


def iter_failing(*pieces: bytes) -> Any:
    yield from pieces
    raise RuntimeError("in the body")


def a_generator(environ: Any, start: Any) -> Any:
    login_of(environ).log_in("ada")
    yield from iter_failing(b"")


def sending(environ: Any, start: Any) -> Any:
    login_of(environ).log_in("ada")
    start("200 OK", [])
    return iter_failing(b"", b"a piece")


def writing(environ: Any, start: Any) -> Any:
    login_of(environ).log_in("ada")
    start("200 OK", [])(b"a piece")
    raise RuntimeError("after the first piece")


@pytest.mark.parametrize(
    ("app", "is_taken_back"),
    [
        (failing_before, True),
        (failing_in_the_body, True),
        (a_generator, True),
        (sending, False),
        (writing, False),
    ],
)
def test_an_application_that_fails_before_its_head_is_sent(app: Any, is_taken_back: bool) -> None:
    """The server has sent nothing until the first piece of the body comes."""
    check = [answer(200, ACTIVE)] * (app is not a_generator)
    with fake(answer(200, NOTIFIED), *check, answer(200, RELEASED)) as hub:
        with client(hub.port) as asks:
            wrapped = SingleSession(app, client=asks, settings=PLAIN)
            with pytest.raises(RuntimeError):
                list(wrapped({"PATH_INFO": "/"}, lambda *_: lambda piece: None))
        assert (hub.asked[-1][0] == "/release") is is_taken_back


def test_a_body_is_closed_and_passed_on() -> None:
    class Body:
        closed = 0

        def __iter__(self) -> Any:
            return iter([b"a", b"b"])

        def close(self) -> None:
            self.closed += 1

    body = Body()

    def app(environ: Any, start: Any) -> Any:
        if environ["PATH_INFO"] == "/login":
            login_of(environ).log_in("ada")
        start("200 OK", [])
        return body

    with fake(answer(200, NOTIFIED), answer(200, ACTIVE)) as hub, client(hub.port) as asks:
        wrapped = SingleSession(app, client=asks, settings=PLAIN)
        found: Any = wrapped({"PATH_INFO": "/login"}, lambda *_: None)
        assert list(found) == [b"a", b"b"]
        found.close()
        assert body.closed == 1
        # Without a login it is the very same: servers know their own kind of file.
        assert wrapped({"PATH_INFO": "/"}, lambda *_: None) is body


def test_a_yes_is_remembered_if_that_is_wanted() -> None:
    with fake(answer(200, ACTIVE)) as hub, client(hub.port) as asks:
        browser = Browser(application(asks, Settings(https=False, remember=5)))
        browser.set_cookie("sse_trio", "a token")
        for _ in range(3):
            browser.get("/public")
        assert len(hub.asked) == 1
        hub.behaviours[:] = [answer(200, UNKNOWN)]
        browser.set_cookie("sse_trio", "another token")
        for _ in range(3):
            assert not is_in(browser)
        assert len(hub.asked) == 4  # a "no" is not remembered
        # Nor is a login that has logged out.
        browser.set_cookie("sse_trio", "a token")
        hub.behaviours[:] = [answer(200, RELEASED), answer(200, UNKNOWN)]
        browser.post("/logout")
        browser.set_cookie("sse_trio", "a token")
        assert not is_in(browser)


@pytest.mark.parametrize("wrong", ["", "\ud800", "a\nb", "x" * 257])
def test_a_form_may_name_anything(wrong: str) -> None:
    with fake(answer(200, ACTIVE), answer(200, NOTIFIED)) as hub, client(hub.port) as asks:
        login = Login(asks, SharedByCookies(PLAIN, asks), "/", [b"sse_trio=a.token"])
        asks.run(login.arriving())
        assert login.sign_out(wrong) is None
        # The browser's own session has its place before those that a form names.
        login.log_in("ada", end=[wrong, *(f"s{number}" for number in range(29, 0, -1))])
        assert [path for path, _ in hub.asked] == ["/check", "/notify"]
        assert hub.asked[1][1]["end"] == ["s1", *(f"s{number}" for number in range(29, 14, -1))]


def test_two_different_cookies_are_none() -> None:
    with fake(answer(200, ACTIVE)) as hub, client(hub.port) as asks:
        app = application(asks)
        for cookie in ("sse_trio=a; sse_trio=b", "sse_trio=\xe9", "sse_trio=", "other=a"):
            found = Browser(app, use_cookies=False).get("/", headers={"Cookie": cookie})
            assert found.location == "/login"
        assert hub.asked == []
        same = Browser(app, use_cookies=False).get(
            "/public", headers={"Cookie": "sse_trio=a; sse_trio=a"}
        )
        assert same.status_code == 200
        assert hub.asked[0][1]["token"] == "a"


def token(issued: float, expires: float) -> str:
    """What looks like a token of the hub: only its session and its times are read."""
    claims = {"session": "s1", "iat": issued, "exp": expires}
    encoded = base64.urlsafe_b64encode(json.dumps(claims).encode())
    return f"head.{encoded.decode().rstrip('=')}.signature"


@pytest.mark.parametrize("persistent", [True, False])
def test_a_cookie_is_renewed_when_its_token_grows_old(persistent: bool) -> None:
    now = time.time()
    day = 24 * 3600
    fresh = ACTIVE | {"token": token(now, now + 30 * day), "ticket": "t"}
    settings = Settings(https=False, persistent=persistent)
    with fake(answer(200, fresh)) as hub, client(hub.port) as asks:
        browser = Browser(application(asks, settings))
        browser.set_cookie("sse_trio", token(now - day, now + 29 * day))
        assert browser.get("/").headers.getlist("Set-Cookie") == []
        browser.set_cookie("sse_trio", token(now - 4 * day, now + 26 * day))
        (written,) = browser.get("/").headers.getlist("Set-Cookie")
        assert written.startswith(f"sse_trio={fresh['token']}; ")
        age = written.partition("; Max-Age=")[2]
        assert (30 * day - 60 < int(age) <= 30 * day) if persistent else not age


@pytest.mark.parametrize("later", [answer(200, UNKNOWN), answer(503, {}, "Retry-After: 60")])
def test_a_cookie_is_not_renewed_when_its_login_has_ended_meanwhile(later: Any) -> None:
    """The browser may have the cookie of a newer login: nothing may overwrite that."""
    now, day = time.time(), 24 * 3600
    fresh = ACTIVE | {"token": token(now, now + 30 * day), "ticket": "t"}
    settings = Settings(https=False, while_hub_away="open")
    with fake(answer(200, fresh), later) as hub, client(hub.port) as asks:
        browser = Browser(application(asks, settings))
        browser.set_cookie("sse_trio", token(now - 4 * day, now + 26 * day))
        found = browser.get("/public")
        assert (found.status_code, found.headers.getlist("Set-Cookie")) == (200, [])
        assert [path for path, _ in hub.asked] == ["/check", "/check"]
        assert hub.asked[1][1]["token"] == fresh["token"]


def test_the_guard() -> None:
    with fake(answer(200, ACTIVE | {"ticket": "a.b"})) as hub:
        settings = Settings(https=False, redirect="/in", hub="https://sessions.example/")
        app = Flask("guards")

        @app.get("/")
        def home() -> str:
            login = login_of(request.environ)
            return login.guard() + "\n" + login.guard(logout='/out?"', notice=False, redirect=False)

        with client(hub.port) as asks:
            app.wsgi_app = SingleSession(app.wsgi_app, client=asks, settings=settings)  # type: ignore[method-assign]
            browser = Browser(app)
            browser.set_cookie("sse_trio", "a token")
            script, first, again, second = browser.get("/").text.splitlines()
    assert script == again
    assert script == '<script type="module" src="https://sessions.example/client.js"></script>'
    start = '<session-guard src="https://sessions.example/ws" ticket="a.b" share'
    assert first == f'{start} notice redirect="/in"></session-guard>'
    assert second == f'{start} logout="/out?&quot;"></session-guard>'


@pytest.mark.parametrize(
    "wrong",
    [{"while_hub_away": "ajar"}, {"remember": 6}, {"remember": -1}, {"leave_out": ["static"]}],
)
def test_settings_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Settings(**wrong)


def test_the_cookies_name_and_its_attributes(caplog: pytest.LogCaptureFixture) -> None:
    with fake(answer(200, NOTIFIED), answer(200, ACTIVE)) as hub, client(hub.port) as asks:
        browser = Browser(application(asks, Settings()))
        assert caplog.messages == []
        (written,) = browser.post("/login", data={"user": "ada"}).headers.getlist("Set-Cookie")
        assert written.startswith("__Host-sse_trio=a.token; ")
        assert written.endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")
        application(asks, Settings(https=False, token_cookie="shop"))
        assert "plain http: the cookie shop" in caplog.text


def test_that_the_hub_is_away_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    with fake(answer(503, {}, "Retry-After: 5")) as hub, client(hub.port) as asks:
        browser = Browser(application(asks))
        caplog.clear()
        browser.set_cookie("sse_trio", "a token")
        for _ in range(3):
            assert browser.get("/").headers["Retry-After"] == "5"
        hub.behaviours[:] = [answer(200, ACTIVE)]
        for _ in range(2):
            assert is_in(browser)
    away, back = caplog.messages
    assert away.startswith("the hub is unreachable, and requests are answered 503: ")
    assert back == "the hub answers again"
    assert "a token" not in caplog.text
