"""The peers' packages, in a place of their own, so that nothing of them is in the product's.

`bench/.peers` has a virtual environment and `node_modules`, made from the pinned versions in
`bench/peers`, and made anew when those or the interpreter change. What cannot be installed is
named, with the reason, and the rest goes on without it.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable

from rich.console import Console

from .load import NoCompiler, compiled
from .servers import INSTALLED, PEERS, Contender, environment

PATIENCE = 600


def install(console: Console) -> None:
    """Install what is not there yet."""
    requirements = PEERS / "requirements.txt"
    package = PEERS / "package.json"
    pinned = hashlib.sha256(f"{sys.version} {sys.base_prefix}".encode())
    pinned.update(requirements.read_bytes() + package.read_bytes())
    done = INSTALLED / "pinned"
    if done.exists() and done.read_text() == pinned.hexdigest():
        return
    console.print(f"installing the peers into {INSTALLED}")
    INSTALLED.mkdir(exist_ok=True)
    _run(console, [sys.executable, "-m", "venv", "--clear", str(INSTALLED / "venv")])
    pip = [str(INSTALLED / "venv" / "bin" / "python"), "-m", "pip", "install", "--quiet",
           "--disable-pip-version-check"]  # fmt: skip
    whole = _run(console, [*pip, "--requirement", str(requirements)])
    if not whole:
        for line in requirements.read_text().splitlines():
            _run(console, [*pip, line])
    shutil.copy(package, INSTALLED)
    npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(INSTALLED)]
    whole &= _run(console, npm)
    if whole:  # what has failed is tried again the next time
        done.write_text(pinned.hexdigest())


def _run(console: Console, command: list[str]) -> bool:
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=PATIENCE
        )
    except (OSError, subprocess.SubprocessError) as error:
        console.print(str(error), style="red", highlight=False)
        return False
    if done.returncode:
        console.print(done.stderr[-2000:], style="red", highlight=False)
    return not done.returncode


def absent(contenders: Iterable[Contender]) -> dict[str, str]:
    """Return those that cannot be measured here, and why."""
    return {each.name: why for each in contenders if (why := _why_not(each))}


def _why_not(contender: Contender) -> str | None:
    if not contender.probe:
        return None
    try:
        found = subprocess.run(  # noqa: S603
            contender.probe, env=environment(), capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if not found.returncode:
        return None
    told = [line for line in found.stderr.splitlines() if "Error" in line]
    return told[0].strip() if told else f"exit status {found.returncode}"


def check_compiler() -> str | None:
    """Return why the load generator cannot be had, or None."""
    try:
        compiled(PEERS.parent / "load.c")
    except (NoCompiler, OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None
