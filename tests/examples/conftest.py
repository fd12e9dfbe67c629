"""The applications of `docs/examples/`, each with a hub, and the browser of the browser's tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ..browser.conftest import browser as browser
from ..browser.conftest import browsers as browsers
from ..browser.conftest import new_context as new_context
from ..browser.conftest import pytest_collection_modifyitems as pytest_collection_modifyitems
from .applications import COMMANDS, Application, run_application


@pytest.fixture(
    scope="module", params=[os.environ["EXAMPLE"]] if "EXAMPLE" in os.environ else COMMANDS
)
def application(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Application]:
    """Each in turn: all scenarios share its process and its hub."""
    directory: Path = tmp_path_factory.mktemp(request.param)
    with run_application(request.param, directory) as application:
        yield application
