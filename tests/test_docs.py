"""What the documents say is what the code does: tables, examples, links, names."""

import ast
import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, get_args

import attrs
import pytest
import trio

import sse_trio
import sse_trio.apps
import sse_trio.auth
from sse_trio import cli, paths
from sse_trio.cli import status
from sse_trio.config import Config
from sse_trio.core import keyed, messages, notify, problems, questions
from sse_trio.core.messages import CloseCode
from sse_trio.hub.member import State
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine
from sse_trio.server.routes.openapi import document

from .support import KEY, Start, post, post_notify, request
from .test_imports import LAYERS

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sse_trio"
README = ROOT / "README.md"
INDEX = ROOT / "docs" / "index.md"
WALK_THROUGH = ROOT / "docs" / "walk-through.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
FAQ = ROOT / "docs" / "faq.md"
REST = ROOT / "docs" / "rest.md"
PYTHON = ROOT / "docs" / "python.md"
PROTOCOL = ROOT / "docs" / "protocol.md"
OPERATING = ROOT / "docs" / "operating.md"
EMBEDDING = ROOT / "docs" / "embedding.md"
GUARANTEES = ROOT / "docs" / "guarantees.md"
DESIGN = ROOT / "docs" / "design.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = ROOT / "docs" / "config.example.json"

RUN = "python -m pip install . && sse-trio serve --config docs/config.example.json"
DEMO = "python -m pip install '.[demo]' && sse-trio demo"
TEST = "python -m pip install -e '.[test]' && python -m pytest -n auto"

_FENCE = re.compile(r"^( *)```([^\n`]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")


@attrs.frozen
class Fence:
    """A block of code: what is said of its language, and its text."""

    info: str
    text: str


def fences(text: str) -> list[Fence]:
    return [Fence(match[2].strip(), match[3]) for match in _FENCE.finditer(text)]


def prose(text: str) -> str:
    return _FENCE.sub("", text)


def section(page: Path, heading: str) -> str:
    """The text below a heading, up to the next of its own or a higher level."""
    text = page.read_text()
    outside = _FENCE.sub(lambda block: " " * len(block[0]), text)
    headings = list(re.finditer(r"^(#+) (.+)$", outside, re.MULTILINE))
    start = next(i for i, found in enumerate(headings) if found[2] == heading)
    level = len(headings[start][1])
    ends = (found.start() for found in headings[start + 1 :] if len(found[1]) <= level)
    return text[headings[start].end() : next(ends, len(text))]


def table(page: Path, heading: str, *columns: str) -> list[list[str]]:
    """The rows of the table with these columns, below a heading; there must be one."""
    rows: list[list[str]] = []
    for line in section(page, heading).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells == list(columns):
            rows.append(cells)
        elif rows and not line.startswith("|"):
            break
        elif rows:
            assert len(cells) == len(columns), line
            rows.append(cells)
    assert len(rows) > 2, f"{page.name}: no table of {columns} below {heading}"
    return rows[2:]


def code(cell: str) -> str:
    """The only word of a cell, which is written as code."""
    match = re.fullmatch(r"`([^`]+)`", cell)
    assert match, cell
    return match[1]


def sources() -> Iterator[tuple[str, str]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), path.read_text()


def documents(text: str) -> list[Any]:
    """One JSON document, or one a line."""
    try:
        return [json.loads(text)]
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


# -- commands and examples --------------------------------------------------------------


@pytest.mark.parametrize(("page", "command"), [(README, DEMO), (WALK_THROUGH, RUN), (README, TEST)])
def test_the_page_has_the_command_as_a_block_of_its_own(page: Path, command: str) -> None:
    assert Fence("sh", command + "\n") in fences(page.read_text())


def runnable() -> list[Any]:
    found = []
    for page in PAGES:
        blocks = fences(page.read_text())
        for number, block in enumerate(blocks):
            if block.info == "python runnable":
                after = blocks[number + 1] if number + 1 < len(blocks) else None
                found.append(pytest.param(block.text, after, id=f"{page.name}-{number}"))
    return found


