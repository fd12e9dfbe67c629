"""Imports run one way, the core stays pure, and nobody touches another's private names.

Read off the source itself. `faults` judges one module's text, so that the last tests here
can show that it finds what it is for.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import sse_trio

ROOT = Path(sse_trio.__file__).parent

# Each may import itself and whatever stands before it.
LAYERS = (
    {
        "errors",
        "histogram",
        "roster",
        "strict_json",
        "values",
        "origins",
        "paths",
        "fields",
        "sources",
        "ledger_url",
        "config",
        "browser",
        "operator",
    },
    {"core"},
    {"ledger"},
    {"hub"},
    {"server"},
    {"client", "apps"},
    {"auth", "demo", "cli", "logs"},
    {"__init__", "__main__"},
)
# The client is for programs that run no server.
CLIENT_MAY = {"sse_trio.core.messages", "sse_trio.errors"}

# Nor do these bring Trio, or the server, into an application.
APPS_MAY = {
    f"sse_trio.{name}"
    for name in (
        "core.cookies",
        "core.messages",
        "errors",
        "fields",
        "roster",
        "strict_json",
    )
}

# What knows how bytes travel.
OF_THE_WIRE = {"socket", "h11", "wsproto"}

# What waits, tells the time, draws lots or looks outside.
IMPURE = {"trio", "socket", "time", "random", "secrets", "os", "asyncio", "threading", "datetime"}


def layer(module: str) -> int:
    """Return the layer of ``sse_trio.a.b``; that of its root is the last one."""
    top = (*module.split("."), "__init__")[1]
    for index, names in enumerate(LAYERS):
        if top in names:
            return index
    raise AssertionError(f"say in LAYERS where {module} belongs")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def imports(tree: ast.Module, package: list[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the module, the name taken from it, and the name it is bound to."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                yield alias.name, "", bound
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            for alias in node.names:
                yield module, alias.name, alias.asname or alias.name


def faults(module: str, text: str, *, is_package: bool = False) -> list[str]:
    """Say what is wrong with the imports of ``module``, whose source is `text`."""
    tree = ast.parse(text)
    package = module.split(".") if is_package else module.split(".")[:-1]
    found, bound = [], set()
    for source, name, here in imports(tree, package):
        bound.add(here)
        whole = f"{source}.{name}" if name else source
        if any(map(is_private, whole.split("."))):
            found.append(f"{whole} is private")
        if source.split(".")[0] == "sse_trio":
            # `from . import pages` takes a module, `from .pages import render` a name of one.
            is_module = (ROOT.parent / f"{whole.replace('.', '/')}.py").exists()
            found += wrong_way(module, whole if is_module else source)
        elif f"{module}.".startswith("sse_trio.core.") and source.split(".")[0] in IMPURE:
            found.append(f"{source} is not for the core")
        elif f"{module}.".startswith("sse_trio.hub.") and source.split(".")[0] in OF_THE_WIRE:
            found.append(f"{source} is not for the hub")
    return found + [f"{name} is private" for name in private_attributes(tree, bound)]


def wrong_way(module: str, target: str) -> Iterator[str]:
    """Say it if `module` must not import `target`."""
    if layer(target) > layer(module):
        yield f"{target} is of a later layer"
    if module == "sse_trio.client" and target not in CLIENT_MAY:
        yield f"{target} is not for the client"
    its_own = f"{target}.".startswith("sse_trio.apps.")
    if f"{module}.".startswith("sse_trio.apps.") and not its_own and target not in APPS_MAY:
        yield f"{target} is not for applications"


def private_attributes(tree: ast.Module, bound: set[str]) -> Iterator[str]:
    """Yield every ``a.b._c`` where ``a`` is something imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in bound:
                yield ast.unparse(node)


def modules() -> list[tuple[str, Path]]:
    names = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        names.append((".".join(part for part in parts if part != "__init__"), path))
    return names


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_imports(module: str, path: Path) -> None:
    assert faults(module, path.read_text(), is_package=path.stem == "__init__") == []


@pytest.mark.parametrize(
    ("module", "text", "fault"),
    [
        ("core.rooms", "from ..hub.hub import Hub", "sse_trio.hub.hub is of a later layer"),
        ("core.rooms", "from ..hub import hub", "sse_trio.hub.hub is of a later layer"),
        ("core.rooms", "import sse_trio.ledger", "sse_trio.ledger is of a later layer"),
        ("core.rooms", "from .. import Hub", "sse_trio is of a later layer"),
        ("config", "from .core.messages import name", "sse_trio.core.messages is of a later layer"),
        ("hub.hub", "def f():\n from ..cli import main", "sse_trio.cli is of a later layer"),
        ("client", "from .hub.hub import Hub", "sse_trio.hub.hub is not for the client"),
        ("client", "from .config import Config", "sse_trio.config is not for the client"),
        ("apps.wsgi", "from ..config import Config", "sse_trio.config is not for applications"),
        ("core.rooms", "import time", "time is not for the core"),
        ("core.rooms", "from os.path import join", "os.path is not for the core"),
        ("core.rooms", "import trio.testing as t", "trio.testing is not for the core"),
        ("hub.hub", "import trio\ntrio._core.run()", "trio._core is private"),
        ("hub.hub", "import trio as t\nt.a._b", "t.a._b is private"),
        ("hub.hub", "from trio._core import run", "trio._core.run is private"),
        ("server.exchange", "from h11 import _state", "h11._state is private"),
        ("hub.member", "from wsproto.events import Ping", "wsproto.events is not for the hub"),
        ("hub.hub", "from .member import _x", "sse_trio.hub.member._x is private"),
    ],
)
def test_a_fault_is_found(module: str, text: str, fault: str) -> None:
    assert faults(f"sse_trio.{module}", text) == [fault]


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("hub.hub", "import trio\nfrom ..core import messages\nfrom . import pages"),
        ("core.requests", "import h11\nfrom .. import strict_json\nfrom ..config import Config"),
        ("client", "from .core.messages import encode\nfrom .errors import MemberClosed"),
        ("hub.hub", "class Hub:\n def f(self):\n  return self._x.__class__"),
        ("cli.serve", "from __future__ import annotations\nfrom ..server.serve import serve"),
    ],
)
def test_what_is_right_is_let_be(module: str, text: str) -> None:
    assert faults(f"sse_trio.{module}", text) == []


def test_a_module_without_a_layer_is_noticed() -> None:
    with pytest.raises(AssertionError, match="say in LAYERS"):
        faults("sse_trio.novelty", "from .core import messages")
