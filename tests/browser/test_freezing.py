"""A page that Chromium freezes leaves, and comes back as one that cannot know."""

import pytest
from playwright.sync_api import Browser, Page

from .conftest import StartHub, whole_chromium
from .pages import guarded, wait_for_members
from .processes import HubProcess, Site
from .tabs import open_tabs

pytestmark = whole_chromium

GUARD = 'room: "u1", session: "s1"'


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


def test_a_frozen_page(hub: HubProcess, site: Site, browser: Browser, page: Page) -> None:
    url = site.page("/", guarded(hub, GUARD))
    with open_tabs(browser, page, url, "about:blank") as (tab, _):
        tab.wait_for("window.guard?.state === 'joined' && document.hidden")
        assert hub.members() == 1
        tab.send("Page.setWebLifecycleState", state="frozen")
        # It has left, rather than be told things that it does not hear.
        wait_for_members(page, hub, 0)
        assert hub.notify(room="u1", sender="s2")["terminated"] == 0
        tab.send("Page.setWebLifecycleState", state="active")
        tab.wait_for("guard.state === 'terminated'")
        log = tab.evaluate("log")
    assert [kind for kind, _ in log] == ["joined", "offline", "terminated"]
    assert log[1][1] == {"code": None, "message": "the page is put away", "delay": None}


def test_a_frozen_page_that_nobody_has_ended_joins_again(
    hub: HubProcess, site: Site, browser: Browser, page: Page
) -> None:
    url = site.page("/", guarded(hub, GUARD))
    with open_tabs(browser, page, url, "about:blank") as (tab, _):
        tab.wait_for("window.guard?.state === 'joined' && document.hidden")
        tab.send("Page.setWebLifecycleState", state="frozen")
        wait_for_members(page, hub, 0)
        tab.send("Page.setWebLifecycleState", state="active")
        tab.wait_for("guard.state === 'joined'")
        assert [kind for kind, _ in tab.evaluate("log")] == ["joined", "offline", "joined"]
        assert hub.members() == 1
