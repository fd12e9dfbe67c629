"""The environment as a configuration: every key, how it is written, and what is somebody else's."""

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given

from sse_trio.config import COMMAND_LEDGER, KEYS, Config, load
from sse_trio.errors import ConfigError
from sse_trio.sources import KEY_FILE

from . import strategies


def config(**values: Any) -> Config:
    """Make a Config of what JSON holds, whichever its types."""
    return Config(**values)


def refused(
    environ: Mapping[str, str],
    path: Path | None = None,
    arguments: Mapping[str, Any] | None = None,
    **defaults: Any,
) -> str:
    with pytest.raises(ConfigError) as refusal:
        Config.load(path, environ, arguments, **defaults)
    assert refusal.value.__cause__ is None
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


# -- how values are written -------------------------------------------------------------

WRITTEN: list[tuple[str, str, Any]] = [
    ("port", "0", 0),
    ("ipaddr", "::1", "::1"),
    ("authkey", "one", ("one",)),
    ("authkey", '["new", "old"]', ("new", "old")),
    ("authkey", '[ "new" ]', ("new",)),
    # They are one key each, also where they look like more.
    ("authkey", "a,b, c", ("a,b, c",)),
    ("authkey", "[a,b]", ("[a,b]",)),
    ("authkey", "null", ("null",)),
    ("join", "ticket", "ticket"),
    ("origins", "https://a.example", ("https://a.example",)),
    ("origins", "https://a.example, http://[::1]:80", ("https://a.example", "http://[::1]")),
    ("origins", '["https://a.example","null"]', ("https://a.example", "null")),
    # One origin, and not any.
    ("origins", "null", ("null",)),
    ("origins", "[]", ()),
    ("ledger", "sqlite:////var/lib/x.db", "sqlite:////var/lib/x.db"),
    ("ledger_feed", "null", None),
    ("internal", "[::1]:9000", config(internal="[::1]:9000").internal),
    ("internal", "null", None),
    ("heartbeat_interval", "0.5", 0.5),
    ("heartbeat_timeout", "1e2", 100),
    ("join_timeout", "1", 1),
    ("request_timeout", "1", 1),
    ("keep_alive", "1", 1),
    ("ledger_timeout", "1", 1),
    ("lease", "3", 3),
    ("on_lost_engine", "carry-on", "carry-on"),
    ("hold", "1", 1),
    ("join_patience", "1", 1),
    ("linger", "1", 1),
    ("shutdown_grace", "1", 1),
    ("lame_duck", "1", 1),
    ("drain_rate", "1", 1),
    ("max_sessions", "3", 3),
    ("at_limit", "refuse-new", "refuse-new"),
    ("max_connections", "5", 5),
    ("max_connections_per_room", "5", 5),
    ("max_connections_per_address", "5", 5),
    ("max_connections_per_address", "null", None),
    ("max_message", "512", 512),
    ("max_body", "512", 512),
    ("max_check_body", "512", 512),
    ("max_headers", "512", 512),
    ("max_header_lines", "50", 50),
    ("max_outbox", "5000", 5000),
    ("max_wrong_keys", "5", 5),
    ("max_remembered_rooms", "5", 5),
    ("max_remembered_sessions", "5", 5),
    ("ticket_lifetime", "5", 5),
    ("trusted_proxies", "10.0.0.0/8", (ipaddress.ip_network("10.0.0.0/8"),)),
    ("trusted_proxies", "::1,10.0.0.1", tuple(map(ipaddress.ip_network, ("::1", "10.0.0.1")))),
    ("trusted_proxies", "[]", ()),
    ("metrics", "false", False),
    ("metrics", "true", True),
    ("token_cookie", "null", "null"),
    ("socketio", "true", True),
    ("socketio_path", "/io/", "/io/"),
    ("socketio_join", "enter,login", ("enter", "login")),
    ("socketio_terminate", "leave", "leave"),
    ("socketio_joined", "null", None),
    ("socketio_heartbeat", "beat", "beat"),
    ("socketio_client", "/srv/socket.io.min.js", "/srv/socket.io.min.js"),
    ("notify_paths", "/api/login,/login", ("/api/login", "/login")),
    ("without_sender", "all-end", "all-end"),
    ("audit", "log", "log"),
    ("audit", "null", None),
]


