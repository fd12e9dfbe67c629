"""What an application pays for `sse_trio.apps`: neither Trio nor the server is imported."""

import json
import subprocess
import sys

import sse_trio.apps

PROGRAM = """
import importlib, json, pkgutil, sys
import sse_trio.apps
found = [module.name for module in pkgutil.iter_modules(sse_trio.apps.__path__)]
for name in found:
    importlib.import_module(f"sse_trio.apps.{name}")
for name in sse_trio.apps.__all__:
    assert name in dir(sse_trio.apps)
    getattr(sse_trio.apps, name)
print(json.dumps([found, sorted(sys.modules)]))
"""


def test_no_module_of_it_imports_trio_or_the_server() -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, check=True
    )
    found, modules = json.loads(run.stdout)
    assert {"client", "aio", "wsgi"} <= set(found)
    heavy = {"trio", "trio_websocket", "wsproto", "jwt", "prometheus_client"}
    assert heavy.isdisjoint(modules)
    ours = {name.split(".")[1] for name in modules if name.startswith("sse_trio.")}
    assert ours == {"apps", "core", "errors", "fields", "origins", "roster", "strict_json"}
    core = {name for name in modules if name.startswith("sse_trio.core.")}
    assert core == {"sse_trio.core.cookies", "sse_trio.core.messages"}


def test_a_name_that_is_not_there() -> None:
    assert not hasattr(sse_trio.apps, "Hub")
