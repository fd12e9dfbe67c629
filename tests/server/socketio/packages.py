"""The clients of Socket.IO that are tested, from npm."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "npm"

VERSIONS = ["1.7.4", "2.5.0", "3.1.3", "4.3.2", "4.5.4", "4.8.4"]


def install(project: Path) -> Path:
    """Install them below a folder, and return it."""
    if shutil.which("npm") is None:
        pytest.fail("no npm: apt-get install npm")
    shutil.copy(HERE / "package.json", project)
    quiet = ("--no-audit", "--no-fund", "--silent", "--prefer-offline")
    subprocess.run(("npm", "install", *quiet), cwd=project, check=True)
    return project
