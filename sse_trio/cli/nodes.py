"""`sse-trio nodes`: which nodes share the ledger. It asks the database, so no node has to run."""

import argparse
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from .. import strict_json
from ..config import Config
from ..errors import ConfigError
from ..ledger.postgres import needing_psycopg
from . import terminal
from .status import DONE

if TYPE_CHECKING:
    from ..ledger.postgres.nodes import RegisteredNode

_HEAD = ("node", "address", "software", "state", "wrote", "behind")


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the ledger's URL and the output."""
    add("--config", metavar="FILE", help="where the ledger is; or set SSE_TRIO_LEDGER")
    add("--json", action="store_true", help="print a JSON object for each node")


def run(options: argparse.Namespace) -> int:
    """Print a line for each."""
    config = Config.load(options.config, os.environ)
    if not config.is_shared:
        raise ConfigError("the ledger is not shared: only postgresql:// has nodes")
    with needing_psycopg():
        from ..ledger.postgres.nodes import registered_nodes
    nodes = registered_nodes(config.ledger)
    for line in _objects(nodes) if options.json else _table(nodes, config.lease):
        print(terminal.printable(line))
    return DONE


def _objects(nodes: list["RegisteredNode"]) -> Iterator[str]:
    return (strict_json.dumps(attrs.asdict(node)) for node in nodes)


def _table(nodes: list["RegisteredNode"], lease: float) -> Iterator[str]:
    rows = [_HEAD, *(_row(node, lease) for node in nodes)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(node: "RegisteredNode", lease: float) -> tuple[str, ...]:
    return (
        terminal.printable(node.node),
        terminal.printable(node.address),
        terminal.printable(node.software),
        _state(node, lease),
        _seconds(node.wrote),
        "?" if node.behind is None else f"{node.behind} in {_seconds(node.lag)}",
    )


def _state(node: "RegisteredNode", lease: float) -> str:
    """Return its state as others see it; only the node itself knows whether it vouches."""
    if node.wrote is None:
        return "new"
    if node.wrote > lease:
        return "silent"
    return "draining" if node.draining else "present"


def _seconds(age: float | None) -> str:
    return "?" if age is None else f"{max(0.0, age):.1f} s"
