"""The command line: serve, notify, watch, demo, keygen.

Exit status: 0 done, 1 it could not be done, 2 the command or its configuration is wrong.
Keys come from the configuration or the environment, never from the arguments, which
every user of the machine can read.
"""

import argparse
import contextlib
import gc
import http.client
import json
import logging
import os
import resource
import secrets
import signal
import sys
import urllib.parse
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import attrs
import trio

from . import logs, strict_json
from .client import ClientMember, open_member
from .config import COMMAND_LEDGER, ENVIRONMENT_KEY, Config
from .core import messages
from .demo.options import Options
from .errors import ConfigError, LocalProtocolError, SseTrioError
from .hub.hub import Hub
from .server.serve import serve

if TYPE_CHECKING:
    from .demo.serve import Demo

DONE, FAILED, WRONG = 0, 1, 2

ENVIRONMENT_TICKET = "SSE_TRIO_TICKET"

# Seconds that `notify` waits for the server to say something. No --wait is longer.
NOTIFY_SECONDS = 30

logger = logging.getLogger("sse_trio")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit status."""
    options = _parser().parse_args(arguments)
    status = FAILED
    # Whatever comes out of a nursery comes in groups.
    try:
        status = options.run(options)
    except* (ConfigError, LocalProtocolError) as wrong:
        _complain(wrong)
        status = WRONG
    except* BrokenPipeError:
        # Whoever read the output has enough. Python must not find out again while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except* (SseTrioError, OSError) as failed:
        _complain(failed)
    except* KeyboardInterrupt:
        pass
    return status


def _complain(errors: BaseExceptionGroup[Any]) -> None:
    """Print one line for each."""
    for error in _leaves(errors):
        text = str(getattr(error, "strerror", None) or error)
        print(f"sse-trio: {_printable(text.strip())}", file=sys.stderr)


def _printable(text: str) -> str:
    """Return text from outside, safe for a terminal: unprintable characters are escaped.

    They, and line ends, are escaped as in a JSON string. JSON without line ends is unchanged.
    """
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _leaves(errors: BaseExceptionGroup[Any]) -> Iterator[BaseException]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


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
    add(
        "--config",
        metavar="FILE",
        help=f"config.json; without it all defaults, and the key is in {ENVIRONMENT_KEY}",
    )
    add("--port", type=int, help="listen on this port instead of the configured one")
    _add_logging(add)

    add = command(
        "notify",
        _notify,
        "announce a login, and print the server's answer",
        "sse-trio notify --room u1 --sender s2 --wait 2 --config config.json",
    )
    add("--room", type=_text, required=True, help="the user's room")
    add("--sender", type=_text, help="the session that stays; without it, the one that joined last")
    add("--everyone", action="store_true", help="spare no session: log out everywhere")
    add("--reason", type=_text, help='what the others are told; "login" if left out')
    add("--id", type=_text, help="idempotency: the same id within 10 minutes has one effect")
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
    add(
        "--room", type=_text, help=f"the user's room; without it, {ENVIRONMENT_TICKET} has a ticket"
    )
    add("--session", type=_text, help="without it, the server makes one up")

    add = command(
        "demo",
        _demo,
        "run a login application and its hub, to see it work in two browsers",
        "sse-trio demo --max-sessions 3",
    )
    for option in attrs.fields(Options):
        flag = f"--{option.name.replace('_', '-')}"
        about = f"{option.metadata['about']} (%(default)s)"
        add(flag, type=option.type, default=option.default, help=about)
    _add_logging(add)

    command("keygen", _keygen, "print a new authkey", "sse-trio keygen")
    return parser


def _add_logging(add: Callable[..., object]) -> None:
    add("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    add("--log-format", default="text", choices=["text", "json"])


def _text(argument: str) -> str:
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise argparse.ArgumentTypeError("it is not UTF-8") from None
    return argument


def _serve(options: argparse.Namespace) -> int:
    logs.set_up(options.log_level, options.log_format)
    config = Config.load(options.config, os.environ, ledger=COMMAND_LEDGER)
    if options.port is not None:
        config = attrs.evolve(config, port=options.port)
    if not config.authkey:
        raise ConfigError(
            f"authkey is required: set it in --config, or {ENVIRONMENT_KEY} in the "
            "environment; `sse-trio keygen` makes one"
        )
    _raise_open_files(config)
    return trio.run(_run, partial(serve, config), _greet)


async def _run(start: Callable[..., Awaitable[None]], greet: Callable[[Any], None]) -> int:
    """Serve until a signal. At a second one, or one before it is ready, end without waiting.

    A second SIGHUP is ignored: a terminal that closes, and its shell, may each send one.
    """
    server: Hub | Demo | None = None
    serving = trio.CancelScope()
    heeded = [signal.SIGTERM, signal.SIGINT]
    # `nohup` sets the signal to be ignored.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        heeded.append(signal.SIGHUP)

    async def obey() -> None:
        async for signum in signals:
            name = signal.Signals(signum).name
            is_draining = server is not None and server.draining.is_set()
            if is_draining and signum == signal.SIGHUP:
                logger.info("%s: draining already", name)
            elif server is None or is_draining:
                logger.warning("%s: stopping now", name)
                serving.cancel()
            else:
                logger.info("%s: draining", name)
                server.drain()

    with trio.open_signal_receiver(*heeded) as signals:
        async with trio.open_nursery() as listening:
            listening.start_soon(obey)
            with serving:
                async with trio.open_nursery() as nursery:
                    with _sparing_the_collector():
                        server = await nursery.start(start)
                    # What is printed next comes after the log's lines, as it happened.
                    logs.flush()
                    greet(server)
            listening.cancel_scope.cancel()
    return FAILED if serving.cancelled_caught else DONE


@contextlib.contextmanager
def _sparing_the_collector() -> Iterator[None]:
    """Have Python look for reference cycles less often, and not where there are none.

    A connection leaves none behind, so all there is to find are a few exceptions'. By the
    defaults, a crowd that joins would be gone through again and again: a third of all the time
    of a notify; and half the time of reading a large ledger, none of which becomes garbage.
    A server that embeds the hub decides for itself.
    """
    gc.collect()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
    gc.set_threshold(10_000, 50, 100)


def _base_url(config: Config, port: int) -> str:
    host = f"[{config.ipaddr}]" if ":" in config.ipaddr else config.ipaddr
    return f"http://{host}:{port}"


def _greet(hub: Hub) -> None:
    url = _base_url(hub.config, hub.port)
    print(f"listening on {url} and {url.replace('http', 'ws', 1)}/ws")
    print("try, with your authkey for KEY:")
    print(
        f"  curl {url}/notify -H 'Content-Type: application/json' "
        """-H 'Authorization: Bearer KEY' -d '{"room": "u1", "sender": "s1"}'""",
        flush=True,
    )


def _notify(options: argparse.Namespace) -> int:
    config = Config.load(options.config, os.environ)
    if not config.authkey:
        raise ConfigError(f"the key is required: --config, or {ENVIRONMENT_KEY}")
    if not (options.url or config.port):
        raise ConfigError("--url is required: the configured port is 0, so the system chooses it")
    url = options.url or _base_url(config, config.port)
    body: dict[str, Any] = {"key": config.authkey[0], "room": options.room, "wait": options.wait}
    if options.everyone and options.sender is not None:
        raise ConfigError("--everyone and --sender exclude one another")
    if options.everyone:
        body["sender"] = None
    body |= {
        name: value
        for name in ("sender", "reason", "id")
        if (value := getattr(options, name)) is not None
    }
    try:
        status, answer = _post(f"{url.rstrip('/')}/notify", json.dumps(body).encode())
    except (OSError, UnicodeError, http.client.HTTPException) as error:
        raise SseTrioError(f"cannot notify {url}: {error}") from error
    if status != http.HTTPStatus.OK:
        raise SseTrioError(f"cannot notify {url}: {status} {_detail(answer)}")
    try:
        text = strict_json.dumps(strict_json.loads_untrusted(answer))
    except ValueError as error:
        raise SseTrioError(f"cannot notify {url}: {error}") from None
    print(_printable(text), flush=True)
    return DONE


_LIKE = "--url must look like http://host:port"

_SCHEMES: dict[str, tuple[type[http.client.HTTPConnection], int]] = {
    "http": (http.client.HTTPConnection, http.client.HTTP_PORT),
    "https": (http.client.HTTPSConnection, http.client.HTTPS_PORT),
}


def _post(url: str, body: bytes) -> tuple[int, bytes]:
    """Send the body, with its key, to that server: to no proxy, and nowhere it redirects to."""
    try:
        parts = urllib.parse.urlsplit(url)
        connect, usual_port = _SCHEMES[parts.scheme]
        port = usual_port if parts.port is None else parts.port
    except (KeyError, ValueError):
        raise ConfigError(_LIKE) from None
    host = parts.hostname
    if not host or not port or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigError(_LIKE)
    with contextlib.closing(connect(host, port, timeout=NOTIFY_SECONDS)) as connection:
        path = urllib.parse.quote(parts.path, safe="/%")
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()


def _detail(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["detail"])
    except (ValueError, KeyError, TypeError):
        return "for no reason that this command understands"


def _watch(options: argparse.Namespace) -> int:
    # A ticket is a secret, and every user of the machine can read the arguments.
    ticket = os.environ.get(ENVIRONMENT_TICKET) or None
    if (ticket is None) == (options.room is None):
        raise ConfigError(f"either --room is required, or a ticket in {ENVIRONMENT_TICKET}")
    join = partial(open_member, options.url, room=options.room, session=options.session)
    return trio.run(_watch_room, partial(join, ticket=ticket))


async def _watch_room(
    join: Callable[[], contextlib.AbstractAsyncContextManager[ClientMember]],
) -> int:
    async with join() as member:
        async for event in member:
            print(_printable(messages.encode(event)), flush=True)
    return DONE


def _demo(options: argparse.Namespace) -> int:
    try:
        from .demo.serve import serve as serve_demo
    except ModuleNotFoundError:
        raise SseTrioError(
            "the demo needs more packages: python -m pip install 'sse-trio[demo]', or '.[demo]' "
            "in a checkout"
        ) from None
    logs.set_up(options.log_level, options.log_format)
    chosen = {field.name: getattr(options, field.name) for field in attrs.fields(Options)}
    return trio.run(_run, partial(serve_demo, Options(**chosen)), _greet_from_demo)


def _greet_from_demo(demo: "Demo") -> None:
    print(f"demo on {_base_url(demo.hub.config, demo.port)}")
    print("sign in as")
    for person in demo.people:
        admin = " (can make new keys, which signs everyone out)" if person.is_admin else ""
        print(f"  {person.user.id:6} with the password: {person.password}{admin}")
    print(
        "open it in two browsers, or in a private window too, and sign in twice as the same user",
        flush=True,
    )


def _keygen(_: argparse.Namespace) -> int:
    print(secrets.token_urlsafe(32), flush=True)
    return DONE


def _raise_open_files(config: Config) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS: no limit is too many
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < config.max_connections:
        logger.warning(
            "max_connections is %d, but this process may open only %d files: "
            "raise the hard limit (LimitNOFILE, ulimit -Hn) or lower max_connections",
            config.max_connections,
            hard,
        )
