"""What is released: one build, from the sdist to the wheel, and what is in both."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

import sse_trio

from ..test_docs import ROOT

DEADLINE = 120

PACKAGE = Path(sse_trio.__file__).parent


def run(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the sdist and of the wheel that is built of it. No network is used."""
    where = tmp_path_factory.mktemp("dist")
    run("build", "--no-isolation", "--outdir", where, ROOT)
    return where


def in_the_checkout() -> set[str]:
    """Every file of the package, but for what is made by running it."""
    found = (path for path in PACKAGE.rglob("*") if path.is_file())
    return {
        path.relative_to(ROOT).as_posix()
        for path in found
        if "__pycache__" not in path.parts and "node_modules" not in path.parts
    }


def test_the_wheel_is_the_package_and_nothing_else(built: Path, project: dict[str, Any]) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"sse_trio-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"sse_trio-{project['version']}.dist-info"
        metadata = archive.read(f"{info}/METADATA").decode()
    package = {name for name in names if not name.startswith(f"{info}/")}
    assert package == in_the_checkout()
    for needed in ("browser/sse-trio.js", "browser/sse-trio.d.ts", "py.typed"):
        assert f"sse_trio/{needed}" in package
    assert "sse_trio/ledger/postgres/schema.sql" in package
    assert "sse_trio/operator/operator.html" in package
    assert f"{info}/licenses/LICENSE" in names
    assert "License-Expression: MIT" in metadata


def test_the_sdist_can_be_tested(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert in_the_checkout() <= names
    for needed in ("tests/deploy/test_package.py", "docs/deploy/Dockerfile", ".github/SECURITY.md"):
        assert needed in names
    assert not {name for name in names if name.endswith((".db", ".pyc"))}


def test_pypi_would_take_them(built: Path) -> None:
    run("twine", "check", "--strict", *built.iterdir())


def test_only_versions_that_were_tried_are_claimed(project: dict[str, Any]) -> None:
    tried = (ROOT / ".github" / "CONTRIBUTING.md").read_text()
    prefix = "Programming Language :: Python :: "
    claimed = {
        each.removeprefix(prefix) for each in project["classifiers"] if each.startswith(prefix)
    } - {"3 :: Only"}
    assert claimed == set(re.findall(r"^\| (3\.\d+) \| all tests", tried, re.MULTILINE))
