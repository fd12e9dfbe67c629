"""`sse-trio serve`: runs the server until a signal."""

import argparse
import contextlib
import logging
import resource
import shlex
from collections.abc import Callable, Iterable
from functools import partial

import trio

from .. import logs
from ..errors import ConfigError
from ..fields import Endpoint, Unix
from ..hub.hub import Hub
from ..server.serve import serve
from ..sources import Danger
from . import configuration, running, systemd

logger = logging.getLogger("sse_trio")


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the configuration and the log."""
    configuration.add_arguments(add)
    running.add_logging(add)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal."""
    logs.set_up(options.log_level, options.log_format)
    loaded = configuration.read(options)
    _warn(loaded.dangers)
    _raise_open_files()
    _warn(configuration.few_files(loaded.config))
    start = partial(serve, loaded.config, sockets=systemd.sockets())
    return trio.run(running.run, start, _greet, partial(reload, options))


async def reload(options: argparse.Namespace, hub: Hub) -> None:
    """Read the configuration again, and apply what can change without a restart."""
    try:
        loaded = await trio.to_thread.run_sync(configuration.read, options, abandon_on_cancel=True)
        taken = hub.reload(loaded.config)
    except ConfigError as error:
        message = "the new configuration is wrong, and nothing has changed: %s"
        logger.error(message, error)  # noqa: TRY400 - a traceback would say no more
        return
    _warn(loaded.dangers)
    _warn(hub.config.dangers(hub.port))
    _warn(configuration.few_files(hub.config))
    logger.log(
        logging.WARNING if taken.restart else logging.INFO,
        "the configuration was read again; changed: %s; needs a restart: %s",
        ", ".join(taken.changed) or "nothing",
        ", ".join(taken.restart) or "nothing",
    )


def _warn(dangers: Iterable[Danger]) -> None:
    for message, values in dangers:
        logger.warning(message, *values)


def _raise_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS: no limit is too many
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _greet(hub: Hub) -> None:
    url = running.base_url(hub.config, hub.port)
    print(f"listening on {url} and {url.replace('http', 'ws', 1)}/ws")
    if hub.internal:
        print(f"internal requests on {hub.internal}")
    print("try, with your authkey for KEY:")
    print(
        f"  curl {_for_curl(hub.internal) or url}/notify -H 'Content-Type: application/json' "
        """-H 'Authorization: Bearer KEY' -d '{"room": "u1", "sender": "s1"}'""",
        flush=True,
    )


def _for_curl(internal: Endpoint | None) -> str | None:
    if isinstance(internal, Unix):
        return f"--unix-socket {shlex.quote(internal.path)} http://localhost"
    return f"http://{internal}" if internal else None
