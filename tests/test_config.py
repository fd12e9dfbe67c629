"""Every key of config.json: its type, its edges, its one clear error; and no key ever told."""

import ipaddress
import json
import socket
import sys
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given

from sse_trio import SseTrioError
from sse_trio.config import COMMAND_LEDGER, ENVIRONMENT_KEY, KEYS, Config
from sse_trio.core.messages import Join, encode
from sse_trio.core.tickets import Ticket, Tickets
from sse_trio.errors import ConfigError
from sse_trio.fields import Tcp, Unix

from . import strategies

WHOLE = {
    "port": (0, 65535),
    "drain_rate": (1, 10**9),
    "max_sessions": (1, 1000),
    "max_connections": (1, 10**9),
    "max_connections_per_room": (1, 10**6),
    "max_message": (64, 10**9),
    "max_body": (64, 10**9),
    "max_check_body": (64, 10**9),
    "max_headers": (256, 10**9),
    "max_header_lines": (16, 10**9),
    "max_outbox": (1024, 10**9),
    "max_wrong_keys": (1, 10**9),
    "max_remembered_rooms": (1, 10**9),
    "max_remembered_sessions": (2, 65536),
}
SECONDS = {
    "heartbeat_interval": (0.05, 3600),
    "heartbeat_timeout": (0.05, 86400),
    "join_timeout": (0.05, 3600),
    "request_timeout": (0.05, 3600),
    "keep_alive": (0.05, 3600),
    "ledger_timeout": (0.05, 3600),
    "linger": (0.05, 3600),
    "shutdown_grace": (0.05, 3600),
    "lame_duck": (0, 1800),
    "lease": (2, 60),
    "hold": (0.05, 3600),
    "join_patience": (0.05, 3600),
    "ticket_lifetime": (1, 10 * 366 * 86400),
}
NUMBERS = WHOLE | SECONDS
REST = {
    *("ipaddr", "authkey", "join", "origins", "ledger", "at_limit"),
    *("max_connections_per_address", "trusted_proxies", "metrics"),
    *("internal", "token_cookie", "audit", "on_lost_engine", "ledger_feed"),
    *("socketio", "socketio_path", "socketio_join", "socketio_terminate", "socketio_joined"),
    *("socketio_heartbeat", "socketio_client", "notify_paths", "without_sender"),
}

# Bytes of a Unix socket's path: sun_path without its NUL.
LONGEST = 107 if sys.platform == "linux" else 103

# What makes room for an edge of the other: the timeout has to be the longer one, more
# sessions have to be remembered than stand, each has a page, and members are closed after all.
BESIDE: dict[str, dict[str, Any]] = {
    "heartbeat_interval": {"heartbeat_timeout": 86400},
    "heartbeat_timeout": {"heartbeat_interval": 0.05},
    "lame_duck": {"shutdown_grace": 3600},
    "max_sessions": {"max_remembered_sessions": 65536, "max_connections_per_room": 1000},
}


def config(**values: Any) -> Config:
    """Make a Config of what JSON holds, whichever its types."""
    return Config(**values)


def write(path: Path, text: str | bytes) -> Path:
    file = path / "config.json"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def refused(key: str, value: object) -> str:
    """Refuse `value`, naming the key once and nothing of another."""
    with pytest.raises(ConfigError) as refusal:
        config(**BESIDE.get(key, {}) | {key: value})
    text = str(refusal.value)
    assert text.count(key) == 1
    assert text.startswith(key)
    assert refusal.value.__cause__ is None
    return text


def test_every_key_is_tested_here() -> None:
    assert set(KEYS) == NUMBERS.keys() | REST


def test_an_error_of_the_operator_is_a_value_error_and_ours() -> None:
    assert issubclass(ConfigError, ValueError)
    assert issubclass(ConfigError, SseTrioError)


def test_every_key_says_what_it_is_about() -> None:
    for attribute in attrs.fields(Config):
        assert attribute.metadata["about"]
        # The documentation is made of it: one line of a table.
        assert "\n" not in attribute.metadata["about"]
    for key in SECONDS:
        assert attrs.fields_dict(Config)[key].metadata["unit"] == "s"


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert attrs.asdict(Config()) == {
        "port": 8080,
        "ipaddr": "127.0.0.1",
        "authkey": (),
        "join": "open",
        "origins": None,
        "ledger": "memory:",
        "ledger_feed": None,
        "internal": None,
        "heartbeat_interval": 25,
        "heartbeat_timeout": 60,
        "join_timeout": 5,
        "request_timeout": 10,
        "keep_alive": 75,
        "ledger_timeout": 5,
        "lease": 6,
        "on_lost_engine": "hold",
        "hold": 30,
        "join_patience": 10,
        "linger": 5,
        "shutdown_grace": 10,
        "lame_duck": 0,
        "drain_rate": 2000,
        "max_sessions": 1,
        "at_limit": "end-oldest",
        "max_connections": 100_000,
        "max_connections_per_room": 64,
        "max_connections_per_address": None,
        "max_message": 4096,
        "max_body": 16384,
        "max_check_body": 65536,
        "max_headers": 16384,
        "max_header_lines": 100,
        "max_outbox": 65536,
        "max_wrong_keys": 10,
        "max_remembered_rooms": 1_000_000,
        "max_remembered_sessions": 64,
        "ticket_lifetime": 30 * 86400,
        "trusted_proxies": (),
        "metrics": True,
        "token_cookie": "__Host-sse_trio",
        "socketio": False,
        "socketio_path": "/socket.io/",
        "socketio_join": ("join",),
        "socketio_terminate": "terminate",
        "socketio_joined": "joined",
        "socketio_heartbeat": None,
        "socketio_client": None,
        "notify_paths": (),
        "without_sender": "newest-stays",
        "audit": None,
    }


