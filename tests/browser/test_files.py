"""The files of the client: how large it is, and that what is said of it elsewhere is true."""

import gzip
import json
import re
from pathlib import Path
from string import ascii_letters

import pytest
import rjsmin
from playwright.sync_api import Page

import sse_trio.browser
from sse_trio.core.messages import SUBPROTOCOLS, CloseCode

from .conftest import StartHub
from .pages import EVENTS, guarded, wait_for
from .processes import Site

SOURCE = sse_trio.browser.SOURCE.decode()
TYPES = (Path(sse_trio.browser.__file__).parent / "sse-trio.d.ts").read_text()

LIMIT = 10.5 * 1024


@pytest.fixture(scope="module")
def minified() -> str:
    """Without comments and needless spaces, and with short private names: what minifiers do."""
    text = str(rjsmin.jsmin(SOURCE))
    private = dict.fromkeys(re.findall(r"(?<=this\.#)[a-z]\w+", text, re.IGNORECASE))
    short = (a + b for a in ascii_letters for b in ascii_letters)
    for name, new in zip(private, short, strict=False):
        text = re.sub(rf"#{name}\b", f"#{new}", text)
    return text


def test_its_size(minified: str, capsys: pytest.CaptureFixture[str]) -> None:
    size = len(gzip.compress(minified.encode(), mtime=0))
    with capsys.disabled():
        print(f"\nsse-trio.js: minified and gzipped {size} bytes, of {LIMIT}")  # noqa: T201
    assert size <= LIMIT


def test_what_was_measured_works(
    minified: str, start_hub: StartHub, site: Site, page: Page
) -> None:
    hub = start_hub()
    site.pages["/min.js"] = ("text/javascript", minified.encode(), {})
    html = guarded(hub, 'room: "u1", session: "s1"')
    page.goto(site.page("/", html.replace(hub.client, "/min.js")))
    wait_for(page, "joined")
    hub.notify(room="u1", sender="s2")
    wait_for(page, "terminated")


def test_it_uses_no_way_into_the_page_that_a_policy_would_have_to_allow() -> None:
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert way not in SOURCE


def test_the_protocol_is_the_hubs() -> None:
    assert f"SUBPROTOCOLS = {json.dumps(SUBPROTOCOLS)};" in SOURCE
    assert f"TERMINATED = {CloseCode.TERMINATED};" in SOURCE
    (refused,) = re.findall(r"REFUSED = \[([\d, ]+)\]", SOURCE)
    final = {int(code) for code in CloseCode if not code.reconnect} - {4001}
    assert {int(code) for code in refused.split(",")} == final | {1002, 1007}


def test_the_types_name_what_there_is() -> None:
    exported = re.findall(r"^export class (\w+)", SOURCE, re.MULTILINE)
    assert exported == re.findall(r"^export class (\w+)", TYPES, re.MULTILINE)
    (events,) = re.findall(r"interface SessionGuardEventMap \{(.*?)\}", TYPES, re.DOTALL)
    assert set(re.findall(r"^  (\w+):", events, re.MULTILINE)) == set(EVENTS)
    (states,) = re.findall(r"type State = (.*);", TYPES)
    written = set(re.findall(r'#state = "(\w+)"', SOURCE)) | set(
        re.findall(r'#finish\("(\w+)"', SOURCE)
    )
    assert set(re.findall(r'"(\w+)"', states)) == written
