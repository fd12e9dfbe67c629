"""The walk-through of the demo, in two browsers and more."""

import re
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ..browser.conftest import DEFAULT, FLAGS, NewContext, executable
from .conftest import StartDemo
from .pages import (
    NAMES,
    Trouble,
    cookies,
    fill_in,
    is_ended,
    is_guarded,
    leave,
    me,
    notice,
    sign_in,
)
from .processes import DemoProcess
from .shifted import shifted

AGAIN = "Your account was used to log in again"
ELSEWHERE = f"{AGAIN}, with Chrome on"
ENDED = "Your session has ended."


@pytest.fixture
def trouble() -> Trouble:
    return Trouble()


@pytest.fixture
def new_browser(new_context: NewContext, trouble: Trouble) -> NewContext:
    """A context whose pages have to be without errors."""
    return lambda: trouble.watch(new_context())


def new_tab(context: BrowserContext, demo: DemoProcess) -> Page:
    """One more tab of a login."""
    tab = context.new_page()
    tab.goto(f"{demo.origin}/")
    is_guarded(tab)
    return tab


@pytest.mark.parametrize("remember", [False, True])
def test_the_second_login_ends_the_first(
    new_browser: NewContext, demo: DemoProcess, trouble: Trouble, *, remember: bool
) -> None:
    a, b = new_browser(), new_browser()
    first = a.new_page()
    sign_in(first, demo, remember=remember)
    second = new_tab(a, demo)
    posted = []
    a.on("response", lambda answer: posted.append(answer) if "/logout" in answer.url else None)
    old = cookies(a)

    new = b.new_page()
    sign_in(new, demo)
    for tab in (first, second):
        is_ended(tab, ELSEWHERE)
        expect(tab.locator("#events li").first).to_contain_text('"type":"terminated"')
    assert me(a, demo) == 401

    # Each has told the server; and is led away.
    for tab in (first, second):
        leave(tab)
        tab.wait_for_url(f"{demo.origin}/login")
        expect(tab.get_by_text("You have been logged out")).to_be_visible()
    assert [(answer.status, answer.header_value("set-cookie")) for answer in posted] == 2 * [
        (204, None)
    ]

    # The cookies are still there, and worth nothing, also where they outlive the browser.
    assert cookies(a) == old
    for path in ("/", "/login"):
        second.goto(f"{demo.origin}{path}")
        expect(second.get_by_role("button", name="Log in")).to_be_visible()

    # The new login works on.
    new.get_by_role("button", name="Ask again").click()
    expect(new.locator("#message")).to_be_empty()
    new.reload()
    is_guarded(new)
    expect(notice(new)).to_have_count(0)
    assert me(b, demo) == 200

    # And is ended in its turn.
    fill_in(second, demo)
    is_ended(new, ELSEWHERE)
    assert trouble == []


@pytest.mark.parametrize("user", ["ada", "grace"])
def test_a_second_login_in_the_same_browser_stays(
    new_browser: NewContext, demo: DemoProcess, trouble: Trouble, user: str
) -> None:
    context = new_browser()
    old, new = context.new_page(), context.new_page()
    new.goto(f"{demo.origin}/login")
    sign_in(old, demo)
    with old.expect_response("**/logout") as logout:
        fill_in(new, demo, user)
    held = cookies(context)
    is_ended(old, AGAIN)
    assert (logout.value.status, logout.value.header_value("set-cookie")) == (204, None)
    assert cookies(context) == held
    assert me(context, demo) == 200
    # The old tab is led into the new login.
    leave(old)
    old.wait_for_url(f"{demo.origin}/")
    is_guarded(old)
    is_guarded(new)
    expect(old.locator("[data-me=user]")).to_have_text(user)
    assert trouble == []