def test_a_config_does_not_change() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Config().port = 1  # type: ignore[misc]


# -- numbers ----------------------------------------------------------------------------


EDGES = [(key, edge) for key, edges in NUMBERS.items() for edge in edges]
# The interval has the same edge, and has to be shorter.
EDGES.remove(("heartbeat_timeout", 0.05))


@pytest.mark.parametrize(("key", "value"), EDGES)
def test_a_number_may_be_at_its_edge(key: str, value: float) -> None:
    assert getattr(config(**BESIDE.get(key, {}) | {key: value}), key) == value


@pytest.mark.parametrize("key", NUMBERS)
def test_a_number_beyond_its_edge_is_refused(key: str) -> None:
    low, high = NUMBERS[key]
    step = 1 if key in WHOLE else 1e-6
    for value in (low - step, high + step, -1, -(10**30), 10**30):
        text = refused(key, value)
        assert f"{low:g} to {high:g}" in text
        assert text.endswith(f"not {value}")


@pytest.mark.parametrize("key", SECONDS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_seconds_are_finite(key: str, value: float) -> None:
    refused(key, value)


@pytest.mark.parametrize(
    ("key", "kind"),
    [*dict.fromkeys(WHOLE, "a whole number").items(), *dict.fromkeys(SECONDS, "a number").items()],
)
@pytest.mark.parametrize(
    ("value", "name"),
    [
        (True, "a boolean"),
        (False, "a boolean"),
        ("1", "a string"),
        (None, "null"),
        ([], "a list"),
        ((), "a list"),
        ({}, "an object"),
        (b"1", "bytes"),
    ],
)
def test_a_number_is_nothing_else(key: str, kind: str, value: object, name: str) -> None:
    assert refused(key, value) == f"{key} must be {kind}, not {name}"


@pytest.mark.parametrize("key", WHOLE)
def test_a_whole_number_has_no_fraction(key: str) -> None:
    assert refused(key, 1000.0) == f"{key} must be a whole number, not a number"


def test_seconds_may_have_a_fraction() -> None:
    assert config(linger=0.25).linger == 0.25


def test_connections_of_an_address_are_unlimited_or_some() -> None:
    key = "max_connections_per_address"
    for limit in (None, 1, 10**9):
        assert getattr(config(**{key: limit}), key) == limit
    for few in (0, -1):
        assert "from 1 to 1e+09" in refused(key, few)
    others: list[object] = [True, False, 1.0, "1", []]
    for wrong in others:
        assert "a whole number or null" in refused(key, wrong)


@pytest.mark.parametrize("timeout", [0.05, 24.9, 25])
def test_the_timeout_is_longer_than_the_interval(timeout: float) -> None:
    with pytest.raises(ConfigError, match=r"heartbeat_timeout .* must be longer than") as refusal:
        config(heartbeat_interval=25, heartbeat_timeout=timeout)
    assert "heartbeat_interval (25 s)" in str(refusal.value)
    assert config(heartbeat_interval=25, heartbeat_timeout=25.1).heartbeat_timeout == 25.1


@pytest.mark.parametrize("stand", [2, 3, 64, 1000])
def test_more_sessions_are_remembered_than_stand(stand: int) -> None:
    for remembered in (2, stand - 1, stand):
        with pytest.raises(ConfigError, match=r"^max_remembered_sessions .* must be more") as why:
            config(max_sessions=stand, max_remembered_sessions=max(2, remembered))
        assert f"max_sessions ({stand})" in str(why.value)
    edge = {"max_remembered_sessions": stand + 1, "max_connections_per_room": stand}
    assert config(max_sessions=stand, **edge).max_sessions == stand


def test_members_are_closed_after_the_lame_duck() -> None:
    for grace in (3, 2.9):
        with pytest.raises(ConfigError, match=r"^lame_duck \(3 s\) must be shorter than") as why:
            config(lame_duck=3, shutdown_grace=grace)
        assert f"shutdown_grace ({grace} s)" in str(why.value)
    assert config(lame_duck=3, shutdown_grace=3.1).lame_duck == 3


SHARED = "postgresql://hub@db.example/sse_trio"


@pytest.mark.parametrize(("lease", "needed"), [(2, 4.4), (6, 9.2), (60, 74)])
def test_a_notify_may_wait_for_the_lease_of_a_node_that_has_died(
    lease: float, needed: float
) -> None:
    with pytest.raises(
        ConfigError, match=rf"^ledger_timeout \({needed - 0.01:g} s\) must be at least {needed} s"
    ) as why:
        config(ledger=SHARED, lease=lease, ledger_timeout=needed - 0.01)
    assert f"lease is {lease} s" in str(why.value)
    assert config(ledger=SHARED, lease=lease, ledger_timeout=needed).lease == lease
    assert config(lease=lease, ledger_timeout=0.05).lease == lease


def test_a_shared_ledger_has_a_longer_timeout_by_default(tmp_path: Path) -> None:
    assert config(ledger=SHARED).ledger_timeout == 10
    assert Config.load(write(tmp_path, json.dumps({"ledger": SHARED}))).ledger_timeout == 10
    assert config(ledger=COMMAND_LEDGER).ledger_timeout == 5


def test_a_reload_does_not_bring_together_what_does_not_go_together() -> None:
    running = config(ledger=SHARED)
    with pytest.raises(ConfigError, match=r"^ledger_timeout \(5 s\)"):
        running.reloaded(config())
    assert running.reloaded(config(ledger_timeout=9.2)).changed == ("ledger_timeout",)


def test_each_session_that_may_stand_has_room_for_a_page() -> None:
    with pytest.raises(
        ConfigError, match=r"^max_connections_per_room \(2\) .* at least"
    ) as refusal:
        config(max_sessions=3, max_connections_per_room=2)
    assert "max_sessions (3)" in str(refusal.value)
    assert config(max_sessions=3, max_connections_per_room=3).max_sessions == 3


def test_a_message_has_room_for_a_ticket() -> None:
    with pytest.raises(ConfigError, match=r"^max_message \(511 B\) must be at least 512 B"):
        config(join="ticket", max_message=511)
    roomy = config(authkey="key", join="ticket", max_message=512)
    assert config(join="open", max_message=64).max_message == 64
    tickets = Tickets(roomy.authkey, lifetime=roomy.ticket_lifetime)
    ticket = tickets.mint(Ticket("u" * 36, "s" * 36, 10**6), now=2e9 + 0.123456, jti="j" * 22)
    assert len(encode(Join(ticket=ticket))) <= roomy.max_message


# -- the rest ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        ("ipaddr", "::", "::"),
        ("ipaddr", "server.example", "server.example"),
        ("ipaddr", "fe80::1%eth0", "fe80::1%eth0"),
        ("authkey", None, ()),
        ("authkey", "one", ("one",)),
        ("authkey", ["new", "old"], ("new", "old")),
        ("authkey", ("new", "old"), ("new", "old")),
        ("authkey", [], ()),
        ("authkey", "ключ", ("ключ",)),
        ("authkey", "two words", ("two words",)),
        ("join", "open", "open"),
        ("join", "ticket", "ticket"),
        ("origins", None, None),
        ("origins", [], ()),
        ("origins", "https://App.example.com", ("https://app.example.com",)),
        ("origins", ["http://[::1]:8080", "null"], ("http://[::1]:8080", "null")),
        ("origins", ["capacitor://localhost", "file://"], ("capacitor://localhost", "file://")),
        ("origins", ("https://müller.example:443",), ("https://xn--mller-kva.example",)),
        ("ledger", "memory:", "memory:"),
        ("ledger", "sqlite:///sse-trio.db", "sqlite:///sse-trio.db"),
        ("ledger", "sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
        *(
            ("ledger", url, url)
            for url in (
                "postgresql://",
                SHARED,
                "postgresql:///sse_trio?service=sse-trio",
                "postgresql://hub:s%3Aecret@[::1]:5432,b:5433/db?target_session_attrs=read-write",
                "postgresql://%2Frun%2Fpostgresql",
            )
        ),
        ("ledger_feed", None, None),
        ("ledger_feed", SHARED, SHARED),
        ("on_lost_engine", "hold", "hold"),
        ("on_lost_engine", "cut", "cut"),
        ("on_lost_engine", "carry-on", "carry-on"),
        ("at_limit", "end-oldest", "end-oldest"),
        ("at_limit", "refuse-new", "refuse-new"),
        ("trusted_proxies", [], ()),
        ("trusted_proxies", "10.0.0.0/8", (ipaddress.ip_network("10.0.0.0/8"),)),
        (
            "trusted_proxies",
            ["192.0.2.1", "fd00::/8"],
            (ipaddress.ip_network("192.0.2.1/32"), ipaddress.ip_network("fd00::/8")),
        ),
        (
            "trusted_proxies",
            [ipaddress.ip_network("10.0.0.0/8")],
            (ipaddress.ip_network("10.0.0.0/8"),),
        ),
        # The server compares an IPv4 address as one, also where IPv6 has brought it.
        ("trusted_proxies", "::ffff:10.0.0.0/104", (ipaddress.ip_network("10.0.0.0/8"),)),
        (
            "trusted_proxies",
            [ipaddress.ip_network("::ffff:10.0.0.1")],
            (ipaddress.ip_network("10.0.0.1"),),
        ),
        ("trusted_proxies", "::/0", (ipaddress.ip_network("::/0"),)),
        ("metrics", False, False),
        ("internal", None, None),
        ("internal", "127.0.0.1:9000", Tcp("127.0.0.1", 9000)),
        ("internal", "api.example:0", Tcp("api.example", 0)),
        ("internal", "127.0.0.1:65535", Tcp("127.0.0.1", 65535)),
        ("internal", "[::1]:9000", Tcp("::1", 9000)),
        ("internal", "[fe80::1%eth0]:9000", Tcp("fe80::1%eth0", 9000)),
        ("internal", Tcp("::1", 9000), Tcp("::1", 9000)),
        ("internal", "unix:/run/sse-trio/api.sock", Unix("/run/sse-trio/api.sock")),
        ("internal", "unix:api.sock", Unix("api.sock")),
        ("internal", f"unix:/{'x' * (LONGEST - 1)}", Unix(f"/{'x' * (LONGEST - 1)}")),
        ("token_cookie", "sid", "sid"),
        ("token_cookie", "!#$%&'*+-.^_`|~09azAZ", "!#$%&'*+-.^_`|~09azAZ"),
        ("socketio", True, True),
        ("socketio_path", "/socket.io", "/socket.io/"),
        ("socketio_path", "/a/b.c/~-_9/", "/a/b.c/~-_9/"),
        ("socketio_client", None, None),
        ("socketio_client", "/srv/socket.io.min.js", "/srv/socket.io.min.js"),
        ("notify_paths", "/rest/login", ("/rest/login",)),
        ("notify_paths", ["/a/", "/b"], ("/a/", "/b")),
        ("without_sender", "all-end", "all-end"),
        ("socketio_join", "join", ("join",)),
        ("socketio_join", ["join", "log in"], ("join", "log in")),
        ("socketio_terminate", "x" * 64, "x" * 64),
        ("socketio_joined", None, None),
        ("socketio_heartbeat", "heartbeat", "heartbeat"),
        ("audit", None, None),
        ("audit", "log", "log"),
        ("audit", "/var/log/sse-trio/audit", "/var/log/sse-trio/audit"),
    ],
)
def test_takes(key: str, value: object, taken: object) -> None:
    assert getattr(config(**{key: value}), key) == taken


