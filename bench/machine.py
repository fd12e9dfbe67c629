"""What a figure was measured on: without it, it says nothing."""

import contextlib
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PEERS = Path(__file__).parent / "peers"
PACKAGES = ("trio", "h11", "wsproto", "PyJWT", "itsdangerous")


def describe() -> dict[str, str]:
    """Return machine, versions and commit."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} CPUs",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "interpreter": _interpreter(),
        "versions": ", ".join(dict.fromkeys([*_packages(), *_pinned(), *_programs()])),
        "command": shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        "commit": _told("git", "describe", "--always", "--dirty"),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def keep_apart(pid: int, *, generator: bool) -> None:
    """Give a process's main thread the CPUs of its side: the generator's is the last.

    On one CPU together, each takes slices of 3 ms from the other, and that is what would be
    measured.
    """
    *others, last = sorted(os.sched_getaffinity(0))
    if others:
        os.sched_setaffinity(pid, {last} if generator else others)


def resident(pid: int) -> int:
    """Return the bytes that a process has in memory."""
    pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _interpreter() -> str:
    """Return which Python it is, and when built with what: one version can be fast or slow."""
    return f"{platform.python_implementation()} {' '.join(sys.version.split())}"


def _packages() -> list[str]:
    found = []
    for name in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return found


def _pinned() -> list[str]:
    requirements = (PEERS / "requirements.txt").read_text()
    packages = (PEERS / "package.json").read_text()
    return [
        f"{name} {number}"
        for name, number in (
            *re.findall(r"^(.+)==(.+)$", requirements, re.MULTILINE),
            *re.findall(r'"(.+)": "(\d.+)"', packages),
        )
    ]


def _programs() -> list[str]:
    return [f"Node {_told('node', '--version')}", _told("gcc", "--version").partition("\n")[0]]


def _processor() -> str:
    with Path("/proc/cpuinfo").open() as file:
        names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def _told(*command: str) -> str:
    try:
        told = subprocess.run(  # noqa: S603
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return told.stdout.strip()
