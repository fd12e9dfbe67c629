"""Take the picture of `docs/browser.md`: ``python -m tests.browser.notice``."""

import tempfile
from pathlib import Path

from playwright.sync_api import ViewportSize, expect, sync_playwright

from .conftest import launch
from .pages import marked_up, wait_for
from .processes import HubProcess, run_site

PICTURE = Path(__file__).parents[2] / "docs" / "notice.png"

DETAIL = {"device": "Firefox on Windows", "place": "Vienna"}

PAGE = """
<style>
  :root { color-scheme: light dark }
  body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; padding: 0 1rem }
  table { width: 100%; border-collapse: collapse }
  td { padding: .6rem 0; border-bottom: 1px solid color-mix(in srgb, CanvasText 15%, Canvas) }
  td:last-child { text-align: right }
</style>
<h1>Account 4711</h1>
<p>Balance on Wednesday, 25 November
<table>
  <tr><td>Rent<td>&minus;840.00
  <tr><td>Bakery<td>&minus;6.20
  <tr><td>Salary<td>2,950.00
  <tr><td>Electricity<td>&minus;61.00
</table>"""


def main() -> None:
    """Show the notice in a light page and in a dark one, and keep both in one picture."""
    with (
        tempfile.TemporaryDirectory() as directory,
        run_site() as site,
        sync_playwright() as playwright,
    ):
        hub = HubProcess(Path(directory), {})
        hub.start()
        browser = launch(playwright, "chromium")
        size: ViewportSize = {"width": 760, "height": 420}
        element = f'<session-guard src="{hub.url}" room="u1" notice></session-guard>'
        url = site.page("/", marked_up(hub, element, PAGE))
        shots = []
        try:
            for scheme in ("light", "dark"):
                context = browser.new_context(viewport=size, color_scheme=scheme)
                page = context.new_page()
                page.goto(url)
                wait_for(page, "joined")
                hub.notify(room="u1", sender=None, detail=DETAIL)
                expect(page.get_by_role("alertdialog")).to_be_visible()
                shots.append(page.screenshot())
                context.close()
            page = browser.new_page(viewport={"width": 2 * size["width"], "height": size["height"]})
            page.set_content("<style>body { margin: 0; display: flex }</style>")
            for shot in shots:
                page.evaluate(
                    """async (bytes) => {
                      const image = new Image();
                      const blob = new Blob([new Uint8Array(bytes)], {type: "image/png"});
                      image.src = URL.createObjectURL(blob);
                      await image.decode();
                      document.body.append(image);
                    }""",
                    list(shot),
                )
            page.screenshot(path=PICTURE)
        finally:
            browser.close()
            hub.end()


if __name__ == "__main__":
    main()
