"""What it costs to say whose request it is: by the cookie's own word, and with the store.

One request after the other, in one task, as the middleware asks: from the headers to the
verdict. Peers are what such a request cannot do without, and the simplest signed cookie: PyJWT's
own verification of nr1; Starlette's session cookie by itsdangerous, which has no store, no
CSRF token and no revocation.
"""

import base64
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import itsdangerous
import jwt
import trio

import sse_trio
from sse_trio.auth import Authenticated, Authority, LoggedIn, Settings, User
from sse_trio.auth.cookies import LOGIN
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
        login = await hit.login(ADA)
        contenders: dict[str, Work] = {
            "PyJWT verifies nr1, nothing else": _pyjwt(hit, login),
            "Starlette's session cookie (itsdangerous)": _itsdangerous(),
            "sse_trio, cache hit": _verdict(hit, login),
            "sse_trio asks memory": _verdict(asks_memory, await asks_memory.login(ADA)),
            "sse_trio asks SQLite": _verdict(asks_file, await asks_file.login(ADA)),
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


def _verdict(authority: Authority, login: LoggedIn) -> Work:
    pairs = [cookie.partition(";")[0] for cookie in login.cookies]
    headers = [
        (b"host", b"app.example.com"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
        (b"accept", b"application/json"),
        (b"accept-language", b"en"),
        (b"accept-encoding", b"gzip, deflate, br"),
        (b"cookie", "; ".join(["theme=dark", *pairs]).encode()),
        (b"x-csrf-token", login.claims.csrf.encode()),
    ]

    async def work(calls: int) -> None:
        for _ in range(calls):
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
            if claims["sub"] != "7":
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