def test_every_key_is_written_here() -> None:
    assert list(dict.fromkeys(key for key, _, _ in WRITTEN)) == list(KEYS)


@pytest.mark.parametrize(("key", "text", "value"), WRITTEN)
def test_a_variable_sets_a_key(key: str, text: str, value: object) -> None:
    loaded = Config.load(None, {f"SSE_TRIO_{key.upper()}": text})
    assert getattr(loaded, key) == value
    assert loaded == config(**{key: value})


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("PORT", "http", "port must be a whole number, not a string"),
        ("PORT", "8080.0", "port must be a whole number, not a number"),
        ("PORT", "70000", "port must be from 0 to 65535, not 70000"),
        ("PORT", "8_080", "port must be a whole number, not a string"),
        ("PORT", "null", "port must be a whole number, not null"),
        ("LINGER", "NaN", "linger must be a number, not a string"),
        ("LINGER", "[1]", "linger must be a number, not a list"),
        ("METRICS", "yes", "metrics must be true or false, not a string"),
        ("METRICS", "1", "metrics must be true or false, not a number"),
        ("JOIN", '"open"', 'join must be "open" or "ticket"'),
        ("ORIGINS", "https://a,", "origins[1]: it is not an origin"),
        ("ORIGINS", '["https://a"', "origins begins like a JSON array: not JSON"),
        ("ORIGINS", "[7]", "origins must be a string or a list of strings"),
        ("TRUSTED_PROXIES", "10.0.0.1,x", "trusted_proxies[1] is neither"),
        ("AUTHKEY", '["new", "old"', "authkey begins like a JSON array: not JSON"),
        ("AUTHKEY", '["new", 7]', "authkey must be a string or a list"),
        ("AUTHKEY", '["new", ""]', "authkey must not be empty"),
        ("AUDIT", "\udcff", "audit must be UTF-8"),
        ("LEDGER", "x.db", "ledger must be"),
    ],
)
def test_what_is_wrong_names_the_variable(name: str, text: str, why: str) -> None:
    told = refused({f"SSE_TRIO_{name}": text})
    assert told.startswith(f"SSE_TRIO_{name}: {why}")
    # Defaults of whoever reads are right; only the environment is to be named.
    assert refused({f"SSE_TRIO_{name}": text}, linger=3) == told


def test_an_empty_variable_is_none() -> None:
    assert Config.load(None, {f"SSE_TRIO_{key.upper()}": "" for key in KEYS}) == Config()
    assert Config.load(None, {"SSE_TRIO_PROT": "", KEY_FILE: ""}) == Config()


# -- which one counts -------------------------------------------------------------------


def test_the_file_then_the_environment_then_the_arguments(tmp_path: Path) -> None:
    values = {"port": 1, "linger": 1, "keep_alive": 1, "join_timeout": 1}
    file = write(tmp_path / "config.json", json.dumps(dict.fromkeys(list(values)[1:], 2)))
    environ = {"SSE_TRIO_KEEP_ALIVE": "3", "SSE_TRIO_JOIN_TIMEOUT": "3"}
    loaded = load(file, environ, {"join_timeout": 4}, **values)
    assert loaded.config == config(port=1, linger=2, keep_alive=3, join_timeout=4)
    assert {key: loaded.place(key) for key in [*values, "ledger"]} == {
        "port": "default",
        "linger": str(file),
        "keep_alive": "SSE_TRIO_KEEP_ALIVE",
        "join_timeout": "--join-timeout",
        "ledger": "default",
    }


def test_what_is_overridden_need_not_be_right(tmp_path: Path) -> None:
    file = write(tmp_path / "config.json", '{"port": "x", "linger": -1}')
    environ = {"SSE_TRIO_PORT": "x", "SSE_TRIO_LINGER": "2"}
    assert Config.load(file, environ, {"port": 1}) == config(port=1, linger=2)


def test_what_does_not_go_together_names_all_that_were_read(tmp_path: Path) -> None:
    file = write(tmp_path / "config.json", '{"max_sessions": 9}')
    environ = {"SSE_TRIO_MAX_REMEMBERED_SESSIONS": "9"}
    why = "max_remembered_sessions (9) must be more than max_sessions (9)"
    assert refused(environ, file).startswith(f"{file} and the environment: {why}")
    told = refused(environ, None, {"port": 1}, max_sessions=9)
    assert told.startswith(f"the environment and the arguments: {why}")
    assert refused({}, max_sessions=9, max_remembered_sessions=9).startswith(f"config: {why}")


