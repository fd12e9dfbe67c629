"""Take the picture of the operator's page: ``python -m tests.browser.operator_picture``.

With the font Inter, where it is installed (`apt-get install fonts-inter`).
"""

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from .conftest import launch
from .processes import KEY, HubProcess

PICTURE = Path(__file__).parents[2] / "docs" / "operator.png"

LOGINS = [
    ("ada", "Firefox on Linux", "Lisbon"),
    ("grace", "Safari on iPhone", "Arlington"),
    ("radia", "Edge on Windows", "Seattle"),
    ("ada", "Chrome on Android", "Porto"),
    ("ada", "Safari on iPad", "Porto"),
]


JOIN = """([url, room, session]) => new Promise((resolve) => {
  const socket = new WebSocket(url);
  (window.sockets ??= []).push(socket);
  socket.onopen = () => socket.send(JSON.stringify({type: "join", room, session}));
  socket.onmessage = resolve;
})"""


def main() -> None:
    """Show a hub with a few logins, one of which has been ended."""
    with tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        hub = HubProcess(Path(directory), {"max_sessions": 2}, is_split=True)
        hub.start()
        browser = launch(playwright, "chromium")
        try:
            for number, (room, device, place) in enumerate(LOGINS):
                about = {"device": device, "place": place}
                hub.notify(room=room, sender=f"s{number}", about=about)
            other = browser.new_page()
            for number in (2, 3, 4):
                other.evaluate(JOIN, [hub.url, LOGINS[number][0], f"s{number}"])
            page = browser.new_page(viewport={"width": 1120, "height": 1060})
            page.goto(hub.internal)
            page.get_by_label("Key", exact=True).fill(KEY)
            page.get_by_role("button", name="Open").click()
            page.get_by_label("Room", exact=True).fill("ada")
            page.get_by_role("button", name="Look up").click()
            expect(page.locator("#sessions")).to_contain_text("connected now")
            expect(page.locator("[data-name=notifies] .rate")).not_to_be_empty(timeout=20_000)
            page.screenshot(path=PICTURE)
        finally:
            browser.close()
            hub.end()


if __name__ == "__main__":
    main()
