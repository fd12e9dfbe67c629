"""The deployment files, and programs that judge them."""

import shutil
from pathlib import Path

import pytest

from ..test_docs import ROOT

PACK = ROOT / "docs" / "deploy"
README = PACK / "README.md"


def program(name: str) -> str:
    """Return where a program is, or skip the test."""
    found = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def listed() -> list[Path]:
    """Every file that is meant to be deployed."""
    mine = {README, PACK / "authkey"}
    found = (path for path in PACK.rglob("*") if path.is_file() and path not in mine)
    return [path for path in found if path.parent.name != "tls"]
