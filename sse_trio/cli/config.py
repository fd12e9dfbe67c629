"""`sse-trio config`: the configuration that `serve` would use, and its errors."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import attrs

from ..config import FIELDS, Loaded
from ..sources import DEFAULT
from . import configuration, terminal
from .status import DONE


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the configuration."""
    configuration.add_arguments(add)
    add("--check", action="store_true", help="show no values, only where they come from")


def run(options: argparse.Namespace) -> int:
    """Print the configuration, and warn of what is dangerous in it."""
    loaded = configuration.read(options)
    for line in _places(loaded) if options.check else _values(loaded):
        print(terminal.printable(line))
    config = loaded.config
    dangers = [
        *loaded.dangers,
        *config.dangers(config.port),
        *configuration.few_files(config),
    ]
    for message, values in dangers:
        print(f"warning: {terminal.printable(message % values)}", file=sys.stderr)
    if options.check:
        print("the configuration is fine" + (", but see the warnings" if dangers else ""))
    sys.stdout.flush()
    return DONE


def _values(loaded: Loaded) -> list[str]:
    return [
        f"{key.name} = {_shown(key, getattr(loaded.config, key.name))}  # {loaded.place(key.name)}"
        for key in FIELDS
    ]


def _places(loaded: Loaded) -> list[str]:
    places = {key.name: loaded.place(key.name) for key in FIELDS}
    return [f"{key}: {place}" for key, place in places.items() if place != DEFAULT]


def _shown(key: "attrs.Attribute[Any]", value: Any) -> str:
    if not key.repr:
        return "(hidden)"
    return key.repr(value) if callable(key.repr) else _json(value)


def _json(value: Any) -> str:
    # Addresses and networks are not JSON values.
    return json.dumps(value, default=str, ensure_ascii=False)