def test_a_remembered_login_outlives_the_browser(
    browser: Browser, demo: DemoProcess, tmp_path: Path
) -> None:
    def open_again() -> BrowserContext:
        return browser.browser_type.launch_persistent_context(
            tmp_path, executable_path=executable(DEFAULT), args=FLAGS
        )

    with open_again() as context:
        sign_in(context.new_page(), demo, "grace")
    with open_again() as context:
        page = context.new_page()
        page.goto(f"{demo.origin}/")
        assert page.url == f"{demo.origin}/login"
        assert cookies(context) == {}
        sign_in(page, demo, remember=True)
    with open_again() as context:
        page = context.new_page()
        page.goto(f"{demo.origin}/")
        assert page.url == f"{demo.origin}/"
        assert set(cookies(context)) == set(NAMES)


def test_a_login_that_nobody_uses_ends(new_browser: NewContext, start_demo: StartDemo) -> None:
    demo = start_demo(command=shifted)
    context = new_browser()
    page = context.new_page()
    sign_in(page, demo)
    # With a contact now and then it lasts.
    for _ in range(3):
        demo.move(minutes=19)
        # The text is there from the last time, so it is the answer that is waited for.
        with page.expect_response(f"{demo.origin}/api/me"):
            page.get_by_role("button", name="Ask again").click()
        expect(page.locator("[data-me=asked]")).to_have_text("from the hub and the store")
    seen = page.evaluate("fetch('/api/sessions?poll').then((answer) => answer.json())")[0]["seen"]

    # What the page asks by itself is none.
    demo.move(minutes=19)
    polled = page.evaluate("fetch('/api/sessions?poll').then((answer) => answer.json())")
    assert [session["seen"] for session in polled] == [seen]
    assert page.evaluate("fetch('/api/me?poll').then((answer) => answer.status)") == 200
    demo.move(minutes=2)
    # So this one, which the page does by itself too, leads away.
    page.wait_for_url(f"{demo.origin}/login", timeout=20_000)
    expect(page.get_by_text("because you were away")).to_be_visible()
    assert me(context, demo) == 401
    page.goto(f"{demo.origin}/")
    assert page.url == f"{demo.origin}/login"


def test_with_new_keys_everyone_logs_in_again(
    new_browser: NewContext, demo: DemoProcess, trouble: Trouble
) -> None:
    a, admin = new_browser(), new_browser()
    page, administration = a.new_page(), admin.new_page()
    sign_in(page, demo)
    expect(page.get_by_role("button", name="Generate")).to_have_count(0)
    sign_in(administration, demo, "radia")
    administration.get_by_role("button", name="Generate new keys").click()
    administration.wait_for_url(f"{demo.origin}/login")
    assert [me(context, demo) for context in (a, admin)] == [401, 401]
    page.reload()
    for led in (page, administration):
        expect(led.get_by_text("there are new keys")).to_be_visible()
    fill_in(page, demo)
    assert trouble == []


def test_logout_ends_all_of_the_users_sessions(
    new_browser: NewContext, start_demo: StartDemo, trouble: Trouble
) -> None:
    demo = start_demo("--max-sessions", "3")
    a, b, c = (new_browser() for _ in range(3))
    pages = [context.new_page() for context in (a, b, c)]
    for page in pages:
        sign_in(page, demo, remember=True)
    others = [*pages[1:], new_tab(a, demo)]
    bystander = new_browser().new_page()
    sign_in(bystander, demo, "grace")

    with pages[0].expect_response("**/logout") as logout:
        pages[0].get_by_role("button", name="Log out everywhere").click()
    assert logout.value.header_value("clear-site-data") == '"storage"'
    pages[0].wait_for_url(f"{demo.origin}/login")
    # Who has logged out is not told about it.
    expect(pages[0].get_by_text("logged out")).to_have_count(0)
    assert a.cookies() == []
    for page in others:
        is_ended(page, ENDED)
    assert [me(context, demo) for context in (b, c)] == [401, 401]
    bystander.reload()
    is_guarded(bystander)
    assert trouble == []