def test_an_argument_that_is_wrong_is_named_as_the_key() -> None:
    assert refused({}, None, {"port": -1}) == "port must be from 0 to 65535, not -1"


# -- variables that are no keys ---------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SSE_TRIO_PROT", "; did you mean SSE_TRIO_PORT?"),
        ("SSE_TRIO_MAX_CONECTIONS", "; did you mean SSE_TRIO_MAX_CONNECTIONS?"),
        ("SSE_TRIO_AUTH_KEY", "; did you mean SSE_TRIO_AUTHKEY?"),
        ("SSE_TRIO_AUTHKEYFILE", "; did you mean SSE_TRIO_AUTHKEY_FILE?"),
        ("SSE_TRIO_port", "; did you mean SSE_TRIO_PORT?"),
        ("SSE_TRIO_COLOUR", ""),
        ("SSE_TRIO_", ""),
    ],
)
def test_an_unknown_variable_names_the_nearest(name: str, hint: str) -> None:
    assert refused({name: "secret"}) == f"the environment has an unknown {name}{hint}"


@pytest.mark.parametrize("name", ["SSE_TRIO", "PORT", "sse_trio_port", "MY_SSE_TRIO_PORT"])
def test_other_names_are_others(name: str) -> None:
    assert Config.load(None, {name: "x"}) == Config()


def test_the_ticket_of_a_watcher_is_no_key() -> None:
    for name in ("TICKET", "URL", "KEY", "PUBLIC_URL"):
        assert Config.load(None, {f"SSE_TRIO_{name}": "secret"}) == Config()


# What Kubernetes sets for Services (https://kubernetes.io/docs/concepts/services-networking/service/
# #environment-variables) that are called `sse-trio` and `sse-trio-api`, with two named ports.
SERVICES = {
    "SSE_TRIO_SERVICE_HOST": "10.0.0.11",
    "SSE_TRIO_SERVICE_PORT": "80",
    "SSE_TRIO_SERVICE_PORT_HTTP": "80",
    "SSE_TRIO_SERVICE_PORT_METRICS_V2": "9000",
    "SSE_TRIO_PORT": "tcp://10.0.0.11:80",
    "SSE_TRIO_PORT_80_TCP": "tcp://10.0.0.11:80",
    "SSE_TRIO_PORT_80_TCP_PROTO": "tcp",
    "SSE_TRIO_PORT_80_TCP_PORT": "80",
    "SSE_TRIO_PORT_80_TCP_ADDR": "10.0.0.11",
    "SSE_TRIO_PORT_53_UDP": "udp://10.0.0.11:53",
    "SSE_TRIO_API_SERVICE_HOST": "10.0.0.12",
    "SSE_TRIO_API_SERVICE_PORT": "9000",
    "SSE_TRIO_API_PORT": "tcp://10.0.0.12:9000",
    "SSE_TRIO_API_PORT_9000_TCP": "tcp://10.0.0.12:9000",
    "SSE_TRIO_API_PORT_9000_TCP_ADDR": "10.0.0.12",
}


def test_services_of_kubernetes_are_no_keys(tmp_path: Path) -> None:
    assert Config.load(None, SERVICES) == Config()
    file = write(tmp_path / "config.json", '{"port": 1}')
    assert Config.load(file, SERVICES | {"SSE_TRIO_LINGER": "2"}) == config(port=1, linger=2)
    # What the pod sets itself replaces it.
    assert Config.load(file, SERVICES | {"SSE_TRIO_PORT": "2"}).port == 2


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SSE_TRIO_PORT", "http://10.0.0.11:80"),
        ("SSE_TRIO_API_PORT", "80"),
        ("SSE_TRIO_SERVICE", "x"),
        ("SSE_TRIO_PORT_X_TCP", "80"),
        ("SSE_TRIO_IPADDR", "tcp://10.0.0.11:80"),
    ],
)
def test_what_only_resembles_them_is_an_error(name: str, text: str) -> None:
    assert name in refused({name: text})


