"""The snippet of `docs/browser.md` for React Native, run in Node with stand-ins."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sse_trio.browser

from ..test_docs import ROOT, fences, section
from .processes import DEADLINE

HERE = Path(__file__).parent / "npm"
PACKAGE = Path(sse_trio.browser.__file__).parent

APP_STATE = """
export const AppState = {
  listeners: new Set(),
  addEventListener(type, listener) {
    if (type === "change") this.listeners.add(listener);
    return {remove: () => this.listeners.delete(listener)};
  },
};
"""

# The stand-ins are there before the client is.
AROUND = """
import {become, join, pass, sockets, suspend, terminate} from "./native.js";
const {guardSession} = await import("./snippet.js");
const heard = [];
const stop = guardSession("a ticket", (detail) => heard.push(detail));
await pass(0);
const say = (...values) => console.log(JSON.stringify(values));
"""

SCENARIOS = {
    # It asks; and what the hub answers is an answer.
    "it asks the hub": (
        """
        const socket = join();
        await pass(10);
        become("background");
        become("active");
        say(socket.url, socket.sent);
        socket.say({type: "heartbeat", time: 0});
        await pass(10);
        say(sockets.length, socket.sent);
        """,
        [
            ["wss://sessions.example.com/ws", ["join", "heartbeat"]],
            [1, ["join", "heartbeat"]],
        ],
    ),
    "other changes are none": (
        """
        const socket = join();
        await pass(10);
        for (const state of ["inactive", "background", "unknown"]) become(state);
        say(socket.sent);
        """,
        [[["join"]]],
    ),
    # What was given up is not heard, although its listeners cannot be taken away by a signal.
    "a dead connection": (
        """
        const old = join();
        await pass(10);
        become("active");
        await pass(4.9);
        say(sockets.length);
        await pass(1.2);
        say(sockets.length);
        old.say(terminate);
        old.fail();
        say(heard);
        const socket = sockets.at(-1);
        socket.open();
        socket.say(terminate);
        say(heard, socket.sent);
        become("active");
        await pass(60);
        say(sockets.length);
        """,
        [
            [1],
            [2],
            [[]],
            [
                [{"room": "u1", "epoch": 1, "reason": "login", "detail": {"device": "iPad"}}],
                ["join", "terminated"],
            ],
            [2],
        ],
    ),
    "a long time in the background": (
        """
        join();
        suspend(3600);
        become("active");
        say(sockets.length);
        """,
        [[2]],
    ),
    # After some failures the next attempt would be seconds away.
    "offline": (
        """
        for (let n = 0; n < 8; n++) {
          sockets.at(-1).fail();
          await pass(40);
        }
        sockets.at(-1).fail();
        const before = sockets.length;
        become("active");
        say(sockets.length - before);
        become("active");
        say(sockets.length - before);
        """,
        [[1], [1]],
    ),
    "stopped": (
        """
        const socket = join();
        stop();
        await pass(10);
        become("active");
        await pass(100);
        say(sockets.length, socket.sent);
        """,
        [[1, ["join"]]],
    ),
    # There is nothing to share with, and that is no mistake.
    "share": (
        """
        const {SessionGuard} = await import("sse-trio");
        const whom = {room: "u1", session: "s1"};
        new SessionGuard({url: "https://h.example/ws", ...whom, share: true}).start();
        await pass(0);
        say(sockets.at(-1).url, typeof document);
        """,
        [["wss://h.example/ws", "undefined"]],
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the snippet, the client as an npm package, and the stand-ins."""
    project = tmp_path_factory.mktemp("project")
    modules = project / "node_modules"
    shutil.copytree(PACKAGE, modules / "sse-trio")
    (modules / "react-native").mkdir()
    manifest = {"name": "react-native", "type": "module", "main": "index.js"}
    (modules / "react-native" / "package.json").write_text(json.dumps(manifest))
    (modules / "react-native" / "index.js").write_text(APP_STATE)
    page = section(ROOT / "docs" / "browser.md", "Without a page")
    (snippet,) = [block.text for block in fences(page) if block.info == "js"]
    (project / "snippet.js").write_text(snippet)
    shutil.copy(HERE / "native.js", project)
    (project / "package.json").write_text('{"type": "module"}')
    return project


@pytest.mark.parametrize("name", SCENARIOS)
def test_in_react_native(project: Path, name: str) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.fail("no node: apt-get install nodejs")
    script, expected = SCENARIOS[name]
    done = subprocess.run(
        [node, "--input-type=module", "--eval", AROUND + script],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: list[Any] = [json.loads(line) for line in done.stdout.splitlines()]
    assert said == expected
