"""The operator's page, as a person uses it."""

import hashlib
import json
import re
from typing import Any, Literal

import pytest
from playwright.sync_api import BrowserContext, Page, Route, expect

from .conftest import NewContext, StartHub
from .pages import guarded, said, stop_the_clock, wait_for, wait_for_members
from .processes import KEY, HubProcess, Site

# One of the hub's keys. A header has to carry it.
DIFFICULT = "schlüssel-☃"

HOSTILE = "<img src=x onerror=alert(1)>"

# A long time for a page that asks every two seconds.
PATIENT = 20_000


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub(is_split=True, authkey=[KEY, DIFFICULT], max_sessions=9, linger=0.2)


class Trouble(list[str]):
    """What the consoles of a context's pages complain of, and policies that were violated."""

    def __init__(self, context: BrowserContext) -> None:
        super().__init__()
        context.on("console", lambda message: self._hear(message.type, message.text))
        context.on("weberror", lambda error: self.append(str(error.error)))
        context.on("dialog", lambda dialog: self.append(dialog.message))

    def _hear(self, kind: str, text: str) -> None:
        # What the network refuses is shown by the page itself.
        if kind in ("error", "warning") and "Failed to load resource" not in text:
            self.append(text)


def enter(page: Page, key: str) -> None:
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Open").click()


def open_board(page: Page, hub: HubProcess) -> None:
    page.goto(hub.internal)
    enter(page, KEY)
    expect(page.get_by_role("heading", name="Last decisions")).to_be_visible()


def figure(page: Page, name: str) -> Any:
    return page.locator(f"[data-name={name}] .value")


def refused_keys(hub: HubProcess) -> int:
    counted: dict[str, int] = hub.post("/statistics")["metrics"]["refused_keys"]["values"]
    return sum(counted.values())


def test_the_key_and_the_counts(context: BrowserContext, hub: HubProcess) -> None:
    trouble = Trouble(context)
    page = context.new_page()
    page.goto(hub.internal)
    field = page.get_by_label("Key", exact=True)
    expect(field).to_be_focused()
    expect(page.get_by_role("heading", name="Now")).to_be_hidden()

    # Each wrong key is asked about once, and not remembered.
    for attempt, wrong in enumerate(("wrong", "falsch-☃"), 1):
        enter(page, wrong)
        expect(page.get_by_role("alert").filter(visible=True)).to_have_text(
            "The hub does not accept this key."
        )
        expect(field).to_be_focused()
        assert refused_keys(hub) == attempt
        assert page.evaluate("sessionStorage.length") == 0

    enter(page, DIFFICULT)
    expect(page.get_by_label("Room", exact=True)).to_be_focused()
    expect(page.get_by_role("heading", name="needs a key")).to_be_hidden()
    expect(figure(page, "members")).to_have_text("0")
    expect(figure(page, "ledger_ready")).to_have_text("1")
    expect(page.locator("[data-name=refused_keys] .results")).to_have_text("unauthorized 2")
    assert page.evaluate("document.querySelector('#key').value") == ""
    assert DIFFICULT not in page.content()
    assert page.evaluate("document.cookie + localStorage.length") == "0"

    # They change by themselves.
    hub.notify(room="u1", sender="s1")
    expect(figure(page, "notifies")).to_have_text("1", timeout=PATIENT)
    expect(page.locator("[data-name=notifies] .rate")).to_have_text(
        re.compile(r"^0\.\d+/s$"), timeout=PATIENT
    )
    expect(page.locator("#decisions tr")).to_have_count(3)

    # The tab keeps the key, another one does not have it.
    page.reload()
    expect(figure(page, "notifies")).to_have_text("1")
    other = context.new_page()
    other.goto(hub.internal)
    expect(other.get_by_label("Key", exact=True)).to_be_focused()
    page.get_by_role("button", name="Forget the key").click()
    expect(field).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    assert page.locator("#decisions tr, [data-name]").count() == 0
    assert trouble == []


