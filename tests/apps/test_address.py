"""Where a hub is, and its key."""

import pytest

from sse_trio.apps import address
from sse_trio.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls", "path", "header"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1", 8080, False, "", "127.0.0.1:8080"),
        ("https://hub.example", "hub.example", 443, True, "", "hub.example"),
        ("https://hub.example:443/", "hub.example", 443, True, "", "hub.example"),
        ("http://hub.example:443", "hub.example", 443, False, "", "hub.example:443"),
        ("http://[::1]:8080/hub/", "::1", 8080, False, "/hub", "[::1]:8080"),
        ("http://bücher.example", "xn--bcher-kva.example", 80, False, "", "xn--bcher-kva.example"),
    ],
)
def test_a_url(url: str, host: str, port: int, is_tls: bool, path: str, header: str) -> None:
    found = address.parse(url)
    assert (found.host, found.port, found.is_tls, found.path) == (host, port, is_tls, path)
    assert found.host_header == header


def test_a_unix_socket() -> None:
    found = address.parse("unix:/run/api.sock")
    assert (found.unix, found.host_header) == ("/run/api.sock", "localhost")


@pytest.mark.parametrize(
    "url",
    [
        "hub:8080",
        "ftp://hub",
        "http://",
        "http://hub:0",
        "http://hub:x",
        "http://user:secret@hub",
        "http://hub?secret",
        "http://hub#secret",
        "unix:",
        "http://" + "x" * 300,
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError) as error:
        address.parse(url)
    assert "secret" not in str(error.value)


def test_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(address.URL, "http://a:1, http://b:2,")
    assert [each.host for each in address.addresses(None)] == ["a", "b"]
    assert [each.host for each in address.addresses("http://c:3")] == ["c"]
    monkeypatch.setenv(address.URL, " ")
    with pytest.raises(ConfigError, match="SSE_TRIO_URL"):
        address.addresses(None)


def test_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(address.KEY, "of the environment")
    assert address.key(None) == "of the environment"
    assert address.key("given") == "given"
    for wrong in ("secret ", "sec\nret"):
        with pytest.raises(ConfigError) as error:
            address.key(wrong)
        assert "sec" not in str(error.value)
    monkeypatch.delenv(address.KEY)
    with pytest.raises(ConfigError, match="SSE_TRIO_KEY"):
        address.key(None)
