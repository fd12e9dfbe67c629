"""`sse-trio watch`: prints what the page of a logged-in user receives."""

import argparse
import contextlib
import os
from collections.abc import Callable
from functools import partial

import trio

from ..apps import address
from ..client import ClientMember, open_member
from ..core import messages
from ..errors import ConfigError
from ..sources import TICKET
from . import terminal
from .status import DONE


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the room and the server."""
    add("--url", help=f"the server, ws://host:port/ws; without it, {address.URL}")
    add(
        "--room",
        type=terminal.text,
        help=f"the user's room; without it, {TICKET} has a ticket",
    )
    add("--session", type=terminal.text, help="without it, the server makes one up")


def run(options: argparse.Namespace) -> int:
    """Print every event until the member is terminated."""
    # A ticket is a secret, and every user of the machine can read the arguments.
    ticket = os.environ.get(TICKET) or None
    if (ticket is None) == (options.room is None):
        raise ConfigError(f"either --room is required, or a ticket in {TICKET}")
    join = partial(open_member, options.url, room=options.room, session=options.session)
    return trio.run(_watch, partial(join, ticket=ticket))


async def _watch(join: Callable[[], contextlib.AbstractAsyncContextManager[ClientMember]]) -> int:
    async with join() as member:
        async for event in member:
            print(terminal.printable(messages.encode(event)), flush=True)
    return DONE
