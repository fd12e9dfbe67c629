"""What people do in the demo's pages."""

from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from .processes import PASSWORDS, DemoProcess

NAMES = ("nr1Users", "nr2Users")


def sign_in(page: Page, demo: DemoProcess, user: str = "ada", *, remember: bool = False) -> None:
    """Log in, and wait until the page is guarded."""
    page.goto(f"{demo.origin}/login")
    fill_in(page, demo, user, remember=remember)


def fill_in(page: Page, demo: DemoProcess, user: str = "ada", *, remember: bool = False) -> None:
    page.get_by_role("textbox", name="User").fill(user)
    page.get_by_label("Password").fill(PASSWORDS[user])
    page.get_by_label("Remember me").set_checked(remember)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{demo.origin}/")
    is_guarded(page)


def is_guarded(page: Page) -> None:
    expect(page.get_by_role("status")).to_have_text("joined", timeout=20_000)


def notice(page: Page) -> Locator:
    return page.get_by_role("alertdialog")


def is_ended(page: Page, words: str) -> None:
    """Wait for the notice, and for what it says."""
    expect(notice(page)).to_be_visible(timeout=20_000)
    # The words of the notice that others have taken the place of are there, but not to be seen.
    expect(page.get_by_text(words).filter(visible=True)).to_be_visible()


def leave(page: Page) -> None:
    """Close the notice. (Playwright does not believe that its button can be clicked.)"""
    page.keyboard.press("Enter")


def me(context: BrowserContext, demo: DemoProcess) -> int:
    """Ask who somebody with the cookies of this browser is; return the answer's status."""
    return context.request.get(f"{demo.origin}/api/me").status


def cookies(context: BrowserContext) -> dict[str, dict[str, Any]]:
    return {cookie["name"]: dict(cookie) for cookie in context.cookies()}


class Trouble(list[str]):
    """What the consoles of a context's pages complain of: errors, and violated policies."""

    def watch(self, context: BrowserContext) -> BrowserContext:
        context.on("console", lambda message: self._hear(message.type, message.text))
        context.on("weberror", lambda error: self.append(str(error.error)))
        return context

    def _hear(self, kind: str, text: str) -> None:
        # The page may ask for its list when it has just been ended, and is then refused.
        if kind in ("error", "warning") and "status of 401" not in text:
            self.append(text)
