"""Both clients, against hubs that are real and hubs that are hostile: the same, in time."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from sse_trio.apps import AsyncClient, Client, HubAway, HubRefused, New, calls, flows
from sse_trio.apps.exchange import MAX_ANSWER

from ..support import KEY, Start
from ..test_client import CERTIFICATE
from .support import (
    ACTIVE,
    LOOSELY,
    NOTIFIED,
    RELEASED,
    SHORT,
    UNKNOWN,
    Behaviour,
    answer,
    at_once,
    fake,
    in_thread,
    raw,
    reset,
    silent,
    trickling,
    urls,
)

Use = Callable[..., Any]
"""``ask(url, lambda hub: hub.check("a token"), timeout=1)``: the same for both clients."""


def by_threads(url: str, *uses: Callable[[Any], Any], **options: Any) -> Any:
    with Client(url, KEY, **options) as hub:
        return [use(hub) for use in uses][-1]


def by_asyncio(url: str, *uses: Callable[[Any], Any], **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncClient(url, KEY, **options) as hub:
            return [await use(hub) for use in uses][-1]

    return asyncio.run(main())


@pytest.fixture(params=[by_threads, by_asyncio], ids=["threads", "asyncio"])
def ask(request: pytest.FixtureRequest) -> Use:
    found: Use = request.param
    return found


def check(hub: Any) -> Any:
    return hub.check("a token")


OK = b"HTTP/1.1 200 OK\r\n"

HOSTILE: dict[str, Behaviour] = {
    "silent": silent,
    "trickling head": trickling(OK),
    "trickling body": trickling(OK + b"Content-Length: 5000\r\n\r\n"),
    "dies": reset,
    "hangs up": raw(b""),
    "cut off": raw(OK + b"Content-Length: 10\r\n\r\nab"),
    "no HTTP": raw(b"SSH-2.0-OpenSSH\r\n\r\n"),
    "endless head": raw(OK + b"X: " + b"x" * 100_000),
    "no JSON": answer(200, None, body=b"<html>"),
    "another JSON": answer(200, {"status": "fine"}),
    "huge": answer(200, None, body=b" " * (MAX_ANSWER + 1)),
    "bad gateway": answer(502, {}),
    "away": answer(503, {}, "Retry-After: 1"),
    "upgrades": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_hub_is_away_at_the_deadline(name: str, ask: Use) -> None:
    with fake(HOSTILE[name]) as hub:
        began = time.monotonic()
        with pytest.raises(HubAway) as away:
            ask(urls(hub.port), check, timeout=SHORT)
        assert time.monotonic() - began < LOOSELY
        assert hub.asked
        assert all(each == ("/check", {"key": KEY, "token": "a token"}) for each in hub.asked)
        assert KEY not in str(away.value)


def test_nobody_listens(ask: Use) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(HubAway, match=r"Connection refused|Connect call failed"):
        ask(urls(port), check, timeout=4 * SHORT)


def test_a_connection_that_is_never_accepted(ask: Use) -> None:
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):  # its queue is full, and what comes then is dropped
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        began = time.monotonic()
        with pytest.raises(HubAway, match="too long"):
            ask(urls(listener.getsockname()[1]), check, timeout=SHORT)
        assert time.monotonic() - began < LOOSELY


def test_slow_is_not_away(ask: Use) -> None:
    def behave(sock: socket.socket, _: bytes) -> None:
        for byte in OK + b"Transfer-Encoding: chunked\r\n\r\n29\r\n":
            sock.sendall(bytes([byte]))
        sock.sendall(b'{"active": false, "known": false}        \r\n0\r\n\r\n')

    with fake(behave) as hub:
        assert not ask(urls(hub.port), check, timeout=LOOSELY).active


def test_a_503_is_repeated_with_the_same_id(ask: Use) -> None:
    with fake(answer(503, {}), reset, answer(200, NOTIFIED)) as hub:
        found = ask(urls(hub.port), lambda hub: hub.notify("ada"), notify_timeout=LOOSELY)
        assert found.ticket == "a.ticket"
        assert len(hub.asked) == 3
        assert all(each == hub.asked[0] for each in hub.asked)
        assert hub.asked[0][1]["id"]


def test_a_dead_kept_connection_is_replaced(ask: Use) -> None:
    with fake(answer(200, UNKNOWN), reset, answer(200, UNKNOWN)) as hub:
        ask(urls(hub.port), check, check, timeout=LOOSELY)
        assert hub.asked_on == [1, 1, 2]


def test_a_connection_is_kept_only_if_the_hub_keeps_it(ask: Use) -> None:
    with fake(answer(200, UNKNOWN, "Connection: close"), answer(200, UNKNOWN)) as hub:
        ask(urls(hub.port), check, check, check)
        assert hub.asked_on == [1, 2, 2]


def test_a_connection_on_which_more_came_is_not_used_again(ask: Use) -> None:
    def behave(sock: socket.socket, request: bytes) -> None:
        body = json.dumps(UNKNOWN).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        sock.sendall(head + body + head + body)

    with fake(behave) as hub:
        ask(urls(hub.port), check, check)
        assert hub.asked_on == [1, 2]


def test_a_refusal_is_one(ask: Use) -> None:
    with fake(answer(401, {"type": "urn:sse-trio:problem:unauthorized"})) as hub:
        with pytest.raises(HubRefused, match=r"^the hub refuses /check: 401 unauthorized$"):
            ask(urls(hub.port), check)
        assert len(hub.asked) == 1


def test_several_nodes(ask: Use) -> None:
    with fake(silent) as hung, fake(answer(503, {})) as away, fake(answer(200, ACTIVE)) as well:
        found = ask(urls(hung.port, away.port, well.port), check, check, timeout=4 * SHORT)
        assert found.active
        # The second time, the one that has answered is asked first.
        assert [len(each.asked) for each in (hung, away, well)] == [1, 1, 2]


def test_a_login_that_fails_is_released(ask: Use) -> None:
    """Told but not durable: the session stands in the hub, and holds a place."""

    def behave(sock: socket.socket, request: bytes) -> None:
        if b"/notify" in request:
            answer(503, {})(sock, request)
        elif sum(path == "/release" for path, _ in hub.asked) < 3:
            reset(sock, request)
        else:
            answer(200, RELEASED)(sock, request)
            released.set()

    def log_in(hub: Any) -> Any:
        return hub.notify("ada")

    async def log_in_and_wait() -> None:
        async with AsyncClient(
            urls(hub.port), KEY, notify_timeout=SHORT, timeout=SHORT, pauses=at_once
        ) as client:
            with pytest.raises(HubAway):
                await client.notify("ada")
            await asyncio.to_thread(released.wait, LOOSELY)

    released = threading.Event()
    with fake(behave) as hub:
        if ask is by_asyncio:
            asyncio.run(log_in_and_wait())
        else:
            with pytest.raises(HubAway):
                ask(urls(hub.port), log_in, notify_timeout=SHORT, timeout=SHORT, pauses=at_once)
        assert released.wait(LOOSELY)
        sender = hub.asked[0][1]["sender"]
        sent = [members for path, members in hub.asked if path == "/release"]
        assert all(each == {"key": KEY, "room": "ada", "session": sender} for each in sent)


class GivenUp(BaseException):
    """As a timeout of gevent, or asyncio's cancellation."""


