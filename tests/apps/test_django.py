"""Django, with its own session store in SQLite, and a real hub."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.contrib import auth
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse, JsonResponse
from django.shortcuts import redirect
from django.test import Client as Browser
from django.test.utils import override_settings
from django.urls import path

from sse_trio.apps import LimitReached
from sse_trio.errors import ConfigError

from ..applications.examples import APPLICATIONS, verdict
from ..support import KEY, Start
from ..test_proxies import recipe
from .support import ACTIVE, NOTIFIED, RELEASED, SHORT, answer, fake, in_thread, silent, urls


def home(request: Any) -> Any:
    if not request.user.is_authenticated:
        ended = request.sse_trio.ended
        return HttpResponse("nobody" if ended is None else f"nobody: {ended.reason}")
    return HttpResponse(f"{request.user.username} {request.sse_trio.guard()}")


def log_in(request: Any) -> Any:
    user = auth.authenticate(request, username=request.POST["user"], password="x")
    if "choose" in request.POST:
        try:
            auth.login(request, user)
        except LimitReached as full:
            return JsonResponse([each.session for each in full.sessions], safe=False, status=409)
    else:
        auth.login(request, user)
    if "fail" in request.POST:
        raise RuntimeError("the view fails after the login")
    if "refuse" in request.POST:
        raise PermissionDenied
    if "twice" in request.POST:  # the second click is faster
        again = Browser()
        if "sessionid" in request.COOKIES:
            again.cookies["sessionid"] = request.COOKIES["sessionid"]
        again.post("/login", {"user": "ada"})
        return HttpResponse(again.cookies["sessionid"].value)
    return redirect("/")


def log_out(request: Any) -> Any:
    auth.logout(request)
    return redirect("/")


def devices(request: Any) -> Any:
    if "end" in request.POST:
        request.sse_trio.sign_out(request.POST["end"])
    roster = request.sse_trio.devices()
    return JsonResponse([] if roster is None else [e.session for e in roster.sessions], safe=False)


def session(request: Any) -> Any:
    return HttpResponse(request.sse_trio.session)


def cycle(request: Any) -> Any:
    request.session.cycle_key()  # as a change of the password does
    return HttpResponse()


def outside(request: Any) -> Any:
    return HttpResponse(f"{hasattr(request, 'sse_trio')} {request.user.is_authenticated}")


def by_guard(request: Any) -> Any:
    views: dict[str, Any] = {}
    exec(recipe("Django", "python views", APPLICATIONS), views)
    return views["log_out_by_guard"](request)


urlpatterns = [
    path("", home),
    path("login", log_in),
    path("logout", log_out),
    path("devices", devices),
    path("by-guard", by_guard),
    path("cycle", cycle),
    path("session", session),
    path("static/x", outside),
]


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("django") / "db.sqlite3"
    settings.configure(
        SECRET_KEY="a secret of the tests",
        ALLOWED_HOSTS=["testserver"],
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": file}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "sse_trio.apps.django.SingleSession",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=__name__,
    )
    django.setup()
    call_command("migrate", verbosity=0)
    from django.contrib.auth.models import User

    for name in ("ada", "grace"):
        User.objects.create_user(name, password="x")
    connection.close()
    yield file
    connection.close()


def hub_at(port: int, **more: Any) -> Any:
    return override_settings(SSE_TRIO={"url": urls(port), "key": KEY, **more})


def in_django(steps: Any) -> Any:
    """Do this in a thread, whose connection to the database ends with it."""

    def do() -> None:
        try:
            steps()
        finally:
            connection.close()

    return in_thread(do)


def who(browser: Browser) -> str:
    return str(browser.get("/").content.decode()).partition("<")[0].rstrip()


def stored() -> int:
    from django.contrib.sessions.models import Session

    return int(Session.objects.count())


@pytest.mark.usefixtures("database")
async def test_django(start: Start) -> None:
    hub = await start(join="ticket")
    tickets: list[str] = []

    def steps() -> None:
        first, second, third = (Browser() for _ in range(3))
        for browser in (first, second):
            browser.post("/login", {"user": "ada"})
        # The first session is gone from the store before its browser comes again.
        assert stored() == 2  # one session, and where it is
        assert (who(first), who(second)) == ("nobody", "ada")
        page = second.get("/").content.decode()
        tickets.append(page.partition('ticket="')[2].partition('"')[0])
        # The same browser again: the old session ends, whichever user logs in.
        third.cookies["sessionid"] = second.cookies["sessionid"].value
        second.post("/login", {"user": "ada"})
        assert (who(second), who(third)) == ("ada", "nobody")
        second.post("/cycle")
        third.cookies["sessionid"] = second.cookies["sessionid"].value
        second.post("/login", {"user": "grace"})
        assert (who(second), who(third)) == ("grace", "nobody")
        # Where Django's session was moved, it is found.
        second.post("/cycle")
        first.post("/login", {"user": "grace"})
        assert stored() == 2
        assert (who(first), who(second)) == ("grace", "nobody")
        first.post("/logout")
        assert who(first) == "nobody"
        first.post("/login", {"user": "ada"})
        assert first.get("/static/x").content == b"False False"
        # The guard of an old page logs nobody out but its own login.
        assert first.post("/by-guard", {"session": "another"}).status_code == 204
        assert who(first) == "ada"
        own = first.get("/session").content.decode()
        assert first.post("/by-guard", {"session": own}).status_code == 204
        assert who(first) == "nobody"

    with hub_at(hub.port):
        await in_django(steps)
    assert await verdict(hub, tickets[0]) == "terminate"
    assert hub.sessions("1").sessions == hub.sessions("2").sessions == ()


@pytest.mark.usefixtures("database")
async def test_django_with_places(start: Start) -> None:
    hub = await start(join="ticket")

    def announcement(request: Any, user: Any) -> dict[str, Any]:
        return {
            "max_sessions": 2,
            "at_limit": "refuse-new",
            "about": {"device": request.headers["User-Agent"]},
            "end": request.POST.getlist("end"),
        }

    def steps() -> None:
        phone, laptop, tablet = (Browser(headers={"User-Agent": "a device"}) for _ in range(3))
        for browser in (phone, laptop, laptop):
            browser.post("/login", {"user": "ada"})
        assert who(phone) == who(laptop) == "ada"
        refused = tablet.post("/login", {"user": "ada"})
        assert (refused.status_code, who(tablet)) == (409, "nobody")
        full = tablet.post("/login", {"user": "ada", "choose": "1"})
        newest, older = full.json()
        assert (full.status_code, who(tablet)) == (409, "nobody")
        assert phone.post("/devices").json() == [newest, older]
        tablet.post("/login", {"user": "ada", "choose": "1", "end": older})
        assert (who(phone), who(laptop), who(tablet)) == ("nobody", "ada", "ada")
        assert len(tablet.post("/devices", {"end": newest}).json()) == 1
        assert who(laptop) == "nobody"
        assert laptop.post("/devices").json() == []
        # A view that fails after the login: Django does not keep the session, so it ends.
        laptop.raise_request_exception = False
        assert laptop.post("/login", {"user": "grace", "fail": "1"}).status_code == 500
        assert who(laptop) == "nobody"
        # So it is with every answer that is an error.
        assert laptop.post("/login", {"user": "grace", "refuse": "1"}).status_code == 403
        assert who(laptop) == "nobody"

    names = {"room": lambda user: user.username, "announcement": announcement}
    with hub_at(hub.port, **names):
        await in_django(steps)
    assert len(hub.sessions("ada").sessions) == 1
    assert hub.sessions("grace").sessions == ()


@pytest.mark.usefixtures("database")
async def test_sessions_in_signed_cookies(start: Start) -> None:
    """Such a session is its own key: it may not have its key in it."""
    hub = await start(join="ticket")

    def steps() -> None:
        first, second = Browser(), Browser()
        before = stored()
        first.post("/login", {"user": "ada"})
        cookie = first.cookies["sessionid"].value
        assert len(cookie) < 1000
        for _ in range(2):
            assert who(first) == "ada"
        assert first.cookies["sessionid"].value == cookie
        second.post("/login", {"user": "ada"})
        assert (who(first), who(second)) == ("nobody: login", "ada")
        second.post("/logout")
        assert stored() == before

    engine = "django.contrib.sessions.backends.signed_cookies"
    with hub_at(hub.port), override_settings(SESSION_ENGINE=engine):
        await in_django(steps)
    assert hub.sessions("1").sessions == ()


@pytest.mark.usefixtures("database")
async def test_two_logins_at_once_in_one_browser(start: Start) -> None:
    """The answer that comes last is that of the login which has ended: it must not win."""
    hub = await start(join="ticket")

    def steps() -> None:
        browser = Browser()
        twice = {"user": "ada", "twice": "1"}
        before = stored()
        for _ in range(2):  # the second time the browser brings the session of its login
            answered = browser.post("/login", twice)
            assert "sessionid" not in answered.cookies
            browser.cookies["sessionid"] = answered.content.decode()
            assert who(browser) == "ada"
            assert stored() == before + 2  # one session, and where it is
        browser.post("/logout")

    with hub_at(hub.port):
        await in_django(steps)
    assert hub.sessions("1").sessions == ()


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("choice", ["open", "closed"])
async def test_django_while_the_hub_is_away(choice: str) -> None:
    def steps() -> None:
        with fake(answer(200, NOTIFIED)) as hub:
            here = partial(hub_at, hub.port, while_hub_away=choice)
            # Only a hub that says nothing has little time: one that answers may take long.
            gone = partial(here, timeout=SHORT, notify_timeout=SHORT)
            with here():
                browser, other = Browser(), Browser()
                browser.post("/login", {"user": "ada"})
                hub.behaviours[:] = [answer(200, ACTIVE)]
                assert who(browser) == "ada"
            hub.behaviours[:] = [silent]
            with gone():
                found = browser.get("/")
                if choice == "open":
                    assert found.content.startswith(b"ada <script")
                else:
                    assert (found.status_code, found["Retry-After"]) == (503, "1")
                assert who(other) == "nobody"
                # Nobody logs in meanwhile, and nothing is left of it.
                assert other.post("/login", {"user": "grace"}).status_code == 503
                assert who(other) == "nobody"
            hub.behaviours[:] = [answer(200, ACTIVE)]
            with here():
                assert who(browser) == "ada"
            # A logout is one, and the hub is told later.
            hub.behaviours[:] = [silent]
            with gone():
                assert browser.post("/logout").status_code == 302
            hub.behaviours[:] = [answer(200, RELEASED)]
            with here():
                assert who(browser) == "nobody"

    await in_django(steps)


@pytest.mark.usefixtures("database")
async def test_a_session_from_before_the_middleware() -> None:
    def steps() -> None:
        browser = Browser()
        with override_settings(MIDDLEWARE=settings.MIDDLEWARE[:-1]):
            Browser.login(browser, username="ada", password="x")
        with fake(silent) as hub, hub_at(hub.port):
            assert who(browser) == "nobody"

    await in_django(steps)


@pytest.mark.usefixtures("database")
def test_a_setting_that_is_none() -> None:
    with hub_at(1, while_hub_away="ajar"), pytest.raises(ConfigError):
        Browser().get("/")
    with hub_at(1, colour="red"), pytest.raises(ConfigError, match="colour"):
        Browser().get("/")
