"""The browsers, the hub and the site of the browser tests."""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from .processes import HubProcess, Site, run_site

_WHOLE = ("chromium", "chromium-browser", "google-chrome", "chrome")

# By name: the environment variable that says where it is, what it may be called, its package.
# The headless shell is Chromium without its windows: a page takes a fourth of the time. It keeps
# no page for a return and freezes none, so the tests of that take the whole one, which also takes
# the shell's place where there is none.
BROWSERS = {
    "chromium": ("CHROMIUM", _WHOLE, "chromium"),
    "headless": (
        "CHROMIUM_HEADLESS",
        ("chromium-headless-shell", "chrome-headless-shell", *_WHOLE),
        "chromium-headless-shell",
    ),
    "firefox": ("FIREFOX", ("firefox-esr", "firefox"), "firefox-esr"),
}
DEFAULT = "headless"

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

# As it comes, driven by WebDriver BiDi; what Playwright calls Firefox is a build of its own.
STOCK_FIREFOX = "moz-firefox"

whole_chromium = pytest.mark.parametrize("browser", ["chromium"], indirect=True)
both_browsers = pytest.mark.parametrize("browser", ["chromium", "firefox"], indirect=True)
both_engines = pytest.mark.parametrize("browser", ["headless", "firefox"], indirect=True)


def executable(name: str) -> str | None:
    """Where this browser is, if it is anywhere."""
    variable, names, _ = BROWSERS[name]
    return os.environ.get(variable) or next(filter(None, map(shutil.which, names)), None)


def missing(name: str) -> str:
    """What to say where this browser is not."""
    variable, _, package = BROWSERS[name]
    return f"no {name}: apt-get install {package}, or say where it is in {variable}"


def launch(playwright: Playwright, name: str) -> Browser:
    """Start this browser; the test fails where it is missing."""
    path = executable(name)
    if path is None:
        pytest.fail(missing(name))
    if name == "firefox":
        return playwright.firefox.launch(executable_path=path, channel=STOCK_FIREFOX)
    return playwright.chromium.launch(
        executable_path=path,
        args=FLAGS,
        ignore_default_args=["--disable-back-forward-cache"],
    )


_skipped = pytest.StashKey[Counter[str]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none, but not in CI."""
    skipped = config.stash[_skipped] = Counter()
    if os.environ.get("CI"):
        return
    for item in items:
        if "browsers" in getattr(item, "fixturenames", ()):
            chosen = item.callspec.params if hasattr(item, "callspec") else {}
            name = chosen.get("browser", DEFAULT)
            if executable(name) is None:
                item.add_marker(pytest.mark.skip(reason=missing(name)))
                skipped[name] += 1


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say so in one line."""
    for name, number in config.stash.get(_skipped, Counter()).items():
        terminalreporter.write_line(
            f"{number} tests of the browser client are skipped: {missing(name)}"
        )


@pytest.fixture(scope="package")
def browsers() -> Iterator[Callable[[str], Browser]]:
    """``browsers("firefox")``: each is started when it is first asked for."""
    with sync_playwright() as playwright:
        started: dict[str, Browser] = {}

        def start(name: str) -> Browser:
            if name not in started:
                started[name] = launch(playwright, name)
            return started[name]

        yield start
        for browser in started.values():
            browser.close()


@pytest.fixture
def browser(request: pytest.FixtureRequest, browsers: Callable[[str], Browser]) -> Browser:
    """Chromium's shell, unless the test asks for others."""
    return browsers(getattr(request, "param", DEFAULT))


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


@pytest.fixture(scope="package")
def windows() -> Callable[[Browser], Page]:
    """``windows(browser)``: a page whose window stays open, and has tabs."""
    return cache(lambda browser: browser.new_context().new_page())


@pytest.fixture
def tab(browser: Browser, windows: Callable[[Browser], Page]) -> Iterator[Page]:
    """A page of its own in a window that is kept: a new window takes twice the time or more.

    For tests that leave nothing in their context: no clock, no route, no cookie.
    """
    window = windows(browser)
    with window.context.expect_page() as opened:
        window.evaluate("void open('about:blank', '_blank', 'noopener')")
    yield opened.value
    opened.value.close()


StartHub = Callable[..., HubProcess]


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[StartHub]:
    """``hub = start_hub(heartbeat_interval=1, ...)``: a hub that ends with the test."""
    started: list[HubProcess] = []

    def start(*, is_split: bool = False, **settings: Any) -> HubProcess:
        hub = HubProcess(tmp_path, settings, is_split=is_split)
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
