"""What the README of each application says is there."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sse_trio import Config
from sse_trio.server.routes.openapi import document

from .applications import BY_HAND, COMMANDS, EXAMPLES

MAX_LINES = 60
MAX_COPIED = 75

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/README.md"))
CODE = {".py", ".js", ".cjs", ".rb", ".erb", ".php", ".java", ".cs"}
USES_REST = sorted(set(NAMES) - {"flask", "fastapi", "django"})

# They make no line of an application longer to read.
_NO_CODE = re.compile(r"\s*(?:(?:import|package|namespace|use|using) .*|[\]})>;,/]*)$")


def files(name: str) -> list[Path]:
    return sorted(path for path in (EXAMPLES / name).rglob("*") if path.suffix in CODE)


def page(name: str) -> str:
    return (EXAMPLES / name / "README.md").read_text()


def code(name: str) -> str:
    return "\n".join(path.read_text() for path in files(name))


@pytest.mark.parametrize("name", NAMES)
def test_an_application_is_short(name: str) -> None:
    """A file that is copied as it is, which says so, counts by itself."""
    texts = [path.read_text() for path in files(name)]
    copied = [text for text in texts if "Copy this file" in text]
    own = "\n".join(text for text in texts if text not in copied)
    for text, most in [(own, MAX_LINES), *((text, MAX_COPIED) for text in copied)]:
        counted = [line for line in text.splitlines() if not _NO_CODE.match(line)]
        assert 10 < len(counted) <= most


@pytest.mark.parametrize("name", [name for name in NAMES if name != "outsystems"])
def test_the_code_has_the_steps_of_its_page(name: str) -> None:
    fenced = "".join(re.findall(r"```\w+\n(.*?)```", page(name), re.DOTALL))
    marks = re.findall(r"(?://|#|/\*|\{--) (\d)\b", code(name) + fenced)
    steps = [int(n) for n in re.findall(r"^(\d)\. \*\*", page(name), re.MULTILINE)]
    assert steps == list(range(1, len(steps) + 1))
    assert {int(n) for n in marks} == set(steps)


def test_the_index_says_of_every_application_how_it_was_tried() -> None:
    index = (EXAMPLES / "README.md").read_text()
    rows = dict(re.findall(r"^\| \[.*?\]\((\w+)/README\.md\).* \| (.*?) \|$", index, re.MULTILINE))
    assert sorted(rows) == NAMES
    for name, tried in rows.items():
        assert (tried == "run in CI") == (name in COMMANDS)
        assert (name in BY_HAND) == bool(re.match(r"run by hand on .*2026, with .*\d", tried))


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(COMMANDS)))
def test_a_page_says_at_its_top_how_it_was_tried(name: str) -> None:
    _, first, *_ = page(name).split("\n\n")
    kind = r"Run by hand on" if name in BY_HAND else r"Not run|Text: none of it was run"
    assert re.match(rf"\*(?:{kind}).* 2026\b.*\*$", first)


@pytest.mark.parametrize("name", USES_REST)
def test_the_address_and_the_key_come_from_outside(name: str) -> None:
    text = code(name) + page(name)
    assert "SSE_TRIO_URL" in text
    assert "SSE_TRIO_KEY" in text
    assert not re.search(r"Bearer [\w/+]|HknYh", text)


@pytest.mark.parametrize("name", USES_REST)
def test_a_hub_that_is_too_busy_is_away(name: str) -> None:
    """It does not refuse for good with 408 and 429, although they are no 5xx."""
    text = page(name) if name == "outsystems" else code(name)
    assert re.search(r"\b408\b.{1,40}\b429\b", text)


def test_the_express_page_is_about_the_code_beside_it() -> None:
    depends = json.loads((EXAMPLES / "express" / "package.json").read_text())["dependencies"]
    text = page("express")
    assert re.findall(r"\*\*Express (\d+)\*\*", text) == [depends["express"].partition(".")[0]]
    # For an application that uses `require`, the same names are imported.
    (imported,) = re.findall(r'^import (\{.*\}) from "\./', code("express"), re.MULTILINE)
    assert f'const {imported} = require("./' in text


# -- held against the description of the API ----------------------------------------------

_DESCRIBED: dict[str, Any] = json.loads(document(Config(authkey="a key of this test's")))
_SCHEMAS = _DESCRIBED["components"]["schemas"]

# A question that is written in its place, or before as `wanted`, in any of the languages.
_OBJECT = r"(?:new )?(?:[\[{]|Map\.of\()"
_ASKED = re.compile(rf"""(?:["']/(\w+)["'], |\$?wanted = )(?={_OBJECT})""")
_READ = re.compile(r"""\b(?:login|before|found)!?(?:\[|\.(?:path|get|has)\()["'](\w+)["']""")
_TAKEN = re.compile(r"const \{([\w, ]+)\} = await (?!notify)")


def properties(schema: Any) -> set[str]:
    """The names of all members that a schema describes, at whatever depth."""
    if isinstance(schema, list):
        return set().union(*map(properties, schema))
    if not isinstance(schema, dict):
        return set()
    found = set(schema.get("properties", {}))
    for key, value in schema.items():
        if key == "$ref":
            found |= properties(_SCHEMAS[value.rpartition("/")[2]])
        else:
            found |= properties(value)
    return found


def entries(text: str) -> Iterator[str]:
    """Yield what stands between the commas of the object with which a text begins."""
    depth, entry = 0, ""
    for char in text:
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        if depth == 0 and char in ")]}":
            break
        if depth == 1 and char == ",":
            yield entry
            entry = ""
        elif depth:
            entry += char
    yield entry


def questions(text: str) -> Iterator[tuple[str, set[str]]]:
    """Yield each question that a text asks: its path, and the names of its members."""
    for asked in _ASKED.finditer(text):
        written = text[asked.end() :]
        names = [re.match(r"\W*(\w+)", each) for each in entries(written.removeprefix("new "))]
        told = [name[1] for name in names if name]
        if written.startswith("Map.of"):
            told = re.findall(r'"(\w+)", ', written.partition("\n")[0])
        yield f"/{asked[1] or 'notify'}", set(told)


@pytest.mark.parametrize("name", USES_REST)
def test_an_application_names_only_what_the_api_has(name: str) -> None:
    text = code(name)
    described = {path: properties(what["post"]["requestBody"]) for path, what in keyed().items()}
    for path in re.findall(r"""ask\w*\(["'](/\w+)["']""", text, re.IGNORECASE):
        assert path in described
    for path, told in questions(text):
        assert told
        assert told <= described[path], (path, told - described[path])
    answers = properties([what["post"]["responses"]["200"] for what in keyed().values()])
    read = set(_READ.findall(text))
    for taken in _TAKEN.findall(text):
        read |= set(taken.split(", "))
    assert read <= answers, read - answers


def keyed() -> dict[str, Any]:
    return {path: what for path, what in _DESCRIBED["paths"].items() if "post" in what}


def test_the_questions_of_every_language_are_found() -> None:
    """So that the test above cannot pass because it looks at nothing."""
    for name in sorted(set(USES_REST) - {"outsystems"}):
        found = dict(questions(code(name)))
        assert {"room", "sender", "id", "end"} == found["/notify"], name
        assert "token" in found["/check"], name


def test_what_the_outsystems_page_shows_is_what_the_api_has() -> None:
    shown = re.findall(r"(?:POST (/\w+)|200) +(\{.*\})$", page("outsystems"), re.MULTILINE)
    assert len(shown) == 6
    path = ""
    for asked, text in shown:
        path = asked or path
        what = keyed()[path]["post"]
        allowed = properties(what["requestBody"] if asked else what["responses"]["200"])
        assert set(json.loads(text)) <= allowed
