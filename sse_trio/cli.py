"""The command line: serve, notify, watch, keygen.

Exit status: 0 done, 1 it could not be done, 2 the command or its configuration is wrong.
Keys come from the configuration or the environment, never from the arguments, which
every user of the machine can read.
"""

import argparse
import json
import logging
import os
import resource
import secrets
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.metadata import version

import attrs
import trio

from .client import open_member
from .config import ENVIRONMENT_KEY, Config
from .core import messages
from .errors import ConfigError, MemberClosed, RemoteProtocolError, SseTrioError
from .server.hub import Hub
from .server.serve import serve

DONE, FAILED, WRONG = 0, 1, 2

# Seconds that `notify` waits for the answer, beyond its own --wait.
NOTIFY_SECONDS = 15

logger = logging.getLogger("sse_trio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except ConfigError as error:
        print(f"sse-trio: {error}", file=sys.stderr)
        return WRONG
    except (SseTrioError, OSError) as error:
        print(f"sse-trio: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sse-trio", description="Single-session enforcement on Trio."
    )
    parser.add_argument("--version", action="version", version=version("sse-trio"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[..., int], about: str, example: str
    ) -> Callable[..., object]:
        sub = commands.add_parser(
            name,
            help=about,
            description=about[0].upper() + about[1:] + ".",
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(run=run)
        return sub.add_argument

    add = command(
        "serve",
        _serve,
        "run the server",
        "sse-trio serve --config config.json",
    )
    add("--config", metavar="FILE", help="config.json; without it all defaults")
    add("--port", type=int, help="listen on this port instead of the configured one")
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    add("--log-format", default="text", choices=["text", "json"])

    add = command(
        "notify",
        _notify,
        "announce a login, and print the server's answer",
        "sse-trio notify --room u1 --sender s2 --wait 2 --config config.json",
    )
    add("--room", required=True, help="the user's room")
    add("--sender", help="the session that stays; without it, the one that joined last")
    add("--wait", type=float, default=0.0, metavar="SECONDS", help="for the others to answer")
    add("--config", metavar="FILE", help=f"where the key is; or set {ENVIRONMENT_KEY}")
    add("--url", help="the server, http://host:port; without it, the configured address")

    add = command(
        "watch",
        _watch,
        "join a room and print every event; ends with 0 when terminated",
        "sse-trio watch --url ws://127.0.0.1:8080/ws --room u1 --session s1",
    )
    add("--url", required=True, help="the server, ws://host:port/ws")
    add("--room", required=True, help="the user's room")
    add("--session", help="without it, the server makes one up")

    command("keygen", _keygen, "print a new authkey", "sse-trio keygen")
    return parser


def _serve(options: argparse.Namespace) -> int:
    config = Config.load(options.config, os.environ)
    if options.port is not None:
        config = attrs.evolve(config, port=options.port)
    if not config.authkey:
        raise ConfigError(
            f"authkey is required: set it in --config, or {ENVIRONMENT_KEY} in the "
            "environment; `sse-trio keygen` makes one"
        )
    _log(options.log_level, options.log_format)
    _raise_open_files(config)
    return trio.run(_run, partial(serve, config), config)


async def _run(run: Callable[..., Awaitable[None]], config: Config) -> int:
    """Serve until a signal; a second one does not wait."""
    status = DONE
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:

            async def serve_and_end(*, task_status: trio.TaskStatus[Hub]) -> None:
                await run(task_status=task_status)
                nursery.cancel_scope.cancel()

            hub = await nursery.start(serve_and_end)
            _greet(hub, config)
            async for signum in signals:
                if hub.draining.is_set():
                    logger.warning("%s again: stopping now", signal.Signals(signum).name)
                    status = FAILED
                    break
                logger.info("%s: draining", signal.Signals(signum).name)
                hub.drain()
            nursery.cancel_scope.cancel()
    return status


def _greet(hub: Hub, config: Config) -> None:
    host = f"[{config.ipaddr}]" if ":" in config.ipaddr else config.ipaddr
    print(f"listening on http://{host}:{hub.port} and ws://{host}:{hub.port}/ws")
    print("try, with your authkey for KEY:")
    print(
        f"  curl http://{host}:{hub.port}/notify -H 'Content-Type: application/json' "
        """-H 'Authorization: Bearer KEY' -d '{"room": "u1"}'""",
        flush=True,
    )


def _notify(options: argparse.Namespace) -> int:
    config = Config.load(options.config, os.environ)
    if not config.authkey:
        raise ConfigError(f"the key is required: --config, or {ENVIRONMENT_KEY}")
    host = f"[{config.ipaddr}]" if ":" in config.ipaddr else config.ipaddr
    url = (options.url or f"http://{host}:{config.port}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise ConfigError("--url must start with http:// or https://")
    body = {"room": options.room, "wait": options.wait}
    if options.sender is not None:
        body["sender"] = options.sender
    request = urllib.request.Request(  # noqa: S310
        f"{url}/notify",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": b"Bearer " + config.authkey[0].encode(),  # type: ignore[dict-item]
        },
    )
    # The key goes to that server and to no proxy, whatever the environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=NOTIFY_SECONDS + options.wait) as answer:
            print(answer.read().decode())
    except urllib.error.HTTPError as refused:
        print(f"sse-trio: {refused.code} {refused.reason}: {_detail(refused)}", file=sys.stderr)
        return FAILED
    return DONE


def _detail(refused: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(refused)["detail"])
    except (ValueError, KeyError, TypeError):
        return "no reason given"


def _watch(options: argparse.Namespace) -> int:
    return trio.run(_watch_room, options.url, options.room, options.session)


async def _watch_room(url: str, room: str, session: str | None) -> int:
    try:
        async with open_member(url, room=room, session=session) as member:
            async for event in member:
                print(messages.encode(event), flush=True)
    except (MemberClosed, RemoteProtocolError) as error:
        print(f"sse-trio: {error}", file=sys.stderr)
        return FAILED
    return DONE


def _keygen(_: argparse.Namespace) -> int:
    print(secrets.token_urlsafe(32))
    return DONE


def _raise_open_files(config: Config) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < config.max_connections:
        logger.warning(
            "max_connections is %d, but this process may open only %d files: "
            "raise the hard limit (LimitNOFILE, ulimit -Hn) or lower max_connections",
            config.max_connections,
            hard,
        )


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


def _log(level: str, kind: str) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(
        _JsonFormatter()
        if kind == "json"
        else logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    logging.basicConfig(level=level.upper(), handlers=[handler])
