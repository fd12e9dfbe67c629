"""What the README of each application says is there."""

import re

import pytest

from .applications import COMMANDS, EXAMPLES

MAX_LINES = 60


@pytest.mark.parametrize("name", COMMANDS)
def test_an_application_is_short_and_has_the_steps_of_its_page(name: str) -> None:
    (file,) = (EXAMPLES / name).glob("app.*")
    text = file.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    marked = {int(n) for n in re.findall(r"(?://|#) (\d)\b", text)}
    page = (EXAMPLES / name / "README.md").read_text()
    steps = [int(n) for n in re.findall(r"^(\d)\. \*\*", page, re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert marked == set(steps)


def test_the_index_leads_to_every_application() -> None:
    index = (EXAMPLES / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+)/README\.md\)", index)) == set(COMMANDS)