def test_sessions_are_looked_up_and_ended(
    new_context: NewContext, hub: HubProcess, site: Site
) -> None:
    secrets = ["secret-1", "secret-2", "secret-3"]
    room = HOSTILE
    abouts: list[dict[str, Any]] = [
        {"device": HOSTILE, "place": "Lisbon"},
        {"place": "Porto", "device": "Firefox \u202e", "more": {"a": 1}},
        {},
    ]
    members = []
    for session, about in zip(secrets, abouts, strict=True):
        hub.notify(room=room, sender=session, about=about)
        options = f"room: {json.dumps(room)}, session: {json.dumps(session)}"
        member = new_context().new_page()
        member.goto(site.page(f"/{session}", guarded(hub, options)))
        wait_for(member, "joined")
        members.append(member)
    context = new_context()
    trouble = Trouble(context)
    page = context.new_page()
    open_board(page, hub)
    result = page.locator("#result")

    page.get_by_label("Room", exact=True).fill("nobody")
    page.get_by_role("button", name="Look up").click()
    expect(result).to_have_text("0 sessions of nobody.")

    page.get_by_label("Room", exact=True).fill(room)
    page.get_by_role("button", name="Look up").click()
    expect(result).to_have_text(f"3 sessions of {room}.")
    expect(page.get_by_role("heading", name=f"Sessions of {room}")).to_be_focused()
    items = page.locator("#sessions li")
    names = ["A device without a description", 'Firefox \u202e, Porto, more: {"a":1}']
    names.append(f"{HOSTILE}, Lisbon")
    expect(items.locator("strong")).to_have_text(names)
    for item, session in zip(items.all(), reversed(secrets), strict=True):
        expect(item).to_contain_text(hashlib.sha256(session.encode()).hexdigest()[:16])
        expect(item).to_contain_text("connected now")
        expect(item).to_contain_text(re.compile(r"logged in \d+ (second|minute)s? ago"))

    # One is ended: its pages, and nobody else's.
    page.get_by_role("button", name=f"End: {HOSTILE}, Lisbon").click()
    expect(result).to_have_text(f"Ended: {HOSTILE}, Lisbon. Connected pages: 1.")
    wait_for(members[0], "terminated")
    assert said(members[0])[-1][1]["reason"] == "operator"
    expect(items).to_have_count(2)
    expect(page.get_by_role("heading", name=f"Sessions of {room}")).to_be_focused()
    wait_for_members(page, hub, 2)
    first = page.locator("#decisions tr").first
    expect(first).to_contain_text("released", timeout=PATIENT)
    expect(first).to_contain_text("operator")
    expect(first).to_contain_text(hashlib.sha256(b"secret-1").hexdigest()[:16])

    # One that has ended meanwhile.
    hub.post("/release", room=room, session="secret-2")
    page.get_by_role("button", name="End: Firefox").click()
    expect(result).to_have_text(re.compile(r"^It had ended already: Firefox"))
    expect(items).to_have_count(1)

    # All: not without being asked again.
    page.get_by_role("button", name="End all sessions…").click()
    dialog = page.get_by_role("dialog", name=f"End all sessions of {room}?")
    expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    dialog.get_by_role("button", name="Cancel").click()
    expect(dialog).to_be_hidden()
    wait_for(members[2], "joined")
    page.get_by_role("button", name="End all sessions…").click()
    dialog.get_by_role("button", name="End all sessions", exact=True).click()
    expect(result).to_have_text(f"All sessions of {room} have ended. Connected pages: 1.")
    wait_for(members[2], "terminated")
    expect(items).to_have_count(0)

    # A room of the list is looked up too. Its row stays, and with it the focus.
    opener = page.locator("#decisions tr").last.get_by_role("button")
    opener.focus()
    hub.notify(room="u9", sender=None)
    expect(page.locator("#decisions tr").first).to_contain_text("u9", timeout=PATIENT)
    expect(opener).to_be_focused()
    opener.click()
    expect(result).to_have_text(f"0 sessions of {room}.")

    # What users can name is text, and no id of a session is anywhere.
    assert page.locator("img").count() == 0
    assert not [secret for secret in secrets if secret in page.content()]
    assert trouble == []


