"""`sse-trio ledger copy`: what it says, and that no password is in its arguments."""

import os
import pty
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sse_trio.cli import main
from sse_trio.core.logins import Record
from sse_trio.ledger.copying import BATCH
from sse_trio.ledger.sqlite_file import LedgerFile

from ..ledger.test_sqlite_file import answer, record
from ..postgres import PASSWORD, Server
from .live import DEADLINE, Told

Make = Callable[..., None]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a ledger `a.db` in the working directory."""

    def make(count: int = 2) -> None:
        rooms: dict[str, Record] = {f"u{n}": record() for n in range(count)}
        file = LedgerFile(tmp_path / "a.db")
        file.commit(rooms, [answer("i1")])
        file.close()

    return make


def test_there_and_back(
    postgres: Server,
    make: Make,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make()
    name = f"ledger_{secrets.token_hex(4)}"
    postgres.create(name)
    database = f"postgresql://app@127.0.0.1:{postgres.port}/{name}"
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    assert main(["ledger", "copy", "sqlite:///a.db", f"{database}?sslmode=disable"]) == 0
    said = f"copied 2 rooms, 1 answers, 0 sessions, 0 keys from sqlite:///a.db to {database}?***\n"
    assert capsys.readouterr() == (said, "")
    assert main(["ledger", "copy", database, "sqlite:///b.db"]) == 0
    said = f"copied 2 rooms, 1 answers, 0 sessions, 0 keys from {database} to sqlite:///b.db\n"
    assert capsys.readouterr() == (said, "")


def test_what_is_refused(make: Make, told: Told) -> None:
    make()
    assert main(["ledger", "copy", "sqlite:///a.db", "sqlite:///a.db"]) == 1
    assert "is in use by process" in told()
    assert main(["ledger", "copy", "sqlite:///a.db", "memory:"]) == 2
    assert told() == "memory: cannot be copied"
    assert main(["ledger", "copy", "a.db", "sqlite:///b.db"]) == 2
    assert told().startswith('ledger must be "memory:", "sqlite:///relative/path"')


@pytest.mark.parametrize(
    "rest",
    ["u:secret@h/d", "u@h/d?password=secret", "u@h/d?%70assword=secret", "h/d?sslpassword=secret"],
)
def test_a_password_is_no_argument(make: Make, told: Told, rest: str) -> None:
    make()
    for urls in (
        [f"postgresql://{rest}", "sqlite:///b.db"],
        ["sqlite:///a.db", f"postgresql://{rest}"],
    ):
        assert main(["ledger", "copy", *urls]) == 2
        line = told()
        assert line.startswith("all users of the machine can read arguments: put the password into")
        assert "secret" not in line
    assert not Path("b.db").exists()


def test_on_a_terminal_it_shows_how_far_it_is(make: Make) -> None:
    make(2 * BATCH)
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "sse_trio", "ledger", "copy", "sqlite:///a.db", "sqlite:///b.db"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        check=True,
        timeout=DEADLINE,
    )
    shown = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert shown == f"\r\x1b[K{BATCH} rooms\r\x1b[K{2 * BATCH} rooms\r\x1b[K"
