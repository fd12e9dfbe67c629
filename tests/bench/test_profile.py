"""The profiler is found, or its absence is said."""

from pathlib import Path

import pytest

from bench.profile import NoProfiler, find


def make_program(directory: Path) -> Path:
    directory.mkdir()
    program = directory / "py-spy"
    program.touch(0o700)
    return program


def test_it_is_found_beside_the_interpreter_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    beside, on_path = make_program(tmp_path / "beside"), make_program(tmp_path / "path")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find(beside.parent) == str(beside)
    assert find(tmp_path) == str(on_path)


def test_without_py_spy_there_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoProfiler, match=r"^there is no py-spy: python -m pip install "):
        find(tmp_path)
