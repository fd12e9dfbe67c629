"""The paths at which the hub answers."""

import pytest

from sse_trio.core.keyed import READERS
from sse_trio.paths import WITH_KEY, is_own, is_verify, of_scripts, of_socketio


@pytest.mark.parametrize(
    ("path", "is_one"),
    [("/verify", True), ("/verify/", True), ("/verify/a", True), ("/verifya", False), ("/", False)],
)
def test_where_proxies_ask(path: str, is_one: bool) -> None:
    assert is_verify(path) is is_one


def test_what_takes_the_key() -> None:
    assert set(WITH_KEY) == set(READERS)


def test_the_hubs_own() -> None:
    for path in (*WITH_KEY, "/", "/client.js", "/ws", "/events", "/verify", "/verify/a"):
        assert is_own(path)
    for path in ("/operator", "/operator.js", "/healthz", "/readyz", "/metrics", "/openapi.json"):
        assert is_own(path)
    for path in ("/ws/", "/notify/", "/socket.io/", "/verifya", "/operator/"):
        assert not is_own(path)


def test_those_of_socket_io() -> None:
    assert of_socketio("/live/") == ("/live/", "/live")
    assert of_scripts("/live/") == ("/live/socket.io.js", "/live/socket.io.min.js")
