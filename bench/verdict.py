"""What it costs to say whose request it is: by the cookie's own word, and with the store.

One request after the other, in one task, as the middleware asks: from the headers to the
verdict. By the cookie's own word twice: with one login's cookies all the time, and with one more
login's than the authority remembers, each in its turn, so that it remembers none of them when it
comes. The peers are PyJWT's `decode`, applied to the cookie nr1, and the simplest signed cookie:
Starlette's session cookie by itsdangerous, which has no store, no CSRF token and no revocation.
"""

import base64
import itertools
import json
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import itsdangerous
import jwt
import trio

import sse_trio
from sse_trio.auth import Authenticated, Authority, LoggedIn, Settings, User
from sse_trio.auth.cookies import LOGIN, Claims, write
from sse_trio.core.tickets import REMEMBERED_TOKENS
from sse_trio.core.tokens import ALGORITHM, ISSUER
from sse_trio.hub.hub import Hub

from .results import Answer, Series

ABOUT = "What a verdict costs: on a cache hit, and where SQLite is asked"

MANY, FEW = 2000, 200
"""Calls in each round."""

ADA = User("7", "Ada Lovelace")

ALWAYS = Settings(cache_time_minutes=0)

Work = Callable[[int], Awaitable[None]]
"""Does it so many times."""

Request = list[tuple[bytes, bytes]]
"""The headers."""


def measure(*, rounds: int, calls: int) -> Answer:
    """Measure, everybody so many rounds of so many calls."""
    with tempfile.TemporaryDirectory() as directory:
        times = trio.run(_run, rounds, calls, Path(directory))
    series = Series("a verdict", "µs", lower_is_better=True, values=times)
    return Answer(ABOUT, {series.name: series})


async def _run(rounds: int, calls: int, directory: Path) -> dict[str, list[float]]:
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        memory = sse_trio.MemoryLedger()
        file = await stack.enter_async_context(sse_trio.SqliteLedger.open(directory / "bench.db"))
        hit = await _authority(nursery, memory, Settings())
        asks_memory = await _authority(nursery, sse_trio.MemoryLedger(), ALWAYS)
        asks_file = await _authority(nursery, file, ALWAYS)
        news = await _authority(nursery, sse_trio.MemoryLedger(), Settings())
        contenders: dict[str, Work] = {
            "PyJWT verifies nr1, nothing else": _pyjwt(hit, await hit.login(User("8", "Bob"))),
            "Starlette's session cookie (itsdangerous)": _itsdangerous(),
            "sse_trio, cache hit": _verdicts(hit, _same(await hit.login(ADA))),
            "sse_trio, cache hit, new cookies": _verdicts(news, _new(news, await news.login(ADA))),
            "sse_trio asks memory": _verdicts(asks_memory, _same(await asks_memory.login(ADA))),
            "sse_trio asks SQLite": _verdicts(asks_file, _same(await asks_file.login(ADA))),
        }
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for work in contenders.values():
            await work(calls // 10 + 1)
        for _ in range(rounds):
            for name, work in contenders.items():
                started = time.perf_counter()
                await work(calls)
                times[name].append((time.perf_counter() - started) / calls * 1e6)
        nursery.cancel_scope.cancel()
    return times


async def _authority(
    nursery: trio.Nursery, ledger: sse_trio.Ledger, settings: Settings
) -> Authority:
    hub = Hub(sse_trio.Config(authkey="the benchmark's"), ledger, nursery.start_soon)
    return await Authority.open(hub, settings)


def _request(cookies: list[str], claims: Claims) -> Request:
    pairs = [cookie.partition(";")[0] for cookie in cookies]
    return [
        (b"host", b"app.example.com"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (b"accept", b"application/json"),
        (b"accept-language", b"en"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"cookie", "; ".join(["theme=dark", *pairs]).encode()),
        (b"x-csrf-token", claims.csrf.encode()),
    ]


def _same(login: LoggedIn) -> Iterator[Request]:
    return itertools.repeat(_request(login.cookies, login.claims))


def _new(authority: Authority, login: LoggedIn) -> Iterator[Request]:
    keys = authority.store.keys
    assert keys is not None
    checked = login.claims.checked
    requests = []
    for number in range(REMEMBERED_TOKENS + 1):
        claims = attrs.evolve(login.claims, checked=checked + number / 1000)
        requests.append(_request(write(claims, authority.settings, keys), claims))
    return itertools.cycle(requests)


def _verdicts(authority: Authority, requests: Iterator[Request]) -> Work:
    async def work(calls: int) -> None:
        for headers in itertools.islice(requests, calls):
            found = await authority.authenticate("POST", headers)
            if not isinstance(found, Authenticated):
                raise TypeError(f"not authenticated: {found}")

    return work


def _pyjwt(authority: Authority, login: LoggedIn) -> Work:
    token = login.cookies[0].partition(";")[0].partition("=")[2]
    assert authority.store.keys is not None
    key = authority.store.keys.signing.secret

    async def work(calls: int) -> None:
        for _ in range(calls):
            claims = jwt.decode(
                token, key, algorithms=[ALGORITHM], audience=LOGIN.audience, issuer=ISSUER
            )
            if claims["sub"] != login.claims.user.id:
                raise ValueError("it is not the user's")

    return work


def _itsdangerous() -> Work:
    # As starlette.middleware.sessions does it.
    signer = itsdangerous.TimestampSigner("the benchmark's")
    session = base64.b64encode(json.dumps({"user": "7", "name": "Ada Lovelace"}).encode())
    cookie = signer.sign(session)

    async def work(calls: int) -> None:
        for _ in range(calls):
            data = signer.unsign(cookie, max_age=14 * 86400)
            if json.loads(base64.b64decode(data))["user"] != "7":
                raise ValueError("it is not the user's")

    return work