def test_there_are_runnable_examples() -> None:
    assert [str(example.id).rpartition("-")[0] for example in runnable()] == [EMBEDDING.name] * 3


@pytest.mark.parametrize(("program", "after"), runnable())
def test_a_runnable_example_prints_what_stands_below_it(
    program: str, after: Fence | None, tmp_path: Path
) -> None:
    script = tmp_path / "example.py"
    script.write_text(program)
    run = subprocess.run(
        [sys.executable, "-W", "error", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert after == Fence("text output", run.stdout)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_are_python(page: Path) -> None:
    for block in fences(page.read_text()):
        if block.info.startswith("python"):
            lines = block.text.splitlines()
            indent = len(lines[0]) - len(lines[0].lstrip())
            text = "\n".join(line[indent:] for line in lines)
            compile(text, page.name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def json_examples() -> list[Any]:
    found: list[Any] = []
    for page in (WALK_THROUGH, PROTOCOL):
        for block in fences(page.read_text()):
            if block.info == "json":
                found += documents(block.text)
    return found


def test_json_examples_are_messages_answers_and_problems() -> None:
    kinds = set()
    for example in json_examples():
        kind = example.get("type", "answer")
        kinds.add(kind)
        if kind == "answer":
            assert example.keys() - PROOFS == ANSWER - PROOFS
        elif kind.startswith("urn:"):
            same = problems.Problem(kind.rpartition(":")[2], example["detail"])
            assert json.loads(same.body).items() <= example.items()
        else:
            message = read(json.dumps(example))
            assert json.loads(messages.encode(message)).keys() == example.keys()
    assert {kind for kind in kinds if not kind.startswith("urn:")} == {
        "answer",
        *(type_of(sample) for sample in SAMPLES),
    }


def read(text: str) -> messages.ClientMessage | messages.ServerMessage:
    try:
        return messages.parse_from_server(text)
    except sse_trio.RemoteProtocolError:
        return messages.parse_untrusted(text)


def curls(text: str) -> list[list[str]]:
    return [
        shlex.split(line)
        for block in fences(text)
        if block.info == "sh"
        for line in block.text.splitlines()
        if line.startswith("curl ")
    ]


def curl_data(words: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(words[words.index("-d") + 1])
    return data


@pytest.mark.parametrize(
    "page", [WALK_THROUGH, REST, PROTOCOL, OPERATING], ids=lambda page: page.name
)
def test_curl_examples_ask_for_what_there_is(page: Path) -> None:
    commands = curls(page.read_text())
    assert commands
    key = json.loads(EXAMPLE.read_text())["authkey"]
    for words in commands:
        url = next(word for word in words if word.startswith("http"))
        path = url.removeprefix("http://127.0.0.1:8080")
        if path not in keyed.READERS:
            assert path in paths.PAGES
            continue
        assert words[words.index("-H") + 1] == "Content-Type: application/json"
        members = curl_data(words)
        assert members.pop("key", None) == key or f"Authorization: Bearer {key}" in words
        keyed.READERS[path](members)


async def test_the_walk_through_happens_as_it_is_told(nursery: trio.Nursery) -> None:
    ledger = sse_trio.MemoryLedger()
    config = attrs.evolve(Config.load(EXAMPLE), port=0)
    serve = partial(sse_trio.serve, config, ledger=ledger)
    hub: sse_trio.Hub = await nursery.start(serve)
    text = WALK_THROUGH.read_text()
    told = [d for block in fences(text) if block.info == "json" for d in documents(block.text)]
    first, second, everywhere = [curl_data(words) for words in curls(text)]
    happened: list[Any] = []

    def watch(session: str) -> Any:
        return sse_trio.open_member(
            f"ws://127.0.0.1:{hub.port}/ws", room=first["room"], session=session
        )

    async def event(member: Any) -> None:
        happened.append(json.loads(messages.encode(await anext(member))))

    async def post(members: dict[str, Any]) -> None:
        answer = await post_notify(hub, key=config.authkey[0], **members)
        assert answer.status == 200
        happened.append(answer.json)

    async with watch("s1") as s1:
        await event(s1)
        happened.append({"type": "heartbeat", "time": 0})
        await post(first)
        async with watch("s2") as s2:
            await event(s2)
            await post(second)
            await event(s1)
            async with watch("s1") as late:
                await event(late)
            ended: list[Any] = []

            async def end() -> None:
                ended.append(json.loads(messages.encode(await anext(s2))))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(end)
                await post(everywhere)
            happened += ended
    hub.drain()
    async with trio.open_nursery() as restarted:
        hub = await restarted.start(serve)
        async with watch("s1") as back:
            await event(back)
        hub.drain()
    assert list(map(timeless, happened)) == list(map(timeless, told))


def timeless(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out what differs from run to run: times, signatures, and who was quicker."""
    same = {name: value for name, value in document.items() if name not in {"time", *PROOFS}}
    if "terminated" in same and "ticket" in document:
        assert same.pop("acked") + same.pop("pending") == same["terminated"]
    return same | {"signed": "ticket" in document}


async def test_the_command_prints_what_the_walk_through_shows(tmp_path: Path) -> None:
    (told,) = [b.text for b in fences(WALK_THROUGH.read_text()) if b.info == "text serve"]
    example = tmp_path / EXAMPLE.relative_to(ROOT)
    example.parent.mkdir()
    shutil.copy(EXAMPLE, example)
    example.chmod(0o644)  # as a checkout makes it, mostly
    config = str(example.relative_to(tmp_path))
    command = [sys.executable, "-m", "sse_trio", "serve", "--config", config, "--port", "0"]
    shown = b""
    with trio.fail_after(30):
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
        )
        try:
            assert process.stdout is not None
            while b"curl" not in shown or not shown.endswith(b"\n"):
                data = await process.stdout.receive_some()
                assert data, shown
                shown += bytes(data)
        finally:
            process.terminate()
            await process.wait()
            if process.stdout is not None:
                await process.stdout.aclose()
    assert process.returncode == 0
    lines = [line for line in shown.decode().splitlines() if "max_connections is" not in line]
    assert list(map(portless, lines)) == list(map(portless, told.splitlines()))


def portless(line: str) -> str:
    return re.sub(r"^[\d-]+ [\d:,]+ |(?<=127\.0\.0\.1)(:| port )\d+|/\S+/(?=sse-trio.db)", "", line)


# -- the configuration ------------------------------------------------------------------


def test_the_example_has_the_three_original_keys() -> None:
    assert json.loads(EXAMPLE.read_text()).keys() == {"port", "ipaddr", "authkey"}
    config = Config.load(EXAMPLE)
    assert config.authkey


def test_the_table_of_keys_is_the_codes() -> None:
    def default(value: Any) -> str:
        if isinstance(value, attrs.Factory):  # type: ignore[arg-type]
            value = value.factory(Config())
        return "`[]`" if value == () else f"`{json.dumps(value)}`"

    assert table(CONFIGURATION, "Configuration", "key", "default", "unit", "meaning") == [
        [
            f"`{field.name}`",
            default(field.default),
            field.metadata.get("unit", ""),
            field.metadata["about"],
        ]
        for field in attrs.fields(Config)
    ]


def test_defaults_that_are_quoted_are_the_codes() -> None:
    quoted = re.findall(r"`(max_\w+)`(?:\sbytes|\sof them)\s\((\d+)\)", PROTOCOL.read_text())
    assert {name for name, _ in quoted} == {
        "max_message",
        "max_body",
        "max_check_body",
        "max_wrong_keys",
    }
    for name, value in quoted:
        assert getattr(Config(), name) == int(value)


# -- the protocol -----------------------------------------------------------------------

SAMPLES: list[messages.ClientMessage | messages.ServerMessage] = [
    messages.Join("u1"),
    messages.Terminated(1),
    messages.Heartbeat(1),
    messages.Joined("u1", "s1", 1, 25),
    messages.Terminate("u1", 1, "login", None),
    messages.Hold(),
    messages.Error(4400, "why"),
]

PROOFS = {"ticket", "token"}
ANSWER = {
    *("room", "epoch", "floor", "standing", "ended", "terminated", "acked", "pending"),
    *PROOFS,
}


def type_of(message: messages.ClientMessage | messages.ServerMessage) -> str:
    return str(json.loads(messages.encode(message))["type"])


@pytest.mark.parametrize(
    ("heading", "last", "kinds"),
    [
        ("Client to server", "when", messages.ClientMessage),
        ("Server to client", "meaning", messages.ServerMessage),
    ],
)
def test_the_tables_of_messages_are_the_codes(heading: str, last: str, kinds: Any) -> None:
    said = {
        code(row[0]): set(_CODE.findall(row[1]))
        for row in table(PROTOCOL, heading, "type", "fields", last)
    }
    samples = [sample for sample in SAMPLES if type(sample) in get_args(kinds)]
    assert len(samples) == len(get_args(kinds))
    meant = {type_of(s): {field.name for field in attrs.fields(type(s))} for s in samples}
    if heading == "Client to server":
        meant["heartbeat"] = set()  # the clock is the server's
    assert said == meant


def test_the_close_codes_are_the_codes() -> None:
    protocol = table(PROTOCOL, "Close codes", "code", "name", "meaning", "reconnect")
    assert [(int(row[0]), code(row[1])) for row in protocol] == [
        (code, code.name.lower()) for code in CloseCode
    ]
    for row in protocol:
        close = CloseCode(int(row[0]))
        assert re.match("yes, with backoff|no|never", row[-1]), row
        assert row[-1].startswith("yes") is close.reconnect
        assert (row[-1] == "never") is (close is CloseCode.TERMINATED)


def test_the_members_of_a_notify_are_the_codes() -> None:
    columns = ("field", "type", "default", "meaning")
    rows = {code(row[0]): row for row in table(PROTOCOL, "POST /notify", *columns)}
    fields = {field.name for field in attrs.fields(notify.Notify)}
    assert rows.keys() == fields | {"key"}
    for name, limit in {
        "reason": notify.MAX_REASON,
        "detail": notify.MAX_DETAIL,
        "id": notify.MAX_ID,
        "wait": notify.MAX_WAIT,
        "end": notify.MAX_END,
        "about": notify.MAX_ABOUT,
    }.items():
        assert max(map(int, re.findall(r"\d+", rows[name][1]))) == limit


def test_the_members_of_a_release_are_the_codes() -> None:
    columns = ("field", "type", "default", "meaning")
    rows = {code(row[0]): row for row in table(PROTOCOL, "POST /release", *columns)}
    fields = {field.name for field in attrs.fields(notify.Release)}
    assert rows.keys() == fields | {"key"}


async def test_the_members_of_an_answer_are_the_codes(start: Start) -> None:
    hub = await start()
    answer = await post_notify(hub, room="u1", sender="s1")
    said = {code(row[0]) for row in table(PROTOCOL, "POST /notify", "field", "meaning")}
    assert said == answer.json.keys() == ANSWER


def test_the_paths_are_the_codes() -> None:
    said = {code(row[0]) for row in table(PROTOCOL, "Pages", "path", "methods", "answer")}
    assert said == {*paths.PAGES, "/ws", *keyed.READERS, "/verify"}


async def test_the_answers_to_questions_are_as_shown(start: Start) -> None:
    hub = await start()
    await hub.notify("u1", sender="s1")
    outcome = await hub.notify("u1", sender="s2", detail={"device": "Firefox"})

    async def ask(path: str, **members: Any) -> Any:
        return (await post(hub, path, {"key": KEY, **members})).json

    def same(shown: Any, answered: Any) -> bool:
        """Whether two documents have the same members all the way down."""
        if isinstance(shown, list):
            return all(map(same, shown, answered))
        if isinstance(shown, dict):
            return shown.keys() == answered.keys() and all(
                name == "about" or same(value, answered[name]) for name, value in shown.items()
            )
        return type(shown) is type(answered)

    def part(answer: dict[str, Any]) -> dict[str, Any]:
        """Leave out the metrics that are not shown, and count what was shown as counted."""
        shown = ("members", "notifies", "fan_out_seconds")
        metrics = {name: answer["metrics"][name] for name in shown}
        metrics["notifies"]["values"]["limit"] = 1
        return answer | {"metrics": metrics}

    nobody = {"room": "u1", "session": "s3"}
    asked = [{"room": "u1", "session": session} for session in ("s2", "s1", "s3")]
    answers = {
        "json check": [
            *[await ask("/check", **each) for each in asked],
            await ask("/check", checks=[{"token": outcome.token}, nobody]),
        ],
        "json sessions": [await ask("/sessions", room="u1")],
        "json statistics": [part(await ask("/statistics"))],
        "json decisions": [await ask("/decisions", limit=2)],
        "json verify": [
            (
                await request(
                    hub, "GET", "/verify", headers={"Cookie": f"__Host-sse_trio={outcome.token}"}
                )
            ).json
        ],
    }
    blocks = {block.info: block.text for block in fences(PROTOCOL.read_text())}
    for info, answered in answers.items():
        shown = documents(blocks[info])
        assert len(shown) == len(answered)
        assert same(shown, answered), info


async def test_the_members_of_a_check_are_the_codes(start: Start) -> None:
    columns = ("field", "type", "default", "meaning")
    said = {code(row[0]) for row in table(PROTOCOL, "POST /check", *columns)}
    assert said == {field.name for field in attrs.fields(questions.LoginQuery)} | {"key", "checks"}


def test_the_kinds_of_problems_are_the_codes() -> None:
    rows = table(PROTOCOL, "Statuses", "kind", "status", "meaning")
    assert [(code(row[0]), int(row[1])) for row in rows] == [*problems.STATUSES.items()]


def statuses() -> set[int]:
    """Every HTTP status that stands in the code of the hub where one is made."""
    found: set[object] = {*problems.STATUSES.values()}
    for text in (text for name, text in sources() if not name.startswith("demo/")):
        for node in ast.walk(ast.parse(text)):
            value: ast.expr | None = None
            match node:
                case ast.Call(func=ast.Name(id="Reply"), args=[first, *_]):
                    value = first
                case ast.keyword(arg="status_code", value=first):
                    value = first
            if isinstance(value, ast.Constant):
                found.add(value.value)
    return {value for value in found if isinstance(value, int) and 100 <= value < 600}


def test_the_statuses_are_the_codes() -> None:
    said = [int(row[0]) for row in table(PROTOCOL, "Statuses", "status", "when", "afterwards")]
    assert said == sorted(statuses())


def test_the_operations_are_those_of_the_openapi_document() -> None:
    described = json.loads(document(Config()))
    proofs = {"authkey": "the authkey", "cookie": "a token"}
    meant = []
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            security = operation["security"]
            meant.append(
                [
                    f"`{method.upper()} {path}`",
                    operation["summary"],
                    proofs[min(security[0])] if security else "none",
                    ", ".join(sorted(operation["responses"])),
                ]
            )
    rows = table(REST, "Operations", "operation", "what it does", "proof", "statuses")
    said = [[re.sub(r"^\[(.*)\]\(.*\)$", r"\1", row[0]), *row[1:]] for row in rows]
    assert said == meant


# -- operating --------------------------------------------------------------------------


async def test_the_metrics_are_the_codes(start: Start) -> None:
    hub = await start()
    shown = (await request(hub, "GET", "/metrics")).body.decode()
    rows = table(OPERATING, "Metrics", "metric", "type", "meaning")
    meant = re.findall(r"^# TYPE (\S+) (\S+)$", shown, re.MULTILINE)
    assert [(code(row[0]), row[1]) for row in rows] == meant


async def test_the_metrics_of_a_node_are_the_codes(nursery: trio.Nursery) -> None:
    engine = MemoryEngine(MemoryDatabase(time.time))
    async with ClusterLedger.open(engine, Settings()) as ledger:
        config = Config(port=0, authkey=KEY)
        async with trio.open_nursery() as own:
            hub = await own.start(partial(sse_trio.serve, config, ledger=ledger))
            shown = (await request(hub, "GET", "/metrics")).body.decode()
            own.cancel_scope.cancel()
    rows = table(OPERATING, "Metrics", "metric", "type", "meaning")
    rows += table(OPERATING, "Metrics of a node", "metric", "type", "meaning")
    meant = re.findall(r"^# TYPE (\S+) (\S+)$", shown, re.MULTILINE)
    assert [(code(row[0]), row[1]) for row in rows] == meant


def test_the_results_of_notifies_are_the_codes() -> None:
    rows = table(OPERATING, "Metrics", "metric", "type", "meaning")
    row = next(row for row in rows if code(row[0]) == "sse_trio_notifies_total")
    counts = re.compile(
        r'notifies\["\w+"\]|^ +reason = "loading"[^\n]*|_count\(accepted\.wanted, [^)]*\)'
        r"|^_RESULTS = \{.*?\}",
        re.DOTALL | re.MULTILINE,
    )
    counted = " ".join(call for _, text in sources() for call in counts.findall(text))
    assert set(_CODE.findall(row[2])) == {*re.findall(r'"(\w+)"', counted), "result"}


def test_logged_messages_are_the_codes() -> None:
    everything = "\n".join(text for _, text in sources())
    for row in table(OPERATING, "Logs", "level", "message begins", "what to do"):
        assert f'"{code(row[1])}' in everything


def test_the_commands_are_the_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    shown = re.findall(r"^    (\w+) ", capsys.readouterr().out, re.MULTILINE)
    rows = table(OPERATING, "Commands", "command", "does")
    assert [code(row[0]) for row in rows] == [f"sse-trio {command}" for command in shown]
    for page in PAGES:
        used = re.findall(r"(?:^|`|/)sse-trio (\w+)", page.read_text(), re.MULTILINE)
        assert set(used) <= set(shown), page.name


def test_exit_statuses_are_the_codes() -> None:
    rows = table(OPERATING, "Commands", "exit status", "meaning")
    assert [int(row[0]) for row in rows] == [status.DONE, status.FAILED, status.WRONG]


# -- embedding --------------------------------------------------------------------------


def test_every_name_of_the_package_exists() -> None:
    everything = "\n".join(text for _, text in sources())
    for page in PAGES:
        for name in re.findall(r"(?<!request\.)\bsse_trio\.([A-Za-z_]+)", page.read_text()):
            is_module = importlib.util.find_spec(f"sse_trio.{name}") is not None
            is_logger = f'getLogger("sse_trio.{name}")' in everything
            assert is_module or is_logger or hasattr(sse_trio, name), f"{page.name}: {name}"


def test_every_public_exception_of_notify_is_named() -> None:
    rows = table(EMBEDDING, "Notify", "exception", "when", "what to do")
    said = {code(row[0]) for row in rows}
    documented = set(re.findall(r"^ +(\w+): ", sse_trio.Hub.notify.__doc__ or "", re.MULTILINE))
    assert said == documented
    assert said <= set(sse_trio.__all__)


def test_every_public_name_is_in_the_reference() -> None:
    documented = set(re.findall(r"^\.\. auto\w+:: ([\w.]+)", PYTHON.read_text(), re.MULTILINE))
    shared = set(sse_trio.__all__)
    for module in (sse_trio, sse_trio.apps, sse_trio.auth):
        own = set(module.__all__) - (shared if module is sse_trio.apps else set())
        assert {f"{module.__name__}.{name}" for name in own} <= documented


def test_each_error_of_a_docstring_has_a_line_of_its_own() -> None:
    name = r"[A-Z][\w.]*|\w+\.\w+"
    entry = re.compile(rf" {{4}}(?:{name})(?:, (?:{name}))*: ")
    documented = [
        (path, lines[lines.index("Raises:") + 1 :])
        for path, text in sources()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if "Raises:" in (lines := (ast.get_docstring(node) or "").splitlines())
    ]
    assert documented
    for path, lines in documented:
        for line in lines:
            assert entry.match(line) or line.startswith(" " * 8), (path, line)
            assert not re.search(r"\. [A-Z]\w+(?:, [A-Z]\w+)*: ", line), (path, line)


def test_the_attributes_of_an_outcome_are_the_codes() -> None:
    rows = table(EMBEDDING, "Notify", "attribute", "meaning")
    said = {name for row in rows for name in _CODE.findall(row[0])}
    public = {f.name for f in attrs.fields(sse_trio.Outcome) if not f.name.startswith("_")}
    counts = {"terminated", "acked", "pending", "nodes", "lapsed"}
    assert said == public | counts | {"ended"}


# -- design -----------------------------------------------------------------------------


def test_every_module_is_named_in_the_design() -> None:
    said = [code(row[0]) for row in table(DESIGN, "Files", "module", "for")]
    assert sorted(said) == sorted(name for name, _ in sources())


def test_every_state_is_named_in_the_design() -> None:
    rows = table(DESIGN, "States of a WebSocket", "state", "meaning", "ends by")
    assert [(row[0], row[1]) for row in rows] == [
        (state.name.lower(), state.value) for state in State
    ]


def test_the_layers_of_imports_are_those_that_are_checked() -> None:
    (line,) = [block.text for block in fences(DESIGN.read_text()) if block.info == "text layers"]
    assert [set(part.split()) for part in line.split("|")] == [
        names for names in LAYERS if "__init__" not in names
    ]


# -- guarantees -------------------------------------------------------------------------


def test_the_tests_that_show_the_guarantees_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", GUARANTEES.read_text())
    rows = table(GUARANTEES, "The promises", "promise", "rests on", "broken by", "shown by")
    assert len(named) >= len(rows)
    assert all("`tests/" in row[-1] for row in rows)
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text(), (path, test)


# -- links ------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The headings, as GitHub names them."""
    titles = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


EXAMPLES = sorted((ROOT / "docs" / "examples").rglob("README.md"))


@pytest.mark.parametrize(
    "page", [*PAGES, *EXAMPLES], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = [link for link in _LINK.findall(prose(page.read_text())) if "://" not in link]
    for link in links:
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.is_relative_to(ROOT), link
        assert path.is_file(), link
        if anchor:
            assert anchor in anchors(path), link


@pytest.mark.parametrize(
    ("start", "folder"), [(README, "docs/"), (INDEX, "")], ids=["README.md", "index.md"]
)
def test_the_readme_and_the_index_lead_to_every_page(start: Path, folder: str) -> None:
    text = start.read_text()
    for page in PAGES[1:]:
        assert page == start or f"]({folder}{page.name})" in text


def test_every_answer_is_short_and_leads_on() -> None:
    _, *answers = re.split(r"^### .*\?$", FAQ.read_text(), flags=re.MULTILINE)
    assert len(answers) >= 12
    for answer in answers:
        text = answer.partition("\n## ")[0]
        assert 2 <= len(re.findall(r"[.?!](?=\s)", text)) <= 5, text
        assert _LINK.search(text), text