@pytest.mark.parametrize("remember", [False, True])
def test_the_cookies(new_browser: NewContext, demo: DemoProcess, *, remember: bool) -> None:
    context = new_browser()
    page = context.new_page()
    sign_in(page, demo, remember=remember)
    held = cookies(context)
    assert tuple(sorted(held)) == NAMES
    now = page.evaluate("Date.now()") / 1000
    for name, cookie in held.items():
        assert cookie["httpOnly"] is (name == "nr1Users")
        assert cookie["sameSite"] == "Lax"
        assert cookie["path"] == "/"
        assert cookie["secure"] is False  # as the demo is without HTTPS
        if remember:
            assert cookie["expires"] - now == pytest.approx(30 * 86400, abs=60)
        else:
            assert cookie["expires"] == -1
    name, _, value = page.evaluate("document.cookie").partition("=")
    assert name == "nr2Users"
    assert set(parse_qs(value)) == {"crf", "uid", "unm"}


def test_my_sessions(new_browser: NewContext, start_demo: StartDemo, trouble: Trouble) -> None:
    demo = start_demo("--max-sessions", "3")
    a, b, c = (new_browser() for _ in range(3))
    page = a.new_page()
    sign_in(page, demo)
    rows = page.get_by_role("region", name="My sessions").get_by_role("listitem")
    expect(rows).to_have_count(1)
    expect(page.get_by_role("button", name="End the others")).to_be_hidden()
    others = [context.new_page() for context in (b, c)]
    for other in others:
        sign_in(other, demo)
    # The list finds out by itself, the newest first.
    expect(rows).to_have_count(3, timeout=20_000)
    expect(rows.filter(has_text="this one")).to_have_count(1)
    expect(rows.last).to_contain_text("this one")
    expect(rows.first).to_contain_text(
        re.compile("Chrome on .*127.0.0.1 ?not remembered", re.DOTALL)
    )

    # End one: another, and no more.
    rows.first.get_by_role("button").click()
    expect(rows).to_have_count(2)
    is_ended(others[1], ENDED)
    assert [me(context, demo) for context in (a, b, c)] == [200, 200, 401]

    # End the others.
    page.get_by_role("button", name="End the others").click()
    expect(rows).to_have_count(1)
    is_ended(others[0], ENDED)
    assert [me(context, demo) for context in (a, b)] == [200, 401]

    # End this one.
    page.get_by_role("button", name="End this session").click()
    page.wait_for_url(f"{demo.origin}/login")
    assert a.cookies() == []
    assert trouble == []


def test_one_more_than_the_limit_ends_the_oldest(
    new_browser: NewContext, start_demo: StartDemo
) -> None:
    demo = start_demo("--max-sessions", "2")
    contexts = [new_browser() for _ in range(3)]
    pages = [context.new_page() for context in contexts]
    for page in pages:
        sign_in(page, demo)
    is_ended(pages[0], ELSEWHERE)
    assert [me(context, demo) for context in contexts] == [401, 200, 200]


def test_a_wrong_password_is_said_in_the_form(new_context: NewContext, demo: DemoProcess) -> None:
    page = new_context().new_page()
    page.goto(f"{demo.origin}/login")
    page.get_by_role("textbox", name="User").fill("ada")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text(
        "There is no such user, or the password is wrong."
    )
    # The users of the demo are a click away.
    page.get_by_role("button", name="Ada Lovelace").click()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{demo.origin}/")


def test_a_server_that_is_gone_is_said(new_context: NewContext, start_demo: StartDemo) -> None:
    demo = start_demo()
    page = new_context().new_page()
    sign_in(page, demo)
    assert demo.end() == 0
    expect(page.get_by_role("status")).to_have_text("offline", timeout=20_000)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("alert")).to_have_text("The server cannot be reached.")


def test_a_page_that_is_not_guarded_says_so(new_context: NewContext, demo: DemoProcess) -> None:
    page = new_context().new_page()
    page.route("**/client.js", lambda route: route.abort())
    page.goto(f"{demo.origin}/login")
    page.get_by_role("button", name="Ada Lovelace").click()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("error")


def test_pages_fit_a_phone(new_browser: NewContext, start_demo: StartDemo) -> None:
    demo = start_demo("--max-sessions", "3")
    page = new_browser().new_page()
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto(f"{demo.origin}/login")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    sign_in(page, demo, "radia")
    expect(page.locator("#events li")).not_to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
