"""What `docs/browser.md` says is what the client does."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

import sse_trio.browser
from sse_trio.core.messages import CloseCode

from ..test_docs import ROOT, code, curl_data, curls, fences, section, table
from .conftest import StartHub
from .pages import EVENTS
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
    expect(page.get_by_text("You are signed in as demo.")).to_be_visible()
    page.wait_for_function("document.querySelector('session-guard').guard?.state === 'joined'")
    (command,) = curls(section(PAGE, "Quick start"))
    members = curl_data(command)
    assert hub.notify(**members)["terminated"] == 1
    expect(page.get_by_role("alertdialog")).to_be_visible()


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
