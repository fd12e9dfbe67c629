"""Who cannot be measured is named, with the reason."""

import sys
from pathlib import Path

import pytest

from bench import install
from bench.servers import Contender, bare_loop, python_peer


def probed(*command: str) -> Contender:
    return Contender("somebody", lambda *_: [], probe=command)


def why(contender: Contender) -> str:
    return install.absent([contender])["somebody"]


def test_a_peer_that_is_not_installed_is_named() -> None:
    nobody = python_peer("nobody", "no_such_module_at_all", "nobody")
    assert list(install.absent([bare_loop(), nobody])) == ["nobody"]


def test_the_reason_is_the_line_that_says_it() -> None:
    broken = probed(sys.executable, "-c", "import no_such_module_at_all")
    assert why(broken) == "ModuleNotFoundError: No module named 'no_such_module_at_all'"
    assert why(probed(sys.executable, "-c", "raise SystemExit(3)")) == "exit status 3"


def test_a_peer_whose_language_is_not_there_is_named(tmp_path: Path) -> None:
    assert "No such file" in why(probed(str(tmp_path / "node"), "-e", ""))


def test_a_peer_that_is_installed_is_not_named() -> None:
    assert install.absent([probed(sys.executable, "-c", "")]) == {}


def test_without_a_compiler_nothing_can_be_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install gcc" in str(install.check_compiler())
