"""A page in the back/forward cache comes back as it was left; it must not be usable so."""

import contextlib
from typing import Any

import pytest
from playwright.sync_api import Error, Page, expect

from .conftest import StartHub, both_browsers
from .pages import guarded, kinds, marked_up, said, wait_for, wait_for_members
from .processes import DEADLINE, HubProcess, Site

pytestmark = both_browsers

# From the moment it comes back, and in every frame until its guard has decided: what could
# a person do with the page?
WATCH = """
<button id="pay" onclick="log.push(['paid'])">Pay</button>
<script>
  window.seen = [];
  function look() {
    const button = document.getElementById("pay");
    const {left, top} = button.getBoundingClientRect();
    button.focus();
    seen.push({
      state: guard.state,
      visible: button.checkVisibility({opacityProperty: true, visibilityProperty: true}),
      under: document.elementFromPoint(left + 2, top + 2) === button,
      focused: document.activeElement === button,
    });
    document.activeElement.blur();
  }
  addEventListener("pageshow", ({persisted}) => {
    window.persisted = persisted;
    if (!persisted) return;
    const frame = () => { look(); if (guard.state === "connecting") requestAnimationFrame(frame); };
    frame();
  });
</script>"""

MARKUP = '<session-guard src="{url}" room="u1" session="s1" conceal></session-guard>'


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


@pytest.fixture
def page(tab: Page) -> Page:
    """One whose guard waits for ever before it tries again."""
    tab.add_init_script("Math.random = () => 1000")
    return tab


def leave(page: Page, site: Site) -> None:
    page.goto(site.page("/elsewhere", "<!doctype html><title>elsewhere</title>elsewhere"))


def put_away(page: Page, site: Site, hub: HubProcess) -> None:
    """Leave the page so that it is kept. Firefox keeps none that has a WebSocket open."""
    if is_firefox(page):
        hub.end()
        wait_for(page, "offline")
    leave(page, site)
    if is_firefox(page):
        hub.start()
    wait_for_members(page, hub, 0)


def is_firefox(page: Page) -> bool:
    browser = page.context.browser
    assert browser is not None
    return browser.browser_type.name == "firefox"


def go_back(page: Page) -> bool:
    """Go back; return whether the page came out of the cache."""
    page.evaluate("() => { setTimeout(() => history.back()) }")
    for _ in range(100 * DEADLINE):
        # Asked anew each time: what waits in the page that is left would wait for ever.
        with contextlib.suppress(Error):  # between the two pages
            if (persisted := page.evaluate("window.persisted")) is not None:
                return bool(persisted)
        page.wait_for_timeout(10)
    raise AssertionError("it did not go back")


def away_and_back(page: Page) -> list[str]:
    """What the guard has said, except that it is away."""
    return [kind for kind in kinds(page) if kind != "offline"]


@pytest.mark.parametrize("share", ["false", "true"])
def test_terminated_on_its_return(hub: HubProcess, site: Site, page: Page, share: str) -> None:
    options = f'room: "u1", session: "s1", share: {share}'
    page.goto(site.page("/", guarded(hub, options, WATCH)))
    wait_for(page, "joined")
    put_away(page, site, hub)
    assert hub.notify(room="u1", sender="s2")["terminated"] == 0
    # Nor one that holds a lock.
    assert go_back(page) is not (is_firefox(page) and share == "true")
    wait_for(page, "terminated")
    assert away_and_back(page)[-1] == "terminated"


def test_terminated_on_its_return_kept_or_not(hub: HubProcess, site: Site, page: Page) -> None:
    """What a browser does with a page that was joined: Firefox loads it anew."""
    page.goto(site.page("/", guarded(hub, 'room: "u1", session: "s1"', WATCH)))
    wait_for(page, "joined")
    leave(page, site)
    wait_for_members(page, hub, 0)
    assert hub.notify(room="u1", sender="s2")["terminated"] == 0
    assert go_back(page) is not is_firefox(page)
    wait_for(page, "terminated")
    assert away_and_back(page)[-1] == "terminated"


def test_terminated_before_anything_of_it_can_be_used(
    hub: HubProcess, site: Site, page: Page
) -> None:
    element = MARKUP.format(url=hub.url)
    page.goto(site.page("/", marked_up(hub, element, WATCH)))
    wait_for(page, "joined")
    page.evaluate("look()")
    assert page.evaluate("seen.splice(0)") == [looked("joined", usable=True)]
    put_away(page, site, hub)
    hub.notify(room="u1", sender="s2")
    assert go_back(page)
    wait_for(page, "terminated")
    page.evaluate("look()")
    seen = page.evaluate("seen")
    assert seen[0] == looked("connecting", usable=False)
    assert seen[-1] == looked("terminated", usable=False)
    assert not any(moment["visible"] or moment["focused"] or moment["under"] for moment in seen)
    assert [kind for kind, _ in said(page)][-2:] == ["terminated", "session-expired"]


def test_usable_again_once_it_has_joined(hub: HubProcess, site: Site, page: Page) -> None:
    element = MARKUP.format(url=hub.url)
    styled = f'<div style="opacity: 0.9; color: green">{element}{WATCH}</div>'
    page.goto(site.page("/", marked_up(hub, styled)))
    wait_for(page, "joined")
    put_away(page, site, hub)
    assert go_back(page)
    wait_for(page, "joined")
    page.evaluate("look()")
    seen = page.evaluate("seen")
    assert seen[0] == looked("connecting", usable=False)
    assert seen[-1] == looked("joined", usable=True)
    style = page.evaluate("document.querySelector('div').getAttribute('style')")
    assert style == "opacity: 0.9; color: green;"


