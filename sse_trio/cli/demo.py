"""`sse-trio demo`."""

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs
import trio

from .. import logs
from ..demo.options import Options
from ..errors import SseTrioError
from . import running

if TYPE_CHECKING:
    from ..demo.serve import Demo


def add_arguments(add: Callable[..., object]) -> None:
    """Add the demo's options, and the log's."""
    for option in attrs.fields(Options):
        flag = f"--{option.name.replace('_', '-')}"
        about = f"{option.metadata['about']} (%(default)s)"
        add(flag, type=option.type, default=option.default, help=about)
    running.add_logging(add)


def run(options: argparse.Namespace) -> int:
    """Run it until a signal."""
    try:
        from ..demo.serve import serve
    except ModuleNotFoundError:
        raise SseTrioError(
            "the demo needs more packages: python -m pip install 'sse-trio[demo]', or '.[demo]' "
            "in a checkout"
        ) from None
    logs.set_up(options.log_level, options.log_format)
    chosen = {field.name: getattr(options, field.name) for field in attrs.fields(Options)}
    return trio.run(running.run, partial(serve, Options(**chosen)), _greet)


def _greet(demo: "Demo") -> None:
    print(f"demo on {running.base_url(demo.hub.config, demo.port)}")
    print("log in as")
    for person in demo.people:
        admin = " (can make new keys, which logs everyone out)" if person.is_admin else ""
        print(f"  {person.user.id:6} with the password: {person.password}{admin}")
    print(
        "open it in two browsers, or in a private window too, and log in twice as the same user",
        flush=True,
    )
