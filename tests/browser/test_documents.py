"""What `docs/browser.md` says is what the client does."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import sse_trio.browser
from sse_trio.core.messages import CloseCode

from ..test_docs import ROOT, code, curl_data, curls, fences, section, table
from .conftest import StartHub, both_engines
from .pages import EVENTS, stop_the_clock
from .processes import HubProcess, Site

PAGE = ROOT / "docs" / "browser.md"
SOURCE = sse_trio.browser.SOURCE.decode()
TYPES = (ROOT / "sse_trio" / "browser" / "sse-trio.d.ts").read_text()


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub(authkey="HknYh/u762yhdi<4")


@pytest.mark.parametrize("opened", ["from a server", "as a file"])
def test_the_quick_start(
    hub: HubProcess, site: Site, page: Page, tmp_path: Path, opened: str
) -> None:
    (html,) = [block.text for block in fences(PAGE.read_text()) if block.info == "html page"]
    html = html.replace(":8080/", f":{hub.port}/")
    assert html.count(str(hub.port)) == 2
    path = tmp_path / "page.html"
    path.write_text(html)
    page.goto(site.page("/", html) if opened == "from a server" else path.as_uri())
    expect(page.get_by_text("You are logged in as demo.")).to_be_visible()
    page.wait_for_function("document.querySelector('session-guard').guard?.state === 'joined'")
    (command,) = curls(section(PAGE, "Quick start"))
    members = curl_data(command)
    assert hub.notify(**members)["terminated"] == 1
    expect(page.get_by_role("alertdialog")).to_be_visible()


def test_the_page_of_an_application_works_as_it_stands(
    start_hub: StartHub, site: Site, page: Page, tmp_path: Path
) -> None:
    """With the client from the application's own server, copied as it says there."""
    text = PAGE.read_text()
    (html, *_) = [block.text for block in fences(text) if "/static/sse-trio.js" in block.text]
    (copy,) = set(re.findall(r"^ *(cp .*/sse-trio\.js\" static/)$", text, re.MULTILINE))
    (tmp_path / "static").mkdir()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", copy], cwd=tmp_path, env={"PATH": path}, check=True)
    source = (tmp_path / "static" / "sse-trio.js").read_bytes()
    site.pages["/static/sse-trio.js"] = ("text/javascript", source, {})
    site.page("/login", "<!doctype html><title>login</title>")
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    for example, real in (
        ("wss://sessions.example.com/ws", hub.url),
        ("eyJhbGciOiJIUzI1NiIs...", ticket),
    ):
        assert html.count(example) == 1
        html = html.replace(example, real)
    tabs = [page, page.context.new_page()]
    for tab in tabs:
        tab.goto(site.page("/", html))
        tab.wait_for_function("document.querySelector('session-guard').guard?.state === 'joined'")
    assert hub.members() == 1
    hub.notify(room="u1", sender="s2")
    page.get_by_role("button", name="Log in again").click()
    page.wait_for_url(site.origin + "/login")
    assert {posted.body for posted in site.posted} == {"session=s1&reason=login"}


@both_engines
def test_a_page_that_was_loaded_while_the_hub_was_away(
    hub: HubProcess, site: Site, page: Page
) -> None:
    (script,) = [block.text for block in fences(PAGE.read_text()) if block.info == "html retry"]
    script = script.replace("https://sessions.example.com", hub.origin)
    element = f'<session-guard src="{hub.url}" room="u1" session="s1"></session-guard>'
    hub.end()
    stop_the_clock(page)
    with page.expect_console_message(lambda message: "not guarded" in message.text):
        page.goto(site.page("/", element + script))
    hub.start()
    page.clock.run_for(5_000)
    page.wait_for_function("document.querySelector('session-guard').guard?.state === 'joined'")


def attributes_in_the_code() -> set[str]:
    listed = re.findall(r"\[([^\[\]]+)\]\.map\(\(name\) => this\.getAttribute", SOURCE)
    single = re.findall(r'(?:(?:get|has)Attribute|this\.#address)\("(\w+)"\)', SOURCE)
    return {*single, *re.findall(r'"(\w+)"', " ".join(listed))}


def test_the_attributes_are_the_codes() -> None:
    rows = table(PAGE, "`<session-guard>`", "attribute", "meaning")
    said = {name for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert said == attributes_in_the_code()
    (typed,) = re.findall(r"`<session-guard ([\w ]+)>`", TYPES)
    assert said == set(typed.split())


def test_the_options_are_the_codes() -> None:
    (options,) = re.findall(r"constructor\(\{(.+)\}\)", SOURCE)
    meant = {}
    for option in options.split(", "):
        name, _, default = option.partition(" = ")
        meant[name] = f"`{default}`" if default else "required" if name == "url" else ""
    rows = table(PAGE, "`SessionGuard`", "option", "default", "meaning")
    assert {code(row[0]): row[1] for row in rows} == meant


def test_the_states_and_events_are_the_codes() -> None:
    (states,) = re.findall(r"type State = (.*);", TYPES)
    rows = table(PAGE, "`SessionGuard`", "state", "meaning")
    assert {code(row[0]) for row in rows} == set(re.findall(r'"(\w+)"', states))
    rows = table(PAGE, "`SessionGuard`", "event", "`detail`", "when")
    assert {code(row[0]) for row in rows} == set(EVENTS)
    for row in rows:
        interface = f"{code(row[0]).capitalize()}Detail"
        (members,) = re.findall(rf"interface {interface} \{{(.*?)\n\}}", TYPES, re.DOTALL)
        assert re.findall(r"`(\w+)`", row[1]) == re.findall(r"^  (\w+):", members, re.MULTILINE)


def test_the_close_codes_are_the_codes() -> None:
    text = section(PAGE, "When it connects, and when not")
    (row,) = re.findall(r"closed with ([^|]+) \| refused", text)
    refused = {int(number) for number in re.findall(r"\d+", row)}
    final = {int(close) for close in CloseCode if not close.reconnect} - {4001}
    assert refused == final | {1002, 1007}


def test_the_properties_of_the_notice_are_the_codes() -> None:
    text = section(PAGE, "The notice")
    named = set(re.findall(r"--session-guard-[\w-]+", text))
    assert named == set(re.findall(r"--session-guard-[\w-]+", SOURCE))
    assert {"dialog", *re.findall(r'make\("\w+", "(\w+)"\)', SOURCE)} <= set(
        re.findall(r"`(\w+)`", text)
    )
