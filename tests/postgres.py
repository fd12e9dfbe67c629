"""A real PostgreSQL for tests.

Where there is none, tests that need one are skipped; with CI in the environment, they fail.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.postgres import PASSWORD as PASSWORD
from bench.postgres import Server as Server
from bench.postgres import directory as directory
from bench.postgres import directory_of_programs as directory_of_programs
from bench.postgres import running as running


@pytest.fixture(scope="session")
def programs() -> Path:
    """Where the programs of a server are."""
    found = directory_of_programs()
    if found is None:
        reason = "no PostgreSQL here: apt-get install postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def postgres(programs: Path) -> Iterator[Server]:
    """A server with default settings, so with every commit on the disk."""
    with running(programs) as server:
        yield server