@pytest.mark.parametrize(
    ("key", "values", "why"),
    [
        ("ipaddr", ["", 7, None, True, ["::"]], "must be an address or a host name"),
        (
            "ipaddr",
            [
                *("127.0.0.1:8080", "[::1]", "[::1]:8080", "http://127.0.0.1", "10.0.0.0/8"),
                *("localhost ", "\tlocalhost", "*", "127.0.0.1,::1", "me@host"),
            ],
            "without brackets, a port, a scheme or a mask",
        ),
        ("authkey", ["", [""], ["new", ""], "  ", ["new", "\n"], "\u3000"], "must not be empty"),
        (
            "authkey",
            ["key\n", "key\r\n", " key", ["new", "key "], "\ufeffkey", "key\ufeff", "\xa0key"],
            "must not begin or end with a space, a line end or a byte order mark",
        ),
        (
            "authkey",
            ["two\nlines", "k\x00ey", "k\tey", ["new", "k\x7fey"], "k\x9bey", "k\u200bey"],
            "must not hold characters that cannot be seen",
        ),
        ("authkey", [7, True, {}, ["new", 7], [None], [["new"]]], "must be a string or a list"),
        ("authkey", ["\udcff", ["new", "ol\udcffd"]], "must be UTF-8"),
        ("join", ["", "Open", None, True, ["open"], 0], 'must be "open" or "ticket"'),
        ("origins", [7, True, {}, [7], [None]], "must be a string or a list of strings"),
        (
            "origins",
            ["", "app.example.com", "https://app.example.com/"],
            "[0]: it is not an origin",
        ),
        ("origins", [["https://a", "https://*.x"]], "[1]: wildcards are not supported"),
        ("origins", [["https://a", "null", "wss://a"]], "[2]: no page comes from wss://"),
        ("origins", ["https://a:99999"], "[0]: its port must be"),
        ("ledger", ["sqlite:////var/lib/", "sqlite:///.", "sqlite:///data/.."], "not a folder"),
        (
            "at_limit",
            ["", "refuse", "Refuse-New", "refuse_new", None, True, 0, ["refuse-new"]],
            'must be "end-oldest" or "refuse-new"',
        ),
        (
            "ledger",
            [
                *("", "memory", "memory:x", "Memory:", None, True, 7, ["memory:"]),
                *("sqlite", "sqlite:", "sqlite://", "sqlite:///", "sqlite://x.db", "sqlite:/x.db"),
                *("sqlite:///a\x00b", "SQLite:///x.db", "x.db", "/x.db", "valkey://host"),
                # SQLite would take these for a database in memory.
                *("sqlite:///:memory:", "sqlite:///:", "sqlite::memory:"),
            ],
            (
                'must be "memory:", "sqlite:///relative/path", "sqlite:////absolute/path" or '
                '"postgresql://user@host/database"'
            ),
        ),
        (
            "ledger",
            [
                *("postgresql", "postgresql:", "postgresql:/", "postgres://h/d", "PostgreSQL://h"),
                # Here it would be uncertain what is the password.
                *("postgresql://u:p@q@h/d", "postgresql://u:p/q@h/d", "postgresql://u:p?q@h/d"),
                *("postgresql://u:p#q@h/d", "postgresql://h/d#x", "postgresql://h/a/b"),
                *("postgresql://u:p", "postgresql://u:p/d", "postgresql://h/d?x=a@b"),
                *("postgresql://h/a b", "postgresql://h/d\n", "postgresql://ü@h/d"),
                *("postgresql://u:\x7f@h/d", "postgresql://h/d@e"),
            ],
            '"postgresql://user@host/database"',
        ),
        (
            "ledger_feed",
            ["", "memory:", "sqlite:///x.db", True, 7, [], "postgresql://u:p@q@h/d", "postgresql:"],
            'must be null or "postgresql://user@host/database"',
        ),
        (
            "on_lost_engine",
            ["", "Hold", "carry_on", None, True],
            'must be "hold" or "cut" or "carry-on"',
        ),
        ("trusted_proxies", [7, True, {}, [7], None], "must be a string or a list of strings"),
        (
            "trusted_proxies",
            ["", "x", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1:80"],
            "[0] is neither an address nor a network",
        ),
        ("trusted_proxies", [["::1", "proxy.example"]], "[1] is neither an address nor a network"),
        ("metrics", [0, 1, None, "true", []], "must be true or false"),
        (
            "internal",
            [
                *("", 9000, True, [], "127.0.0.1", "127.0.0.1:", ":9000", "::1:9000", "[::1]"),
                *("[]:9000", "[127.0.0.1]:9000", "[::x]:9000", "*:9000", "a b:9000", "h:65536"),
                *("h:-1", "h:+1", "h:1_0", "h:\u0661", "h:9000/", "http://h:9000", "h:9000\n"),
            ],
            "must be null or like 127.0.0.1:9000, [::1]:9000 or unix:/run/x.sock",
        ),
        (
            "internal",
            ["unix:", "unix:/", "unix:/run/", "unix:/run/..", "unix:a\0b"],
            "not a folder",
        ),
        (
            "internal",
            [f"unix:/{'x' * LONGEST}", f"unix:/{'ü' * (LONGEST // 2 + 1)}"],
            f"a path of more than {LONGEST} bytes",
        ),
        (
            "token_cookie",
            ["", "a b", "a=b", "a;b", "a,b", '"a"', "ключ", "a\n", "a\0", None, 7, ["a"]],
            "must be the name of a cookie",
        ),
        (
            "socketio_path",
            ["", "/", "//", "a", "a/", "/a//b", "/a?b", "/a%20", "/ä", "/a b", 7, None],
            "must be a path like /socket.io/",
        ),
        ("socketio_join", ["", ["join", ""], ["x" * 65]], "must be the name of an event"),
        ("socketio_client", ["", "a\0b", 7, ["a"]], "must be null or the path of a file"),
        ("notify_paths", [["/"], ["a"], ["/a?b"]], "notify_paths must be a path like"),
        ("notify_paths", [7, None, [7]], "must be a string or a list of strings"),
        ("without_sender", ["", None, 7], 'must be "newest-stays" or "all-end"'),
        ("socketio_join", [[], ()], "must name at least one event"),
        ("socketio_join", [None, 7, [7]], "must be a string or a list of strings"),
        ("socketio_join", ["connect", ["join", "disconnect"]], "has for itself"),
        ("socketio_terminate", ["", "x" * 65, "a\n", None, 7, ["x"]], "must be the name"),
        ("socketio_joined", ["", 7], "must be the name of an event"),
        ("socketio_heartbeat", ["newListener"], "must not be a name that Socket.IO has"),
        ("audit", ["", 7, True, ["log"], "a\0b"], 'must be null, "log" or the path of a file'),
        ("audit", ["/", "logs/", ".", "/var/log/.."], "must name a file, not a folder"),
    ],
)
def test_refuses(key: str, values: list[object], why: str) -> None:
    for value in values:
        assert why in refused(key, value)


@pytest.mark.parametrize(
    ("ledger", "path"),
    [
        ("memory:", None),
        ("sqlite:///sse-trio.db", Path("sse-trio.db")),
        ("sqlite:///data/x.db", Path("data/x.db")),
        ("sqlite:////var/lib/sse-trio/x.db", Path("/var/lib/sse-trio/x.db")),
        ("sqlite:///memory:", Path("memory:")),
        ("postgresql://h/x.db", None),
        ("sqlite:///a b?c#é:memory:", Path("a b?c#é:memory:")),
    ],
)
def test_the_ledgers_path_is_all_that_comes_after_the_third_slash(
    ledger: str, path: Path | None
) -> None:
    assert config(ledger=ledger).ledger_path == path


@pytest.mark.parametrize(
    ("ledger", "shown"),
    [
        ("memory:", "memory:"),
        ("sqlite:///a:b@c?d", "sqlite:///a:b@c?d"),
        ("postgresql://", "postgresql://"),
        (SHARED, SHARED),
        ("postgresql://hub:secret@h:1,i/db", "postgresql://hub:***@h:1,i/db"),
        ("postgresql://:secret@h", "postgresql://:***@h"),
        ("postgresql://@h/", "postgresql://@h/"),
        ("postgresql://h/db?user=hub&password=secret", "postgresql://h/db?***"),
    ],
)
def test_a_password_is_not_shown(ledger: str, shown: str) -> None:
    told = repr(config(ledger=ledger))
    assert f'ledger="{shown}"' in told
    assert "secret" not in told
    assert config(ledger=ledger).ledger == ledger
    if config(ledger=ledger).is_shared:
        assert f'ledger_feed="{shown}"' in repr(config(ledger_feed=ledger))
        assert config(ledger_feed=ledger).ledger_feed == ledger


def test_several_nodes_share_a_database_alone() -> None:
    assert config(ledger=SHARED).is_shared
    assert not config().is_shared
    assert not config(ledger=COMMAND_LEDGER).is_shared


def test_the_commands_ledger_is_a_file() -> None:
    assert config(ledger=COMMAND_LEDGER).ledger_path == Path("sse-trio.db")


def test_the_longest_path_of_a_socket_is_the_systems() -> None:
    with socket.socket(socket.AF_UNIX) as unix:
        for length, refusal in ((LONGEST, "No such file"), (LONGEST + 1, "path too long")):
            with pytest.raises(OSError, match=refusal):
                unix.connect("/" + "x" * (length - 1))


@pytest.mark.parametrize(
    "text", ["127.0.0.1:9000", "[::1]:9000", "api.example:0", "unix:/run/sse-trio/api.sock"]
)
def test_an_endpoint_is_shown_as_it_is_written(text: str) -> None:
    endpoint = config(internal=text).internal
    assert str(endpoint) == text
    assert config(internal=endpoint) == config(internal=text)


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1:1"), ("::1", "[::1]:1")])
def test_the_internal_address_is_another_one(host: str, text: str) -> None:
    with pytest.raises(ConfigError, match=r"^internal \(.*\) must differ from") as why:
        config(ipaddr=host, port=1, internal=text)
    assert text in str(why.value)
    assert config(ipaddr=host, port=2, internal=text).internal == Tcp(host, 1)
    assert config(ipaddr="127.0.0.2", port=1, internal=text).internal == Tcp(host, 1)
    # The system chooses two.
    assert config(port=0, internal="127.0.0.1:0").internal == Tcp("127.0.0.1", 0)


# -- a new configuration for a running server -------------------------------------------


NEEDS_RESTART = {
    "port": 1,
    "ipaddr": "::1",
    "ledger": COMMAND_LEDGER,
    "ledger_feed": SHARED,
    "internal": "127.0.0.1:9000",
    "heartbeat_interval": 1,
    "heartbeat_timeout": 100,
    "lease": 9,
    "audit": "log",
}
TAKEN_AT_ONCE = {
    "authkey": ["new", "old"],
    "join": "ticket",
    "origins": ["https://app.example.com"],
    "join_timeout": 1,
    "request_timeout": 1,
    "keep_alive": 1,
    "ledger_timeout": 1,
    "linger": 1,
    "shutdown_grace": 1,
    "lame_duck": 1,
    "drain_rate": 99,
    "on_lost_engine": "cut",
    "hold": 1,
    "join_patience": 1,
    "max_sessions": 2,
    "at_limit": "refuse-new",
    "max_connections": 99,
    "max_connections_per_room": 9,
    "max_connections_per_address": 9,
    "max_message": 9999,
    "max_body": 9999,
    "max_check_body": 9999,
    "max_headers": 9999,
    "max_header_lines": 99,
    "max_outbox": 9999,
    "max_wrong_keys": 9,
    "max_remembered_rooms": 9,
    "max_remembered_sessions": 9,
    "ticket_lifetime": 9999,
    "trusted_proxies": ["10.0.0.0/8"],
    "metrics": False,
    "token_cookie": "sid",
    "socketio": True,
    "socketio_path": "/live/",
    "socketio_join": ["enter"],
    "socketio_terminate": "leave",
    "socketio_joined": None,
    "socketio_heartbeat": "beat",
    "socketio_client": "client.js",
    "notify_paths": ["/rest/login"],
    "without_sender": "all-end",
}


def test_every_key_is_taken_at_once_or_needs_a_restart() -> None:
    assert sorted([*NEEDS_RESTART, *TAKEN_AT_ONCE]) == sorted(KEYS)
    running = Config(authkey="old")
    for key in KEYS:
        value = (NEEDS_RESTART | TAKEN_AT_ONCE)[key]
        wanted = config(**{"authkey": "old", key: value})
        reload = running.reloaded(wanted)
        if key in TAKEN_AT_ONCE:
            assert (reload.config, reload.changed, reload.restart) == (wanted, (key,), ())
        else:
            assert (reload.config, reload.changed, reload.restart) == (running, (), (key,))


def test_a_reload_without_a_change_changes_nothing() -> None:
    reload = Config(authkey="key").reloaded(Config(authkey=("key",)))
    assert (reload.config, reload.changed, reload.restart) == (Config(authkey="key"), (), ())


def test_a_reload_sorts_what_is_new_from_what_has_to_wait() -> None:
    running = config(port=1, ipaddr="127.0.0.1")
    wanted = config(port=2, ipaddr="::1", internal="127.0.0.1:1", max_sessions=9, metrics=False)
    reload = running.reloaded(wanted)
    assert (reload.changed, reload.restart) == (
        ("max_sessions", "metrics"),
        ("port", "ipaddr", "internal"),
    )
    assert reload.config == config(port=1, max_sessions=9, metrics=False)


def test_a_reload_tells_no_key() -> None:
    assert "secret" not in repr(Config().reloaded(Config(authkey="secret")))


@pytest.mark.parametrize(
    "same",
    [
        {"socketio_join": ["terminate"]},
        {"socketio_join": ["a", "a"]},
        {"socketio_joined": "join"},
        {"socketio_heartbeat": "joined"},
    ],
)
def test_events_of_socket_io_differ(same: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be different events"):
        config(**same)


@pytest.mark.parametrize("path", ["/ws", "/events/", "/release", "/verify", "/operator"])
def test_clients_of_socket_io_connect_where_nothing_else_is(path: str) -> None:
    with pytest.raises(ConfigError, match="socketio_path must not be a path that the hub has"):
        config(socketio_path=path)
    assert config(socketio_path=f"{path.rstrip('/')}2")


@pytest.mark.parametrize(
    "path", ["/ws", "/events", "/release", "/verify", "/operator.js", "/readyz", "/client.js"]
)
def test_logins_are_announced_where_nothing_else_is(path: str) -> None:
    with pytest.raises(ConfigError, match=r"notify_paths\[1\] must not be a path that the hub has"):
        config(notify_paths=["/a", path])
    # This one means what it has always meant.
    assert config(notify_paths=["/notify", "/notify/", f"{path}2"])


@pytest.mark.parametrize(
    "path", ["/live", "/live/", "/live/socket.io.js", "/live/socket.io.min.js"]
)
@pytest.mark.parametrize("socketio_path", ["/live", "/live/"])
def test_logins_are_not_announced_where_clients_connect(path: str, socketio_path: str) -> None:
    with pytest.raises(ConfigError, match=r"notify_paths\[0\] must differ from socketio_path"):
        config(notify_paths=[path], socketio_path=socketio_path)
    assert config(notify_paths=["/socket.io", "/live/a"], socketio_path=socketio_path)


# -- what is dangerous ------------------------------------------------------------------


def told(config: Config) -> list[str]:
    return [message % values for message, values in config.dangers(7)]


def test_the_open_mode_is_dangerous() -> None:
    assert told(config(join="ticket", authkey=["x" * 16])) == []
    [open_mode] = told(config(ipaddr="::1", authkey=["x" * 16]))
    assert open_mode.startswith("open mode: anyone who reaches ::1 port 7 can listen in")


def test_a_short_key_is_dangerous() -> None:
    for keys in (["x" * 15], ["x" * 16, "x" * 15]):
        [short] = told(config(join="ticket", authkey=keys))
        assert short.startswith("an authkey is short: ")
    assert told(config(join="ticket", authkey=["ü" * 8])) == []


# -- the file ---------------------------------------------------------------------------


def test_the_original_three_keys_are_enough(tmp_path: Path) -> None:
    file = write(tmp_path, '{"port": 8080, "ipaddr": "127.0.0.1", "authkey": "HknYh/u762yhdi<4"}')
    assert Config.load(file) == Config.load(str(file)) == Config(authkey="HknYh/u762yhdi<4")


def test_a_byte_order_mark_before_it_means_nothing(tmp_path: Path) -> None:
    """Windows' editors write one (RFC 8259, section 8.1)."""
    assert Config.load(write(tmp_path, b'\xef\xbb\xbf{"port": 1}')) == config(port=1)
    with pytest.raises(ConfigError, match="begins with a byte order mark"):
        Config.load(write(tmp_path, b"\xef\xbb\xbf\xef\xbb\xbf{}"))


def test_its_lists_may_be_as_long_as_they_have_to(tmp_path: Path) -> None:
    networks = [f"10.{n >> 8}.{n & 255}.0/24" for n in range(5000)]
    file = write(tmp_path, json.dumps({"trusted_proxies": networks}))
    assert Config.load(file) == config(trusted_proxies=networks)


def test_without_a_file_all_is_default() -> None:
    assert Config.load(None) == Config()


def test_what_the_file_does_not_say_is_as_its_reader_wants(tmp_path: Path) -> None:
    usual: dict[str, Any] = {"ledger": COMMAND_LEDGER, "linger": 7}
    assert Config.load(None, **usual) == config(**usual)
    file = write(tmp_path, '{"linger": 8, "port": 1}')
    assert Config.load(file, **usual) == config(ledger=COMMAND_LEDGER, linger=8, port=1)
    environ = {ENVIRONMENT_KEY: "from outside"}
    assert Config.load(None, environ, authkey="usual").authkey == ("from outside",)
    assert Config.load(None, {}, authkey="usual").authkey == ("usual",)


def test_what_the_file_says_is_measured_against_what_its_reader_wants(tmp_path: Path) -> None:
    file = write(tmp_path, '{"max_sessions": 9}')
    with pytest.raises(ConfigError, match="must be more than max_sessions") as refusal:
        Config.load(file, max_remembered_sessions=9)
    assert str(refusal.value).startswith(f"{file}: ")


def test_a_file_says_what_arguments_say(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "port": 0,
        "join": "ticket",
        "ledger": "sqlite:////var/lib/sse-trio.db",
        "max_sessions": 3,
        "at_limit": "refuse-new",
        "origins": ["https://app.example.com"],
        "linger": 0.5,
        "trusted_proxies": ["10.0.0.0/8"],
        "metrics": False,
        "max_connections_per_address": None,
    }
    assert Config.load(write(tmp_path, json.dumps(values))) == config(**values)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ('{"port": 1,}', "not JSON"),
        ("// port\n{}", "not JSON"),
        (b"\xff{}", "not UTF-8"),
        ("[]", "must be a JSON object, not a list"),
        ("null", "must be a JSON object, not null"),
        ('"x"', "must be a JSON object, not a string"),
        ('{"port": 1, "port": 2}', "names a member twice"),
        ('{"linger": NaN}', "NaN and Infinity are not JSON"),
        ('{"linger": 1e999}', "out of range"),
        ('{"port": "8080"}', "port must be a whole number, not a string"),
        ('{"port": true}', "port must be a whole number, not a boolean"),
        ('{"metrics": 1}', "metrics must be true or false, not a number"),
        ('{"heartbeat_timeout": 20}', "heartbeat_timeout (20 s) must be longer"),
        ('{"max_sessions": 64}', "max_remembered_sessions (64) must be more than max_sessions"),
        ('{"at_limit": "refuse"}', 'at_limit must be "end-oldest" or "refuse-new"'),
        ('{"ledger": "sqlite://x.db"}', 'ledger must be "memory:"'),
    ],
)
def test_what_is_wrong_in_the_file_is_one_error_that_names_it(
    tmp_path: Path, text: str | bytes, why: str
) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as refusal:
        Config.load(file)
    assert str(refusal.value).startswith(f"{file}: ")
    assert why in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("prot", "; did you mean 'port'?"),
        ("Port", "; did you mean 'port'?"),
        ("ip_addr", "; did you mean 'ipaddr'?"),
        ("AUTHKEY", "; did you mean 'authkey'?"),
        ("max_conections", "; did you mean 'max_connections'?"),
        ("heartbeat", "; did you mean 'heartbeat_timeout'?"),
        ("max_session", "; did you mean 'max_sessions'?"),
        ("at-limit", "; did you mean 'at_limit'?"),
    ],
)
def test_an_unknown_key_names_the_nearest(tmp_path: Path, key: str, hint: str) -> None:
    file = write(tmp_path, json.dumps({"port": 1, key: 1}))
    with pytest.raises(ConfigError) as refusal:
        Config.load(file)
    assert str(refusal.value) == f"{file}: unknown key {key!r}{hint}"


