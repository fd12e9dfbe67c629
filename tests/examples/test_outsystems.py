"""The script of the OutSystems page, in a page that has what OutSystems gives to a script."""

from playwright.sync_api import Page

from ..browser.conftest import StartHub
from ..browser.conftest import context as context
from ..browser.conftest import page as page
from ..browser.conftest import site as site
from ..browser.conftest import start_hub as start_hub
from ..browser.processes import Site
from .applications import EXAMPLES

PAGE = """<!doctype html><div id="place"></div><script>
const heard = [];
function onReady($parameters, $actions) {{ {script} }}
onReady(
  {{Hub: "{hub}", Ticket: "{ticket}", Place: "place"}},
  {{RaiseSessionExpired: (reason, session) => heard.push([reason, session])}},
);
</script>"""


def test_the_block_hears_of_the_end_of_its_login(
    page: Page, site: Site, start_hub: StartHub
) -> None:
    hub = start_hub(join="ticket")
    script = (EXAMPLES / "outsystems" / "autologout.js").read_text()
    ticket = hub.notify(room="7", sender="s1")["ticket"]
    page.goto(site.page("/", PAGE.format(script=script, hub=hub.origin, ticket=ticket)))
    page.wait_for_function("document.querySelector('session-guard').guard?.state === 'joined'")
    assert page.evaluate("heard") == []
    hub.notify(room="7", sender="s2")
    page.wait_for_function("heard.length")
    assert page.evaluate("heard") == [["login", "s1"]]
    # What to do is the block's business.
    assert page.url == site.origin + "/"
