"""The demo as a process, and the browser of the browser's own tests.

The tests are plain and blocking, as those are: Playwright's loop is in the way of Trio's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..browser.conftest import browser as browser
from ..browser.conftest import browsers as browsers
from ..browser.conftest import new_context as new_context
from ..browser.conftest import pytest_collection_modifyitems as pytest_collection_modifyitems
from .processes import PASSWORDS, Client, Command, DemoProcess, sse_trio_demo

StartDemo = Callable[..., DemoProcess]
NewClient = Callable[[], Client]


def check(demo: DemoProcess) -> None:
    """Let it end well, having told no secret."""
    assert demo.end() == 0
    assert "Traceback" not in demo.log
    assert not [password for password in PASSWORDS.values() if password in demo.log]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[StartDemo]:
    """``demo = start_demo("--max-sessions", "3")``: a demo that ends with the test."""
    started: list[DemoProcess] = []

    def start(*options: str, command: Command = sse_trio_demo) -> DemoProcess:
        started.append(DemoProcess(tmp_path, command))
        started[-1].start(*options)
        return started[-1]

    yield start
    for demo in started:
        check(demo)


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoProcess]:
    """One that all tests share which do not end it: a login ends those of other tests."""
    demo = DemoProcess(tmp_path_factory.mktemp("demo"))
    demo.start()
    yield demo
    check(demo)


@pytest.fixture
def new_client(demo: DemoProcess) -> NewClient:
    """``client = new_client()``: a browser of its own, that has not logged in."""
    return lambda: Client(demo.port)


@pytest.fixture
def client(new_client: NewClient) -> Client:
    return new_client()
