"""What users do, and what becomes of them: the same for every application of `docs/examples/`."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Response, expect

from ..browser.conftest import NewContext
from ..browser.processes import DEADLINE
from .applications import Application

PASSWORDS = {"ada": "analytical engine", "grace": "first compiler"}

expect.set_options(timeout=1000 * DEADLINE)

NewPage = Callable[[], Page]


@pytest.fixture
def new_page(new_context: NewContext) -> NewPage:
    """``page = new_page()``: in a browser of its own."""
    return lambda: new_context().new_page()


def log_in(application: Application, page: Page, user: str = "ada") -> None:
    fill_in(application, page, user)
    is_logged_in(page, user)


def fill_in(application: Application, page: Page, user: str = "ada") -> Response:
    """Send the form of the login; return the answer."""
    page.goto(application.origin + application.login)
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill(PASSWORDS[user])
    with page.expect_response(lambda response: response.request.method == "POST") as sent:
        page.get_by_role("button", name="Log in").click()
    return sent.value


def is_logged_in(page: Page, user: str = "ada") -> None:
    expect(page.get_by_role("heading", name=f"Hello {user}")).to_be_visible()
    page.wait_for_function("document.querySelector('session-guard')?.guard?.state === 'joined'")


def is_logged_out(page: Page) -> None:
    expect(page.locator("[name=password]")).to_be_visible()


def read_the_notice(page: Page) -> None:
    """Wait for it, and go on."""
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.get_by_role("alertdialog").get_by_role("button").click()


def notices(page: Page) -> list[str]:
    """The sessions whose end the pages of this tab hear of, from now on."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(message.text))
    page.evaluate("addEventListener('session-expired', () => console.log('session-expired'))")
    return heard


def test_two_browsers(application: Application, new_page: NewPage) -> None:
    first, second = new_page(), new_page()
    log_in(application, first)
    cookies = first.context.cookies()
    assert application.accepts(cookies)
    log_in(application, second)
    assert not application.accepts(cookies)
    read_the_notice(first)
    is_logged_out(first)
    assert application.accepts(second.context.cookies())


def test_a_replayed_cookie(application: Application, new_page: NewPage) -> None:
    first, second = new_page(), new_page()
    log_in(application, first)
    cookies = first.context.cookies()
    login = [each for each in cookies if not application.is_readable(each["name"])]
    assert login
    assert all(each["httpOnly"] and each["sameSite"] == "Lax" for each in login)
    first.close()
    log_in(application, second)
    second.close()
    assert not application.accepts(cookies)
    # No part of it is worth anything without the others, nor beside those of the new login.
    for cookie in cookies:
        assert not application.accepts([cookie])
    # To try it has changed nothing.
    assert application.accepts(second.context.cookies())


def test_offline(application: Application, new_page: NewPage) -> None:
    first, second = new_page(), new_page()
    log_in(application, first)
    first.context.set_offline(True)
    log_in(application, second)
    expect(first.get_by_role("heading", name="Hello ada")).to_be_visible()
    expect(first.get_by_role("alertdialog")).to_have_count(0)
    first.context.set_offline(False)
    read_the_notice(first)
    is_logged_out(first)


@pytest.mark.parametrize("user", ["ada", "grace"], ids=["the_same_user", "another_user"])
def test_the_same_browser_twice(application: Application, new_page: NewPage, user: str) -> None:
    tab = new_page()
    other = tab.context.new_page()
    log_in(application, tab)
    cookies = tab.context.cookies()
    log_in(application, other, user)
    assert not application.accepts(cookies)
    assert application.accepts(tab.context.cookies())
    # The tab of the old login says that this has ended, and goes on with the new one.
    read_the_notice(tab)
    is_logged_in(tab, user)
    expect(other.get_by_role("alertdialog")).to_have_count(0)


def test_two_clicks(application: Application, new_page: NewPage) -> None:
    """The answer to a login comes after that to the one by which it has ended."""
    tab = new_page()
    other = tab.context.new_page()
    tab.goto(application.origin + application.login)
    tab.locator("[name=username]").fill("ada")
    tab.locator("[name=password]").fill(PASSWORDS["ada"])
    application.relay.hold()
    try:
        with tab.expect_response(lambda response: response.request.method == "POST"):
            tab.get_by_role("button", name="Log in").click(no_wait_after=True)
            application.relay.wait_until_held()
            log_in(application, other)
            application.relay.go_on()
    finally:
        application.relay.go_on()
    tab.wait_for_load_state()
    other.goto(application.origin)
    is_logged_in(other)


def test_logout(application: Application, new_page: NewPage) -> None:
    page, grace = new_page(), new_page()
    tab = page.context.new_page()
    log_in(application, page)
    tab.goto(application.origin)
    is_logged_in(tab)
    log_in(application, grace, "grace")
    cookies = page.context.cookies()
    heard, heard_by_grace = notices(page), notices(grace)
    page.get_by_role("button", name="Log out").click()
    is_logged_out(page)
    assert not application.accepts(cookies)
    assert not application.accepts(page.context.cookies())
    read_the_notice(tab)
    is_logged_out(tab)
    assert application.accepts(grace.context.cookies())
    is_logged_in(grace, "grace")
    assert heard == heard_by_grace == []


def test_the_hub_is_away(application: Application, new_page: NewPage) -> None:
    page, grace, stranger = new_page(), new_page(), new_page()
    log_in(application, page)
    log_in(application, grace, "grace")
    cookies = page.context.cookies()

    def is_unavailable(response: Response | None) -> None:
        assert response is not None
        assert response.status == 503
        assert int(response.headers["retry-after"]) > 0

    # It hangs: the deadline is the application's.
    with application.hub.frozen():
        is_unavailable(page.context.new_page().goto(application.origin))
    assert application.accepts(cookies)
    # It has ended: nobody gets in, and whoever wants to leave can.
    application.hub.end()
    try:
        is_unavailable(fill_in(application, stranger, "grace"))
        page.get_by_role("button", name="Log out").click()
        is_logged_out(page)
    finally:
        application.hub.start()
    for nobody in (page, stranger):
        nobody.goto(application.origin)
        is_logged_out(nobody)
    is_logged_in(grace, "grace")  # the page has come back by itself
    assert application.accepts(grace.context.cookies())
    # The logout is repeated, until the hub knows.
    for _ in range(10 * DEADLINE):
        if not application.accepts(cookies):
            break
        page.wait_for_timeout(100)
    assert not application.accepts(cookies)


def test_the_hub_is_restarted(application: Application, new_page: NewPage) -> None:
    first, second, grace = new_page(), new_page(), new_page()
    log_in(application, first)
    ended = first.context.cookies()
    first.close()
    log_in(application, second)
    log_in(application, grace, "grace")
    application.hub.end()
    application.hub.start()
    assert not application.accepts(ended)
    for page, user in ((second, "ada"), (grace, "grace")):
        assert application.accepts(page.context.cookies())
        is_logged_in(page, user)
        page.goto(application.origin)
        is_logged_in(page, user)
