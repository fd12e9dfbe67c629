"""Take the pictures of the demo in `docs/`: ``python -m tests.demo.screenshots``.

With the font Inter, where it is installed (`apt-get install fonts-inter`).
"""

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

from sse_trio.demo.options import HEARTBEAT

from ..browser.conftest import launch
from .pages import notice, sign_in
from .processes import ROOT, DemoProcess

DOCS = ROOT / "docs"

DESKTOP = {"viewport": {"width": 1120, "height": 840}}
PHONE = {"viewport": {"width": 360, "height": 780}, "device_scale_factor": 2}

LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) Version/18.6 Safari/604.1"


def main() -> None:
    """A login in a desktop's browser, which another in a phone's ends."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        demo = DemoProcess(Path(directory))
        demo.start()
        browser = launch(playwright, "chromium")

        def open_page(user_agent: str, device: dict[str, Any]) -> Page:
            context = browser.new_context(user_agent=user_agent, locale="en-GB", **device)
            return context.new_page()

        def shoot(page: Page, name: str, *, full_page: bool = True) -> None:
            page.screenshot(path=DOCS / name, full_page=full_page)

        def wait_for_heartbeats(page: Page, number: int) -> None:
            expect(page.locator("[data-type=heartbeat]").nth(number - 1)).to_be_attached(
                timeout=1000 * HEARTBEAT * (number + 2)
            )

        try:
            desktop = open_page(LINUX, DESKTOP)
            desktop.goto(f"{demo.origin}/login")
            shoot(desktop, "demo-login.png")
            sign_in(desktop, demo)
            wait_for_heartbeats(desktop, 3)
            shoot(desktop, "demo.png")
            desktop.set_viewport_size({"width": 1120, "height": 640})
            phone = open_page(IPHONE, PHONE)
            sign_in(phone, demo, remember=True)
            expect(notice(desktop)).to_be_visible()
            shoot(desktop, "demo-ended.png", full_page=False)
            wait_for_heartbeats(phone, 3)
            shoot(phone, "demo-phone.png", full_page=False)
            dark = open_page(LINUX, {**DESKTOP, "color_scheme": "dark"})
            sign_in(dark, demo, "radia")
            wait_for_heartbeats(dark, 3)
            shoot(dark, "demo-dark.png")
        finally:
            browser.close()
            demo.end()


if __name__ == "__main__":
    main()
