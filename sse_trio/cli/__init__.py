"""The command line: a module for each command, imported when it is asked for.

Exit status: 0 done, 1 it could not be done, 2 the command or its configuration is wrong.
Secrets come from the configuration, the environment or standard input, never from the arguments,
which every user of the machine can read.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from ..errors import ConfigError, LocalProtocolError, SseTrioError
from . import terminal
from .status import FAILED, WRONG

# The purpose of each, and an example.
COMMANDS = {
    "serve": ("run the server", "sse-trio serve --config config.json"),
    "config": (
        "show the configuration that `serve` would use, without secrets, or check it",
        "sse-trio config --check --config config.json",
    ),
    "health": (
        "ask whether the server is ready; for health checks of containers",
        "sse-trio health --config config.json",
    ),
    "notify": (
        "announce a login, and print the server's answer",
        "sse-trio notify --room u1 --sender s2 --wait 2 --config config.json",
    ),
    "sessions": (
        "list the active sessions of a user, the newest first",
        "sse-trio sessions u1 --config config.json",
    ),
    "end": (
        "end sessions of a user: log a device out",
        "sse-trio end u1 5c0b3d9f1b2a7e44 --config config.json",
    ),
    "nodes": (
        "list the nodes that share a ledger in PostgreSQL",
        "sse-trio nodes --config config.json",
    ),
    "ledger": (
        "copy a ledger into another one, while no server uses either",
        "sse-trio ledger copy sqlite:///sse-trio.db postgresql://user@host/database",
    ),
    "top": (
        "show what a server counts and decides, until you press Ctrl-C",
        "sse-trio top --config config.json",
    ),
    "check": (
        "ask whether a session is active; its token comes on standard input",
        "sse-trio check --config config.json < token",
    ),
    "watch": (
        "join a room and print every event; ends with 0 when terminated",
        "sse-trio watch --url ws://127.0.0.1:8080/ws --room u1 --session s1",
    ),
    "demo": (
        "run a login application and its hub, to see it work in two browsers",
        "sse-trio demo --max-sessions 3",
    ),
    "keygen": ("print a new authkey", "sse-trio keygen"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit status."""
    options = _parse(sys.argv[1:] if arguments is None else arguments)
    status = FAILED
    # Exceptions from a nursery come in groups.
    try:
        status = options.run(options)
    except* (ConfigError, LocalProtocolError) as wrong:
        terminal.complain(wrong)
        status = WRONG
    except* BrokenPipeError:
        # The reader of the output has closed it. Python must not raise this again at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except* (SseTrioError, OSError) as failed:
        terminal.complain(failed)
    except* KeyboardInterrupt:
        pass
    return status


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sse-trio", description="Single-session enforcement on Trio."
    )
    parser.add_argument("--version", action=_Version, help="show the version, and exit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    # No option before the command has a value, so the first such word is the command.
    asked_for = next((word for word in arguments if word in COMMANDS), None)
    for name, (about, example) in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == asked_for:
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command.add_argument)
            command.set_defaults(run=module.run)
    return parser.parse_args(arguments)


class _Version(argparse.Action):
    """Looks up the version only when it is asked for."""

    def __init__(self, option_strings: list[str], dest: str, **settings: object) -> None:
        super().__init__(option_strings, dest, nargs=0, help=str(settings["help"]))

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(version("sse-trio"))
        parser.exit()