@pytest.mark.parametrize("key", ["colour", "", "HknYh/u762yhdi<4"])
def test_an_unknown_key_that_is_near_none_is_not_quoted(tmp_path: Path, key: str) -> None:
    file = write(tmp_path, json.dumps({"port": 1, key: "authkey"}))
    with pytest.raises(ConfigError) as refusal:
        Config.load(file)
    assert str(refusal.value) == f"{file}: unknown key (member 2 of the object)"


@pytest.mark.parametrize("key", KEYS)
def test_a_slip_of_the_pen_is_understood(tmp_path: Path, key: str) -> None:
    for slip in (key[0] + key, key[:-1], key.replace("_", "-") + "s", key.title()):
        if slip not in KEYS:
            with pytest.raises(ConfigError, match=f"did you mean '{key}'"):
                Config.load(write(tmp_path, json.dumps({slip: 1})))


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert Config.load(write(tmp_path, '\ufeff{"port": 1}')).port == 1


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.json", tmp_path, f"{tmp_path}/a\x00b"):
        with pytest.raises(ConfigError) as refusal:
            Config.load(path)
        assert str(refusal.value).startswith(f"{path}: ")


# -- the keys that open -----------------------------------------------------------------


@pytest.mark.parametrize("in_file", ["{}", '{"authkey": "from the file"}', '{"authkey": 7}'])
def test_the_environment_replaces_the_key(tmp_path: Path, in_file: str) -> None:
    environ = {ENVIRONMENT_KEY: "from outside", "PORT": "1"}
    loaded = Config.load(write(tmp_path, in_file), environ)
    assert loaded == Config(authkey="from outside")
    assert Config.load(None, environ).authkey == ("from outside",)


