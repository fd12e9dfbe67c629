"""The browser, the hub and the site of the browser tests."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from .processes import HubProcess, Site, run_site

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Of a machine without a desktop, a sandbox or the internet.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium() -> str | None:
    """Where Chromium is, if it is anywhere."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


MISSING = "no Chromium: apt-get install chromium, or say where it is in CHROMIUM"

_skipped = pytest.StashKey[int]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none, but not in CI."""
    if chromium() is None and not os.environ.get("CI"):
        wanting = [item for item in items if "browser" in getattr(item, "fixturenames", ())]
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason=MISSING))
        config.stash[_skipped] = len(wanting)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say so in one line."""
    if number := config.stash.get(_skipped, 0):
        terminalreporter.write_line(f"{number} tests of the browser client are skipped: {MISSING}")


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    path = chromium()
    if path is None:
        pytest.fail(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=FLAGS,
            ignore_default_args=["--disable-back-forward-cache"],
        )
        yield browser
        browser.close()


NewContext = Callable[[], BrowserContext]


@pytest.fixture
def new_context(browser: Browser) -> Iterator[NewContext]:
    """``context = new_context()``: a browser of its own, as it were; no cookies or locks shared."""
    opened: list[BrowserContext] = []

    def new() -> BrowserContext:
        opened.append(browser.new_context())
        return opened[-1]

    yield new
    for context in opened:
        context.close()


@pytest.fixture
def context(new_context: NewContext) -> BrowserContext:
    return new_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


StartHub = Callable[..., HubProcess]


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[StartHub]:
    """``hub = start_hub(heartbeat_interval=1, ...)``: a hub that ends with the test."""
    started: list[HubProcess] = []

    def start(**settings: Any) -> HubProcess:
        hub = HubProcess(tmp_path, settings)
        hub.start()
        started.append(hub)
        return hub

    yield start
    for hub in started:
        hub.end()


@pytest.fixture
def site() -> Iterator[Site]:
    with run_site() as site:
        yield site