def test_a_page_that_is_refused_on_its_return_is_loaded_anew(
    start_hub: StartHub, site: Site, page: Page
) -> None:
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    element = f'<session-guard src="{hub.url}" ticket="{ticket}" conceal></session-guard>'
    page.goto(site.page("/", marked_up(hub, element, WATCH)))
    wait_for(page, "joined")
    put_away(page, site, hub)
    # Whatever the page had is worth nothing now; the application knows better.
    hub.end()
    hub.settings["authkey"] = "another key of the browser's tests"
    hub.start()
    fresh = marked_up(hub, "", "<p>log in</p>")
    site.page("/", fresh)
    page.evaluate("() => { setTimeout(() => history.back()) }")
    page.get_by_text("log in").wait_for()


def test_a_page_that_was_terminated_says_so_again_when_it_comes_back(
    hub: HubProcess, site: Site, page: Page
) -> None:
    page.goto(site.page("/", guarded(hub, 'room: "u1", session: "s1"', WATCH)))
    wait_for(page, "joined")
    hub.notify(room="u1", sender="s2")
    wait_for(page, "terminated")
    leave(page, site)
    assert go_back(page)
    first, again = said(page, "terminated")
    assert first == again


def looked(state: str, *, usable: bool) -> dict[str, Any]:
    return {"state": state, "visible": usable, "under": usable, "focused": usable}


def test_a_popover_is_hidden_too(hub: HubProcess, site: Site, page: Page) -> None:
    element = MARKUP.format(url=hub.url)
    popover = "<p id='secret' popover='manual' style='visibility: visible'>secret</p>"
    page.goto(site.page("/", marked_up(hub, f"<div>{element}{popover}</div>")))
    wait_for(page, "joined")
    page.evaluate("() => document.querySelector('#secret').showPopover()")
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    expect(page.locator("#secret")).to_have_css("display", "none")
    page.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    expect(page.locator("#secret")).to_have_css("display", "block")


def test_the_names_of_a_forms_fields_uncover_nothing(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """DOM clobbering: a form's own properties give way to its fields."""
    element = MARKUP.format(url=hub.url)
    fields = "".join(
        f'<input name="{name}">'
        for name in ("style", "inert", "querySelectorAll", "attributes", "toggleAttribute")
    )
    style = 'style="transition-duration: 2s; transition-property: opacity"'
    page.goto(site.page("/", marked_up(hub, f"<form {style}>{element}{fields}secret</form>")))
    wait_for(page, "joined")
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    form = page.locator("form")
    expect(form).to_have_css("visibility", "hidden")
    expect(form).to_have_attribute("inert", "")
    page.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    expect(form).to_have_css("visibility", "visible")
    expect(form).not_to_have_attribute("inert", "")
    # And what the page has said of its transitions is as it was.
    expect(form).to_have_css("transition", "opacity 2s")


@pytest.mark.parametrize("around", ["", "transition: all 1s"])
def test_nothing_shines_through(hub: HubProcess, site: Site, page: Page, around: str) -> None:
    """Neither what fades, nor what is on top of all and would be seen by a style of its own."""
    element = MARKUP.format(url=hub.url)
    dialog = "<dialog style='visibility: visible'><button id='buy'>Buy</button></dialog>"
    html = f'<div style="{around}">{element}{WATCH}{dialog}</div>'
    page.goto(site.page("/", marked_up(hub, html)))
    wait_for(page, "joined")
    if not around:
        page.evaluate("document.querySelector('dialog').showModal()")
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    page.evaluate("look()")
    assert page.evaluate("seen") == [looked("offline", usable=False)]
    assert page.evaluate("getComputedStyle(document.querySelector('div')).opacity") == "0"
    assert not page.evaluate("document.querySelector('#buy').checkVisibility()")
    page.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    wait_for(page, "joined")
    assert page.evaluate("document.querySelector('#buy').checkVisibility()") is (not around)


def test_a_fresh_ticket_at_its_return_does_not_show_it(
    hub: HubProcess, site: Site, page: Page
) -> None:
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    markup = f'<session-guard src="{hub.url}" ticket="{ticket}" conceal></session-guard>'
    page.goto(site.page("/", marked_up(hub, markup, WATCH)))
    wait_for(page, "joined")
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    never = "() => new Promise(() => {})"
    page.evaluate(f"async () => {{ element.ticket = {never}; await null; await null; look(); }}")
    assert page.evaluate("seen") == [looked("connecting", usable=False)]
    page.evaluate("ticket => { element.ticket = ticket }", ticket)
    wait_for(page, "joined")
    page.evaluate("look()")
    assert page.evaluate("seen")[-1] == looked("joined", usable=True)


def test_where_pages_do_not_freeze(hub: HubProcess, site: Site, page: Page) -> None:
    """Firefox and Safari have no such event, only `pagehide`."""
    page.add_init_script("addEventListener('freeze', (e) => e.stopImmediatePropagation(), true)")
    page.goto(site.page("/", guarded(hub, 'room: "u1", session: "s1"', WATCH)))
    wait_for(page, "joined")
    put_away(page, site, hub)
    hub.notify(room="u1", sender="s2")
    assert go_back(page)
    wait_for(page, "terminated")
    assert away_and_back(page) == ["joined", "terminated"]