def test_an_empty_environment_replaces_nothing(tmp_path: Path) -> None:
    file = write(tmp_path, '{"authkey": "from the file"}')
    for environ in ({}, {ENVIRONMENT_KEY: ""}, None):
        assert Config.load(file, environ).authkey == ("from the file",)
    assert ENVIRONMENT_KEY == "SSE_TRIO_AUTHKEY"


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "must be UTF-8"),
        (" ", "must not be empty or blank"),
        ("from outside\n", "must not begin or end with"),
    ],
)
def test_a_key_of_the_environment_that_can_be_none(tmp_path: Path, key: str, why: str) -> None:
    file = write(tmp_path, '{"authkey": "from the file"}')
    for path in (None, file):
        with pytest.raises(ConfigError, match=f"^SSE_TRIO_AUTHKEY: authkey {why}") as refusal:
            Config.load(path, {ENVIRONMENT_KEY: key})
        assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "template",
    [
        '{"authkey": %s}',
        '{"authkey": [%s, "old"]}',
        '{"authkey": %s, "port": "x"}',
        '{"authkey": %s, "prot": 1}',
        '{"authkey": %s, "authkey": 7}',
        '{"authkey": [%s, ""]}',
        '{"authkey": [%s, 7]}',
        '{"authkey": [[%s]]}',
        '{"authkey": {"key": %s}}',
        '{"authkey": %s',
        '{"authkey": %s, "heartbeat_timeout": 1}',
        '{"port": %s}',
        '{"ipaddr": [%s]}',
        "{%s: 1}",
        '{"port": 1, %s: "authkey"}',
        '{"origins": %s}',
        '{"origins": ["https://app.example.com", %s]}',
        '{"trusted_proxies": %s}',
        '{"trusted_proxies": ["10.0.0.0/8", %s]}',
        '{"join": %s}',
        '{"metrics": %s}',
        '{"linger": %s}',
        '{"ledger": %s}',
        '{"ledger": ["sqlite:///", %s]}',
        '{"at_limit": %s}',
        '{"max_sessions": %s}',
        '{"max_connections_per_address": %s}',
        "%s",
        "[%s]",
    ],
)
def test_no_key_is_ever_told(tmp_path_factory: pytest.TempPathFactory, template: str) -> None:
    folder = tmp_path_factory.mktemp("config")

    @given(strategies.keys)
    def check(key: str) -> None:
        file = write(folder, template.replace("%s", json.dumps(key)))
        for environ in ({}, {ENVIRONMENT_KEY: key}, {ENVIRONMENT_KEY: key + "\udcff"}):
            try:
                told = repr(Config.load(file, environ))
            except ConfigError as error:
                told = str(error)
            assert strategies.KEY_MARK not in told

    check()


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_file_with_the_key_that_others_may_read_or_change_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    file = write(tmp_path, '{"authkey": "from the file"}')
    file.chmod(mode)
    assert Config.load(file).authkey == ("from the file",)
    [warning] = caplog.records
    assert warning.levelname == "WARNING"
    told = f"{file} holds the authkey, and is open to all users (mode 0{mode:o})"
    assert warning.getMessage() == told


@pytest.mark.parametrize(
    ("mode", "text", "environ"),
    [
        (0o600, '{"authkey": "from the file"}', {}),
        # As the file of a service is kept: root's, and its group's to read.
        (0o640, '{"authkey": "from the file"}', {}),
        (0o644, "{}", {}),
        (0o644, '{"authkey": null}', {}),
        (0o644, '{"authkey": "of no use"}', {ENVIRONMENT_KEY: "from outside"}),
    ],
)
def test_no_other_file_is_warned_of(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    text: str,
    environ: dict[str, str],
) -> None:
    file = write(tmp_path, text)
    file.chmod(mode)
    Config.load(file, environ)
    assert caplog.records == []
