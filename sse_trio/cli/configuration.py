"""The configuration as `serve` reads it, and its warnings."""

import argparse
import os
import resource
from collections.abc import Callable, Iterator

from ..config import COMMAND_LEDGER, ENVIRONMENT_KEY, Config, Loaded, load
from ..errors import ConfigError
from ..sources import KEY_FILE, Danger


def add_arguments(add: Callable[..., object]) -> None:
    """Add the options for the configuration."""
    add(
        "--config",
        metavar="FILE",
        help=f"config.json; without it the environment and the defaults ({ENVIRONMENT_KEY}, "
        f"or {KEY_FILE})",
    )
    add("--port", type=int, help="listen on this port instead of the configured one")


def read(options: argparse.Namespace) -> Loaded:
    """Read the file, the environment and the arguments.

    Raises:
        ConfigError: something is wrong, or there is no authkey.
    """
    arguments = {} if options.port is None else {"port": options.port}
    loaded = load(options.config, os.environ, arguments, ledger=COMMAND_LEDGER)
    if not loaded.config.authkey:
        raise ConfigError(
            f"authkey is required: set it in --config, or {ENVIRONMENT_KEY} in the "
            "environment; `sse-trio keygen` makes one"
        )
    return loaded


def few_files(config: Config) -> Iterator[Danger]:
    """Yield a warning if this process may open fewer files than `max_connections`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < config.max_connections:
        yield (
            (
                "max_connections is %d, but this process may open only %d files: "
                "raise the hard limit (LimitNOFILE, ulimit -Hn) or lower max_connections"
            ),
            (config.max_connections, hard),
        )