def test_all_sessions_of_the_user_that_was_shown_are_ended(page: Page, hub: HubProcess) -> None:
    """The answer to another look-up comes while the page asks whether it should."""
    for user in ("shown", "late"):
        hub.notify(room=user, sender="s1")
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "late" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    open_board(page, hub)
    page.route("**/sessions", hold)
    result, room = page.locator("#result"), page.get_by_label("Room", exact=True)
    room.fill("late")
    page.get_by_role("button", name="Look up").click()
    room.fill("shown")
    page.get_by_role("button", name="Look up").click()
    expect(result).to_have_text("1 session of shown.")
    held.pop().continue_()
    # The earlier look-up does not replace the later one.
    page.wait_for_timeout(100)
    expect(page.get_by_role("heading", name="Sessions of shown")).to_be_visible()
    room.fill("late")
    page.get_by_role("button", name="Look up").click()
    page.get_by_role("button", name="End all sessions…").click()
    dialog = page.get_by_role("dialog", name="End all sessions of shown?")
    expect(dialog).to_be_visible()
    held.pop().continue_()
    expect(page.get_by_text("Sessions of late")).to_be_attached()
    dialog.get_by_role("button", name="End all sessions", exact=True).click()
    expect(result).to_have_text("All sessions of shown have ended. Connected pages: 0.")
    assert hub.post("/sessions", room="late")["sessions"]


def test_by_the_keyboard_alone(page: Page, hub: HubProcess) -> None:
    for session in ("s1", "s2"):
        hub.notify(room="u1", sender=session, about={"device": f"Device {session}"})
    page.goto(hub.internal)
    focused = page.locator(":focus")
    keyboard = page.keyboard
    keyboard.type(KEY)
    keyboard.press("Enter")
    expect(focused).to_have_attribute("id", "room")
    keyboard.type("u1")
    keyboard.press("Enter")
    expect(focused).to_have_text("Sessions of u1")
    keyboard.press("Tab")
    expect(focused).to_have_attribute("aria-label", "End: Device s2")
    # Where the focus is can be seen.
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("Enter")
    expect(focused).to_have_text("Sessions of u1")
    expect(page.locator("#result")).to_have_text("Ended: Device s2. Connected pages: 0.")
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(focused).to_have_text("End all sessions…")
    keyboard.press("Enter")
    expect(focused).to_have_text("Cancel")
    keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(focused).to_have_text("End all sessions…")
    keyboard.press("Enter")
    expect(focused).to_have_text("Cancel")
    keyboard.press("Tab")
    keyboard.press("Space")
    expect(page.locator("#result")).to_have_text(
        "All sessions of u1 have ended. Connected pages: 0."
    )
    # Backwards to the buttons of the head.
    for _ in range(3):
        keyboard.press("Shift+Tab")
    expect(focused).to_have_text("Forget the key")
    keyboard.press("Enter")
    expect(focused).to_have_attribute("id", "key")


# The least contrast between a text and what is behind it (WCAG 2.2, section 1.4.3), and where.
CONTRAST = """() => {
  const parse = (color) => {
    const [, r, g, b, a = "1"] = color.match(/^rgba?\\((\\d+), (\\d+), (\\d+)(?:, ([\\d.]+))?\\)$/);
    return [Number(r), Number(g), Number(b), Number(a)];
  };
  const luminance = (color) => {
    const [r, g, b] = color.slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color[3] === 1) return color;
    }
    throw new Error("nothing is behind it");
  };
  let least = [Infinity, ""];
  let count = 0;
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.matches("noscript")) continue;
    const [one, other] = [parse(getComputedStyle(element).color), behind(element)].map(luminance);
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    count += 1;
    if (ratio < least[0]) least = [ratio, element.outerHTML.slice(0, 100)];
  }
  return {ratio: least[0], where: least[1], count};
}"""


