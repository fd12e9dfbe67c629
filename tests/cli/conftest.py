"""An empty directory, a key in the environment, a server, and what has been told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..support import KEY
from .live import Live, Told, live


@pytest.fixture
def server() -> Iterator[Live]:
    with live() as server:
        yield server


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty directory, with the key in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", KEY)


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """Return the one line on standard error; there is nothing on standard output."""

    def told() -> str:
        out, err = capsys.readouterr()
        assert out == ""
        assert KEY not in err
        [line] = err.splitlines()
        assert line.startswith("sse-trio: ")
        assert line.isprintable()
        return line.removeprefix("sse-trio: ")

    return told
