"""What users do with two browsers, the same for every application of `docs/examples/`."""

from playwright.sync_api import Page, expect

from ..browser.conftest import NewContext
from .applications import Application

PASSWORDS = {"ada": "analytical engine", "grace": "first compiler"}


def log_in(application: Application, page: Page, user: str = "ada") -> None:
    fill_in(application, page, user)
    expect(page.get_by_role("heading")).to_have_text(f"Hello {user}")
    wait_until_guarded(page)


def fill_in(application: Application, page: Page, user: str = "ada") -> None:
    """Send the form of the login."""
    page.goto(f"{application.origin}/login")
    page.locator("[name=username]").fill(user)
    page.locator("[name=password]").fill(PASSWORDS[user])
    page.get_by_role("button", name="Log in").click()


def wait_until_guarded(page: Page) -> None:
    page.wait_for_function("document.querySelector('session-guard')?.guard?.state === 'joined'")


def is_told(page: Page) -> None:
    """The page says that its login has ended; it leads to the form."""
    expect(page.get_by_role("alertdialog")).to_be_visible()
    page.get_by_role("alertdialog").get_by_role("button").click()
    expect(page.locator("[name=password]")).to_be_visible()


def test_two_browsers(application: Application, new_context: NewContext) -> None:
    first, second = new_context().new_page(), new_context().new_page()
    log_in(application, first)
    cookies = first.context.cookies()
    assert all(cookie["httpOnly"] for cookie in cookies)
    assert application.accepts(cookies)
    log_in(application, second)
    assert not application.accepts(cookies)
    is_told(first)
    assert application.accepts(second.context.cookies())
    expect(second.get_by_role("alertdialog")).to_have_count(0)