def test_a_login_that_is_given_up_is_released(ask: Use) -> None:
    """Nobody knows whether the hub has seen it."""
    released = threading.Event()

    def behave(sock: socket.socket, request: bytes) -> None:
        is_release = b"/release" in request
        answer(200, RELEASED if is_release else NOTIFIED)(sock, request)
        if is_release:
            released.set()

    def give_up(_: Any) -> Any:
        raise GivenUp

    call = attrs.evolve(calls.notify("ada", New.SESSION, LOOSELY, 0), read=give_up)

    def log_in(hub: Any) -> Any:
        with pytest.raises(GivenUp):
            hub.run(flows.announcing(call, LOOSELY))
        assert released.wait(LOOSELY)

    async def log_in_and_wait(hub: Any) -> Any:
        with pytest.raises(GivenUp):
            await hub.run(flows.announcing(call, LOOSELY))
        assert await asyncio.to_thread(released.wait, LOOSELY)

    with fake(behave) as hub:
        use = log_in_and_wait if ask is by_asyncio else log_in
        ask(urls(hub.port), use, pauses=at_once)
        assert hub.asked[-1][1]["session"] == call.new_session


def test_a_logout_that_fails_goes_on(ask: Use) -> None:
    came = threading.Event()

    def last(sock: socket.socket, request: bytes) -> None:
        answer(200, RELEASED)(sock, request)
        came.set()

    with fake(answer(503, {}, "Retry-After: 5"), reset, last) as hub:

        def release(client: Any) -> Any:
            return client.release("ada", "s1", epoch=3)

        async def main() -> None:
            async with AsyncClient(urls(hub.port), KEY, pauses=at_once) as client:
                assert await client.release("ada", "s1", epoch=3) is None
                await asyncio.to_thread(came.wait, LOOSELY)

        if ask is by_asyncio:
            asyncio.run(main())
        else:
            assert ask(urls(hub.port), release, pauses=at_once) is None
        assert came.wait(LOOSELY)
        assert [members["epoch"] for _, members in hub.asked] == [3, 3, 3]


