"""The npm package: what is in it, and that it works in workers, in Node, in React and in Vue."""

import json
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

import sse_trio.browser

from .conftest import StartHub
from .processes import Site

HERE = Path(__file__).parent / "npm"
PACKAGE = Path(sse_trio.browser.__file__).parent
DEADLINE = 120


def run(*command: str, cwd: Path) -> str:
    """Run a command; return what it prints."""
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=DEADLINE, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has installed the package as npm packs it, and the frameworks."""
    if shutil.which("npm") is None:
        pytest.fail("no npm: apt-get install npm")
    project = tmp_path_factory.mktemp("project")
    shutil.copytree(HERE, project, dirs_exist_ok=True)
    packed = json.loads(run("npm", "pack", "--json", f"--pack-destination={project}", cwd=PACKAGE))
    archive = project / packed[0]["filename"]
    quiet = ("--silent", "--no-audit", "--no-fund", "--prefer-offline")
    run("npm", "install", *quiet, str(archive), cwd=project)
    return project


def manifest(name: str) -> Any:
    return json.loads((PACKAGE / name).read_text())


def test_the_package_has_all_files_and_the_projects_version(installed: Path) -> None:
    package = manifest("package.json")
    pyproject = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert package["version"] == pyproject["project"]["version"]
    packed = installed / "node_modules" / "sse-trio"
    files = {path.name for path in PACKAGE.iterdir() if path.suffix in {".js", ".ts", ".json"}}
    assert {path.name for path in packed.iterdir()} == files
    for export in package["exports"].values():
        for path in export.values() if isinstance(export, dict) else [export]:
            assert (packed / path).is_file()


def test_the_manifest_names_what_the_element_has() -> None:
    source = sse_trio.browser.SOURCE.decode()
    types = (PACKAGE / "sse-trio.d.ts").read_text()
    [module] = manifest("custom-elements.json")["modules"]
    [element] = module["declarations"]
    attributes = {each["name"] for each in element["attributes"]}
    [named] = re.findall(r"`<session-guard ([a-z ]+)>`", types)
    assert attributes == set(named.split())
    used = set(re.findall(r'(?:get|has)Attribute\("([a-z]+)"\)', source))
    [observed] = re.findall(r"observedAttributes = (\[.*?\])", source)
    assert attributes == {*used, *json.loads(observed), "redirect"}
    styles = set(re.findall(r"--session-guard-[a-z-]+", source))
    assert {each["name"] for each in element["cssProperties"]} == styles
    for event in element["events"]:
        assert f'"{event["name"]}"' in source


def test_the_types(installed: Path) -> None:
    options = "--noEmit --strict --skipLibCheck --jsx react-jsx --module nodenext --lib es2023,dom"
    run("npx", "tsc", *options.split(), "types.ts", "types.tsx", cwd=installed)


IN_NODE = """
import {SessionGuard} from "sse-trio";
const guard = new SessionGuard({url: process.argv[2], room: "u1", session: "s1"});
for (const type of ["joined", "terminated"]) guard.addEventListener(type, () => console.log(type));
guard.start();
"""


def test_in_node_it_joins_and_is_terminated(installed: Path, start_hub: StartHub) -> None:
    hub = start_hub()
    (installed / "guard.js").write_text(IN_NODE)
    # Node has WebSocket by itself from version 22 on.
    command = ["node", "--no-warnings", "--experimental-websocket", "guard.js", hub.url]
    with subprocess.Popen(command, cwd=installed, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "joined\n"
        hub.notify(room="u1", sender="s2")
        # It ends by itself: nothing is left that would keep it.
        assert process.communicate(timeout=DEADLINE)[0] == "terminated\n"


IN_A_WORKER = """
import {SessionGuard} from "%s";
const guard = new SessionGuard({url: "%s", room: "u1", session: "s1"});
for (const type of ["joined", "terminated"]) guard.addEventListener(type, () => postMessage(type));
guard.start();
"""


def test_in_a_worker(start_hub: StartHub, site: Site, page: Page) -> None:
    hub = start_hub()
    worker = (IN_A_WORKER % (hub.client, hub.url)).encode()
    site.pages["/worker.js"] = ("text/javascript", worker, {})
    page.goto(
        site.page(
            "/",
            """<script>
            window.said = [];
            new Worker("/worker.js", {type: "module"}).onmessage = ({data}) => said.push(data);
            </script>""",
        )
    )
    page.wait_for_function("said.length === 1")
    hub.notify(room="u1", sender="s2")
    page.wait_for_function("said.length === 2")
    assert page.evaluate("said") == ["joined", "terminated"]


def bundled(installed: Path, file: str, *options: str) -> bytes:
    define = '--define:process.env.NODE_ENV="production"'
    flags = ["--bundle", "--format=esm", "--log-level=warning", define]
    return run("npx", "esbuild", file, *flags, *options, cwd=installed).encode()


def text_is(page: Page, text: str) -> None:
    page.wait_for_function("text => document.querySelector('p')?.textContent === text", arg=text)


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_in_a_framework(
    installed: Path, start_hub: StartHub, site: Site, page: Page, framework: str
) -> None:
    hub = start_hub()
    site.pages["/app.js"] = ("text/javascript", bundled(installed, f"{framework}.js"), {})
    html = f"""<div></div><script type="module">
      import {{run}} from "/app.js";
      run("{hub.url}", document.querySelector("div"));
    </script>"""
    page.goto(site.page("/", html))
    text_is(page, "s1 joined 0 websocket")
    hub.notify(room="u1", sender="s2")
    text_is(page, "s1 terminated 1 null")
    assert page.evaluate("window.reason") == "login"
    page.click("p")
    text_is(page, "s2 joined 1 websocket")
    page.click("p")
    text_is(page, "null stopped undefined null")
    while hub.members():
        page.wait_for_timeout(10)


@pytest.mark.parametrize("framework", ["react", "vue"])
def test_a_server_renders_without_it(installed: Path, framework: str) -> None:
    script = f"""
        import {{render}} from "./{framework}.js";
        console.log(await render("wss://127.0.0.1:1/ws"));
    """
    printed = run("node", "--input-type=module", "--eval", script, cwd=installed)
    assert printed == "<p>s1 stopped undefined null</p>\n"


IN_REACT = """
import {createElement} from "react";
import {createRoot} from "react-dom/client";
IMPORT
SNIPPET
const inside = (ticket) => createElement(Guarded, {ticket}, "inside");
export const run = (ticket, at) => createRoot(at).render(inside(ticket));
"""

IN_VUE = """
import {createApp, h} from "vue";
IMPORT
const App = {
  props: ["ticket"],
  setup(props) {
    SNIPPET
    return () => h("p", status.value.state);
  },
};
export const run = (ticket, at) => createApp(App, {ticket}).mount(at);
"""


@pytest.mark.parametrize(
    ("framework", "around", "shows"), [("react", IN_REACT, "inside"), ("vue", IN_VUE, "joined")]
)
def test_what_the_page_shows(
    installed: Path,
    start_hub: StartHub,
    site: Site,
    page: Page,
    framework: str,
    around: str,
    shows: str,
) -> None:
    hub = start_hub(join="ticket")
    text = (Path(__file__).parents[2] / "docs" / "browser.md").read_text()
    pattern = rf'^(import \{{useSessionGuard\}} from "sse-trio/{framework}";\n)\n(.*?)^```'
    [(imported, snippet)] = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    source = around.replace("IMPORT", imported).replace("SNIPPET", snippet)
    assert source.count("wss://sessions.example.com/ws") == 1
    source = source.replace("wss://sessions.example.com/ws", hub.url)
    (installed / f"shown-{framework}.jsx").write_text(source)
    script = bundled(installed, f"shown-{framework}.jsx", "--jsx=automatic")
    site.pages["/app.js"] = ("text/javascript", script, {})
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    html = f"""<div></div><script type="module">
      import {{run}} from "/app.js";
      run("{ticket}", document.querySelector("div"));
    </script>"""
    site.page("/logged-out", "logged out")
    page.goto(site.page("/", html))
    page.wait_for_function("text => document.querySelector('div').innerText === text", arg=shows)
    while not hub.members():
        page.wait_for_timeout(10)
    hub.notify(room="u1", sender="s2")
    page.wait_for_url("**/logged-out?reason=login")