def test_on_a_phone_and_in_the_dark(page: Page, hub: HubProcess) -> None:
    longest = "w" * 256
    for room in ("u1", longest):
        hub.notify(room=room, sender=longest, about={"device": "D" * 200, "place": "P" * 200})
    page.set_viewport_size({"width": 375, "height": 700})
    page.goto(hub.internal)
    backgrounds = []
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        backgrounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert page.evaluate(CONTRAST)["ratio"] >= 4.5
    assert backgrounds[0] != backgrounds[1]
    enter(page, KEY)
    page.get_by_label("Room", exact=True).fill(longest)
    page.get_by_role("button", name="Look up").click()
    expect(page.locator("#sessions li")).to_have_count(1)
    expect(page.locator("#decisions tr")).to_have_count(2)
    for width in (375, 320, 1200):
        page.set_viewport_size({"width": width, "height": 700})
        size = page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert size[0] <= size[1], width
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.get_by_role("button", name="End all sessions…").click()
        found = page.evaluate(CONTRAST)
        assert found["ratio"] >= 4.5, found["where"]
        assert found["count"] > 60
        page.keyboard.press("Escape")
    # The table is one for screen readers too, where its rows are boxes.
    page.set_viewport_size({"width": 375, "height": 700})
    table = page.get_by_role("table", name="Last decisions")
    expect(table.get_by_role("columnheader")).to_have_count(6)
    expect(table.get_by_role("row")).to_have_count(3)


def test_a_hub_that_is_away_and_comes_back(page: Page, hub: HubProcess) -> None:
    hub.notify(room="u1", sender="s1")
    open_board(page, hub)
    state, alert = page.locator("#state"), page.locator("#alert")
    expect(state).to_have_text("Live")
    hub.end()
    expect(state).to_have_text("Away", timeout=PATIENT)
    expect(alert).to_have_text(
        re.compile(r"^The hub does not answer\. The numbers are from .*\. The page keeps trying\.$")
    )
    expect(figure(page, "notifies")).to_have_text("1")
    page.get_by_label("Room", exact=True).fill("u1")
    page.get_by_role("button", name="Look up").click()
    expect(page.locator("#result")).to_have_text("The hub does not answer.")
    hub.start()
    expect(state).to_have_text("Live", timeout=PATIENT)
    expect(alert).to_be_hidden()
    expect(figure(page, "notifies")).to_have_text("0")
    page.get_by_role("button", name="Look up").click()
    expect(page.locator("#result")).to_have_text("1 session of u1.")

    # The key is taken back: the page shows it once, and no more.
    hub.end()
    hub.settings |= {"authkey": "another key", "max_wrong_keys": 1}
    hub.start()
    expect(page.get_by_role("alert").filter(visible=True)).to_have_text(
        "The hub does not accept this key.", timeout=PATIENT
    )
    expect(page.get_by_label("Key", exact=True)).to_be_focused()
    expect(page.get_by_role("heading", name="Now")).to_be_hidden()
    enter(page, "another key")
    expect(page.get_by_role("alert").filter(visible=True)).to_have_text(
        "Too many wrong keys have come from this address. Wait a minute, and try again."
    )


class Polls:
    """How often a page asks. Its time stands still, but for what the test lets pass."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.begun = self.finished = 0
        page.on("request", lambda request: self._begin(request.url))
        page.on("requestfinished", lambda request: self._finish(request.url))

    def _begin(self, url: str) -> None:
        self.begun += url.endswith("/statistics")

    def _finish(self, url: str) -> None:
        self.finished += url.endswith("/decisions")

    def wait_for(self, number: int) -> None:
        """Wait until so many are finished, and no other has begun."""
        for _ in range(PATIENT // 20):
            if self.finished >= number:
                break
            self._page.wait_for_timeout(20)
        self._page.wait_for_timeout(20)
        assert self.finished == self.begun == number

    def pass_seconds(self, seconds: int) -> None:
        self._page.clock.run_for(1000 * seconds)


def test_it_asks_only_while_somebody_looks(page: Page, hub: HubProcess) -> None:
    stop_the_clock(page)
    polls = Polls(page)
    open_board(page, hub)
    polls.wait_for(1)
    polls.pass_seconds(2)
    polls.wait_for(2)
    pause = page.get_by_role("button", name="Pause")
    pause.click()
    expect(page.locator("#state")).to_have_text("Paused")
    expect(pause).to_have_attribute("aria-pressed", "true")
    polls.pass_seconds(60)
    polls.wait_for(2)
    pause.click()
    polls.wait_for(3)
    expect(page.locator("#state")).to_have_text("Live")
    hide = """(isHidden) => {
      Object.defineProperty(document, "hidden", {value: isHidden, configurable: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    polls.pass_seconds(60)
    polls.wait_for(3)
    page.evaluate(hide, False)
    polls.wait_for(4)
    polls.pass_seconds(2)
    polls.wait_for(5)