def test_no_more_connections_than_allowed(ask: Use) -> None:
    with fake(silent) as hub:

        def many(client: Any) -> Any:
            threads = [threading.Thread(target=fail, args=(client,)) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        def fail(client: Any) -> None:
            with pytest.raises(HubAway):
                client.check("a token")

        async def main(client: Any) -> None:
            outcomes = await asyncio.gather(
                *(client.check("a token") for _ in range(4)), return_exceptions=True
            )
            assert all(isinstance(each, HubAway) for each in outcomes)

        ask(
            urls(hub.port),
            main if ask is by_asyncio else many,
            timeout=SHORT,
            connections=2,
        )
        assert hub.connections <= 4  # and not 8: each attempt had to wait for its place


async def test_a_real_hub(ask: Use, start: Start) -> None:
    hub = await start(join="ticket")
    url = urls(hub.port)
    first = await in_thread(lambda: ask(url, lambda hub: hub.notify("ada", about={"device": "x"})))
    second = await in_thread(
        lambda: ask(url, lambda hub: hub.notify("ada", max_sessions=2, at_limit="refuse-new"))
    )
    assert second.standing == (second.session, first.session)
    roster = await in_thread(lambda: ask(url, lambda hub: hub.sessions("ada")))
    assert [each.about for each in roster.sessions] == [None, {"device": "x"}]
    found = await in_thread(lambda: ask(url, lambda hub: hub.check(first.token, renew=True)))
    assert found.active
    assert found.token not in (None, first.token)
    by_names = await in_thread(
        lambda: ask(url, lambda hub: hub.check(room="ada", session=first.session, seen=True))
    )
    assert (by_names.active, by_names.token) == (True, None)
    released = await in_thread(
        lambda: ask(url, lambda hub: hub.release("ada", first.session, epoch=first.epoch))
    )
    assert released.ended == (first.session,)
    both = await in_thread(
        lambda: ask(url, lambda hub: hub.check_many([{"token": first.token}, {"token": "x"}]))
    )
    assert [(each.active, each.known) for each in both] == [(False, True), (False, False)]
    assert (both[0].reason, both[0].epoch) == ("logout", 2)
    everywhere = await in_thread(lambda: ask(url, lambda hub: hub.notify(7, None, reason="out")))
    assert (everywhere.room, everywhere.session, everywhere.token) == ("7", None, None)


async def test_a_unix_socket(ask: Use, start: Start, tmp_path: Path) -> None:
    where = tmp_path / "api.sock"
    await start(join="ticket", internal=f"unix:{where}")
    found = await in_thread(lambda: ask(f"unix:{where}", lambda hub: hub.notify("ada")))
    assert found.epoch == 1


def test_https(ask: Use) -> None:
    serves = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serves.load_cert_chain(CERTIFICATE)
    trusts = ssl.create_default_context(cafile=CERTIFICATE)
    with fake(answer(200, UNKNOWN), tls=serves) as hub:
        url = f"https://127.0.0.1:{hub.port}"
        assert not ask(url, check, check, tls=trusts).known
        assert hub.asked_on == [1, 1]
        # Nobody is told the key who is not trusted.
        with pytest.raises(HubAway):
            ask(url, check, timeout=SHORT)
        assert len(hub.asked) == 2
    with fake(silent) as hub:  # its handshake never ends
        began = time.monotonic()
        with pytest.raises(HubAway):
            ask(f"https://127.0.0.1:{hub.port}", check, timeout=SHORT)
        assert time.monotonic() - began < LOOSELY


async def test_threads_share_a_client(start: Start) -> None:
    hub = await start(join="ticket")
    with Client(urls(hub.port), KEY) as client:
        logins = [await in_thread(client.notify, f"user {number}") for number in range(4)]
        wrong: list[str] = []

        def work(number: int) -> None:
            for _ in range(20):
                found = client.check(logins[number].token)
                if (found.room, found.session) != (f"user {number}", logins[number].session):
                    wrong.append(str(found))

        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(in_thread, work, number)
        assert wrong == []


def test_another_loop_begins_anew() -> None:
    """Test clients, and scripts, use one client in several loops."""
    with fake(answer(200, UNKNOWN)) as hub:
        client = AsyncClient(urls(hub.port), KEY)

        async def main() -> None:
            await client.check("a token")
            await client.check("a token")
            await client.aclose()

        for _ in range(2):
            asyncio.run(main())
        assert hub.asked_on == [1, 1, 2, 2]


def test_what_is_shown_of_a_client() -> None:
    for kind in (Client, AsyncClient):
        shown = repr(kind("http://a:1, https://b/path", KEY))
        assert shown == f"<{kind.__name__} of http://a:1, https://b/path>"


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("SSE_TRIO_URL", "SSE_TRIO_KEY"):
        monkeypatch.delenv(name, raising=False)
    return iter(())


def test_the_environment_is_enough(ask: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    with fake(answer(200, UNKNOWN)) as hub:
        monkeypatch.setenv("SSE_TRIO_URL", urls(hub.port))
        monkeypatch.setenv("SSE_TRIO_KEY", "another key")
        with Client() as client:
            client.check("a token")
        assert hub.asked == [("/check", {"key": "another key", "token": "a token"})]