# -- the file of keys -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("key", ("key",)),
        ("key\n", ("key",)),
        ("new\nold\n", ("new", "old")),
        ("\n \nnew\r\n\r\nold\r\n\n", ("new", "old")),
        ("\ufeffkey\n", ("key",)),
        ('["a", "b"],c', ('["a", "b"],c',)),
    ],
)
def test_keys_from_a_file(tmp_path: Path, text: str, keys: tuple[str, ...]) -> None:
    config_file = write(tmp_path / "config.json", '{"authkey": "from the file"}')
    path = write(tmp_path / "keys", text)
    loaded = load(config_file, {KEY_FILE: str(path)})
    assert loaded.config == config(authkey=keys)
    assert (loaded.place("authkey"), loaded.dangers) == (str(path), ())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has no key"),
        ("\n \n", "has no key"),
        ("key \n", "authkey must not begin or end with"),
        ("a\tb", "authkey must not hold characters that cannot be seen"),
        ("a\u2028b", "authkey must not hold characters that cannot be seen"),
        (b"caf\xe9", "must be UTF-8"),
    ],
)
def test_a_file_of_keys_that_is_wrong(tmp_path: Path, text: str | bytes, why: str) -> None:
    path = write(tmp_path / "keys", text)
    told = refused({KEY_FILE: str(path)})
    assert told.startswith(f"{path}: {why}")
    assert "0xe9" not in told


def test_a_file_of_keys_that_cannot_be_read(tmp_path: Path) -> None:
    """What should be its name may be a key, in the wrong variable."""
    assert refused({KEY_FILE: "secret"}) == f"{KEY_FILE}: No such file or directory"
    assert refused({KEY_FILE: "x" * 5000}) == f"{KEY_FILE}: File name too long"
    assert refused({KEY_FILE: str(tmp_path)}) == f"{KEY_FILE}: Is a directory"
    assert refused({KEY_FILE: "a\0b"}) == f"{KEY_FILE}: it is not the path of a file"


def test_the_key_comes_from_one_variable(tmp_path: Path) -> None:
    path = write(tmp_path / "keys", "key")
    told = refused({KEY_FILE: str(path), "SSE_TRIO_AUTHKEY": "secret"})
    assert told == "SSE_TRIO_AUTHKEY and SSE_TRIO_AUTHKEY_FILE exclude one another"
    assert Config.load(None, {KEY_FILE: str(path), "SSE_TRIO_AUTHKEY": ""}).authkey == ("key",)


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644])
def test_a_file_of_keys_that_all_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    path = write(tmp_path / "keys", "key", mode)
    # This one has no key that counts.
    file = write(tmp_path / "config.json", '{"authkey": "of no use"}', 0o666)
    Config.load(file, {KEY_FILE: str(path)})
    told = f"{path} holds the authkey, and is open to all users (mode 0{mode:o})"
    assert caplog.messages == [told]


def told(environ: Mapping[str, str]) -> str:
    """Return all that anybody is told of a configuration, or why it is none."""
    try:
        loaded = load(None, environ, ledger=COMMAND_LEDGER)
    except ConfigError as error:
        return str(error)
    # Some values are no secrets, and a place is a path or a name.
    return repr(attrs.evolve(loaded, config=Config(authkey=loaded.config.authkey)))


def spoilt(secret: str) -> tuple[str, ...]:
    """Return a key, and what somebody may write who means it."""
    return (secret, f'["{secret}', f'["{secret}"]', f"{secret},", f"{secret}\udcff")


@pytest.mark.parametrize("key", KEYS)
@given(secret=strategies.keys)
def test_no_key_is_ever_told(key: str, secret: str) -> None:
    for text in spoilt(secret):
        assert strategies.KEY_MARK not in told({f"SSE_TRIO_{key.upper()}": text})


def test_no_key_of_a_file_is_ever_told(tmp_path: Path) -> None:
    path = tmp_path / "keys"

    @given(strategies.keys)
    def check(secret: str) -> None:
        for text in spoilt(secret):
            assert strategies.KEY_MARK not in told({KEY_FILE: text})
            write(path, text.encode(errors="surrogatepass") + b"\n\x00")
            assert strategies.KEY_MARK not in told({KEY_FILE: str(path)})

    check()
