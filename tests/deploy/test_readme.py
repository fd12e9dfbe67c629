"""docs/deploy/README.md names every file, and leads somewhere; the files are what they say."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from ..test_docs import ROOT, anchors, fences, prose
from .files import PACK, README, listed

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def test_every_file_is_named() -> None:
    linked = {(PACK / link).resolve() for link in _LINK.findall(prose(README.read_text()))}
    assert set(listed()) <= linked


def test_links_lead_somewhere() -> None:
    for link in _LINK.findall(prose(README.read_text())):
        target, _, anchor = link.partition("#")
        path = (PACK / target).resolve() if target else README
        assert path.is_file(), link
        assert not anchor or anchor in anchors(path), link


def test_every_file_can_be_read_by_what_reads_it() -> None:
    readers: dict[str, Callable[[str], object]] = {
        ".json": json.loads,
        ".yaml": lambda text: [*yaml.safe_load_all(text)],
        ".yml": yaml.safe_load,
    }
    read = [path for path in listed() if path.suffix in readers]
    assert len(read) == 7
    for path in read:
        assert readers[path.suffix](path.read_text())


def test_commands_name_files_that_there_are() -> None:
    commands = "".join(fence.text for fence in fences(README.read_text()))
    named = set(re.findall(r"docs/deploy/[\w./-]+", commands))
    assert named
    for name in named:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("page", sorted((ROOT / ".github").glob("*.md")), ids=lambda p: p.name)
def test_links_of_the_projects_files_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(prose(page.read_text())) if "://" not in link]
    assert links
    for link in links:
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve()
        assert path.is_file(), link
        assert not anchor or anchor in anchors(path), link
    assert f".github/{page.name}" in (ROOT / "README.md").read_text()
