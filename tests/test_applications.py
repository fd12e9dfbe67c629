"""The applications of the documents, as they stand there, ask a real hub.

Those of `docs/applications.md` run in this process, each worker a module of its own, called by
threads; the README's runs in two processes. Their requests to the hub are real ones.
"""

import itertools
import json
import os
import re
import shlex
import sys
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

import h11
import pytest
import trio
from werkzeug.serving import make_server
from werkzeug.test import Client, Cookie

import sse_trio

from .proxies import ask, free_port, running
from .support import KEY, Start, keep_cookies, open_peer
from .test_docs import README, ROOT
from .test_proxies import Bench, nginx, proxy, recipe
from .test_proxies import bench as bench
from .test_proxies import where as where

APPLICATIONS = ROOT / "docs" / "applications.md"
ADA = {"user": "ada", "password": "analytical engine"}
GRACE = {"user": "grace", "password": "first compiler"}

EXAMPLES = {
    "app.py": (README, "In your application"),
    "devices.py": (APPLICATIONS, "Sessions in cookies: `/check`"),
    "store.py": (APPLICATIONS, "Sessions in a store: `standing`"),
    "behind.py": (APPLICATIONS, "No code at all: `/verify`"),
    "away.py": (APPLICATIONS, "While the hub is away"),
}


def example(name: str) -> str:
    page, heading = EXAMPLES[name]
    return recipe(heading, f"python {name}", page)


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``module = load("store.py", hub)``: a worker of an application, in a directory of its own."""
    monkeypatch.chdir(tmp_path)

    def load(name: str, port: int) -> Any:
        monkeypatch.setenv("HUB", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("HUB_KEY", KEY)
        monkeypatch.setenv("PLAIN_HTTP", "1")
        module = types.ModuleType(name.removesuffix(".py"))
        exec(compile(example(name), name, "exec"), module.__dict__)
        return module

    return load


in_thread = trio.to_thread.run_sync

# At once, by two browsers of one user.
LOGINS = 1000


async def verdict(hub: sse_trio.Hub, ticket: str) -> str:
    """What the hub says first to a page that joins with this ticket."""
    async with open_peer(hub) as page:
        await page.send_message(json.dumps({"type": "join", "ticket": ticket}))
        return str(json.loads(await page.get_message())["type"])


def ticket_in(page: str) -> str:
    found = re.search(r'<session-guard src="[^"]*/ws" ticket="([^"]+)"', page)
    assert found, page
    return found[1]


# -- the README's ------------------------------------------------------------------------


def test_the_part_about_single_sessions_is_fifteen_lines() -> None:
    text = example("app.py")
    (part,) = re.findall(r"^# -- single sessions.*?\n(.*?)^# -- ", text, re.DOTALL | re.MULTILINE)
    lines = [line for line in part.splitlines() if line.strip()]
    assert len(lines) == 15
    assert "urlopen" in part
    assert "sse_trio" not in re.sub(r'"[^"]*sse_trio"', "", text)  # but for the cookie's name


@pytest.mark.slow
async def test_the_readmes_application_on_two_workers(start: Start, tmp_path: Path) -> None:
    hub = await start(join="ticket")
    (tmp_path / "app.py").write_text(example("app.py"))
    commands = recipe("In your application", "sh", README).splitlines()
    serve = shlex.split(commands[-1])
    assert serve[0] == "waitress-serve"
    ports = [free_port(), free_port()]
    env = {"HUB": f"http://127.0.0.1:{hub.port}", "HUB_KEY": KEY, "PLAIN_HTTP": "1"}
    assert set(re.findall(r"(\w+)=", commands[-2])) == set(env)

    def worker(port: int) -> Any:
        told = [word.replace(":5000", f":{port}") for word in serve[1:]]
        return running([sys.executable, "-m", "waitress", *told], port, tmp_path, **env)

    async with worker(ports[0]), worker(ports[1]):

        async def log_in(port: int, user: dict[str, str], cookie: str | None = None) -> str:
            answer = await post(port, "/login", user, cookie)
            assert (answer.status, answer.headers["location"]) == (302, "/")
            (written,) = answer.cookies
            assert "HttpOnly" in written
            assert "SameSite=Lax" in written
            return str(written).partition(";")[0]

        async def where_it_counts(cookie: str) -> list[int]:
            answers = [await ask(port, cookie=cookie) for port in ports]
            assert {answer.status for answer in answers} <= {200, 302}
            assert all(a.status == 200 or a.headers["location"] == "/login" for a in answers)
            return [
                port for port, answer in zip(ports, answers, strict=True) if answer.status == 200
            ]

        wrong = await post(ports[0], "/login", ADA | {"password": "x"})
        assert (wrong.status, wrong.cookies) == (401, [])
        first = await log_in(ports[0], ADA)
        other = await log_in(ports[1], GRACE)
        assert await where_it_counts(first) == ports
        page = (await ask(ports[1], cookie=first)).body.decode()
        assert "Hello ada" in page
        async with open_peer(hub) as guard:
            await guard.send_message(json.dumps({"type": "join", "ticket": ticket_in(page)}))
            assert json.loads(await guard.get_message())["type"] == "joined"
            # The second login: the first browser is out on every worker, and its page knows.
            second = await log_in(ports[1], ADA)
            assert await where_it_counts(first) == []
            assert json.loads(await guard.get_message())["type"] == "terminate"
        assert await where_it_counts(second) == await where_it_counts(other) == ports
        # A logout, also that of the old browser, ends only itself.
        for cookie in (first, other):
            out = await post(ports[0], "/logout", {}, cookie)
            assert (out.status, out.headers["location"]) == (302, "/login")
            assert "Max-Age=0" in out.cookies[0]
        assert await where_it_counts(other) == []
        assert await where_it_counts(second) == ports
        # Another user in the same browser takes its cookie's place, so the old login ends.
        third = await log_in(ports[0], GRACE, cookie=second)
        assert await where_it_counts(second) == []
        assert await where_it_counts(third) == ports


async def post(port: int, path: str, form: dict[str, str], cookie: str | None = None) -> Any:
    body = urlencode(form).encode()
    head = (("Content-Type", "application/x-www-form-urlencoded"),)
    return await ask(port, "POST", path, cookie=cookie, body=body, headers=head)


# -- on several workers, at once ---------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", ["app.py", "store.py"])
async def test_of_two_logins_at_once_one_browser_stays(
    name: str, load: Callable[..., Any], start: Start
) -> None:
    hub = await start(join="ticket")
    workers = [load(name, hub.port) for _ in range(2)]
    tickets: dict[int, str] = {}
    begin = threading.Barrier(2)

    def log_in(number: int, browser: Client) -> None:
        asks = workers[number].ask

        def ask_and_keep(path: str, **members: Any) -> Any:
            answer = asks(path, **members)
            if path == "/notify":
                tickets[number] = answer["ticket"]
            return answer

        workers[number].ask = ask_and_keep
        begin.wait()
        answer = browser.post("/login", data=ADA)
        workers[number].ask = asks
        assert (answer.status_code, answer.location) == (302, "/")

    def counts(browser: Client) -> bool:
        """Whether the browser's cookie is worth something; all workers must agree."""
        kept = cookie_of(browser)
        cookie = f"{kept.key}={kept.value}"
        clients = [Client(worker.app, use_cookies=False) for worker in workers]
        answers = [client.get("/", headers={"Cookie": cookie}) for client in clients]
        if answers[0].status_code == 200:
            assert all("<session-guard" in answer.text for answer in answers)
        else:
            # The form has no guard, and leads nowhere: nothing goes round in circles.
            assert [answer.location for answer in answers] == ["/login", "/login"]
            form = clients[0].get("/login", headers={"Cookie": cookie})
            assert form.status_code == 200
            assert "<session-guard" not in form.text
        (status,) = {answer.status_code for answer in answers}
        return status == 200

    before: Client | None = None
    for _ in range(LOGINS):
        browsers = [Client(worker.app) for worker in workers]
        async with trio.open_nursery() as nursery:
            for number, browser in enumerate(browsers):
                nursery.start_soon(in_thread, log_in, number, browser)
        stays = [await in_thread(counts, browser) for browser in browsers]
        assert sorted(stays) == [False, True]
        said = [await verdict(hub, tickets[number]) for number in range(2)]
        assert said == ["joined" if stay else "terminate" for stay in stays]
        if before is not None:
            assert not await in_thread(counts, before)
        before = browsers[stays.index(True)]


def cookie_of(browser: Client) -> Cookie:
    """The only one that it has."""
    (cookie,) = filter(None, map(browser.get_cookie, ("sse_trio", "app_session")))
    return cookie


class Gates:
    """A hub that takes one step of a login when it is told to, and not before.

    The steps lead to: its session written down; decided; its answer made up; its answer dealt with.
    """

    def __init__(self) -> None:
        self.decided: list[str] = []
        self._go = [threading.Semaphore(0) for _ in range(3)]
        self._came = [threading.Semaphore(0) for _ in range(3)]

    def step(self, number: int) -> None:
        self._go[number].release()
        assert self._came[number].acquire(timeout=20)

    def wait(self, number: int) -> None:
        assert self._go[number].acquire(timeout=20)

    def came(self, number: int) -> None:
        self._came[number].release()

    def ask(self, number: int, path: str, *, room: str, sender: str) -> dict[str, Any]:
        assert path == "/notify"
        self._pass_gate(number)
        self.decided.append(sender)
        epoch = len(self.decided)
        self._pass_gate(number)
        standing = self.decided[-1:]
        self._pass_gate(number)
        return {"epoch": epoch, "standing": standing, "ticket": "a ticket"}

    def _pass_gate(self, number: int) -> None:
        self.came(number)
        self.wait(number)


def orders() -> set[tuple[int, ...]]:
    """All in which the steps of two logins can be taken, and some of three logins."""
    two = itertools.permutations([0] * 4 + [1] * 4)
    three = (
        (*begun, *last)
        for begun in [(0, 1, 2, 0, 0, 1, 1, 2, 2), (0, 1, 2, 0, 1, 2, 0, 1, 2)]
        for last in itertools.permutations(range(3))
    )
    return {*two, *three}


@pytest.mark.slow
def test_in_any_order_the_store_keeps_the_last_login(
    load: Callable[..., Any], tmp_path: Path
) -> None:
    workers = [load("store.py", 0) for _ in range(3)]

    def log_in(number: int, browser: Client, gates: Gates) -> None:
        gates.wait(number)
        browser.post("/login", data=ADA)
        gates.came(number)

    assert len(orders()) == 70 + 12
    for order in sorted(orders()):
        gates = Gates()
        browsers = [Client(workers[number].app) for number in sorted(set(order))]
        threads = []
        for number, browser in enumerate(browsers):
            workers[number].ask = partial(gates.ask, number)
            threads.append(threading.Thread(target=log_in, args=(number, browser, gates)))
            threads[-1].start()
        for number in order:
            gates.step(number)
        for thread in threads:
            thread.join(20)
        names = [workers[0].name_of(cookie_of(browser).value) for browser in browsers]
        stays = [browser.get("/").status_code == 200 for browser in browsers]
        assert stays == [name == gates.decided[-1] for name in names], order
        (tmp_path / "sessions.db").unlink()


def test_a_login_whose_own_answer_has_it_no_more_does_not_count(load: Callable[..., Any]) -> None:
    worker = load("store.py", 0)
    worker.ask = lambda path, **members: {"epoch": 1, "standing": ["newer"], "ticket": "a ticket"}
    browser = Client(worker.app)
    browser.post("/login", data=ADA)
    assert browser.get("/").location == "/login"


# -- with sessions in cookies ------------------------------------------------------------


async def test_devices_limits_and_signing_one_out(load: Callable[..., Any], start: Start) -> None:
    hub = await start(join="ticket")
    app = load("devices.py", hub.port).app

    def steps() -> str:
        laptop, phone, tablet, other = (Client(app) for _ in range(4))

        def log_in(browser: Client, agent: str, **more: str) -> Any:
            return browser.post("/login", data=ADA | more, headers={"User-Agent": agent})

        assert laptop.get("/").location == "/login"
        assert laptop.post("/login", data=ADA | {"password": "x"}).status_code == 401
        assert log_in(laptop, "Laptop").location == "/"
        assert log_in(phone, "Phone").location == "/"
        # A browser that logs in again takes no further place.
        assert log_in(phone, "Phone").location == "/"
        # The third is refused, and told which ones stand.
        full = log_in(tablet, "<Tablet>")
        assert full.status_code == 409
        choices = re.findall(r'name="end" value="([^"]+)">end (\w+)<', full.text)
        assert [device for _, device in choices] == ["Phone", "Laptop"]
        assert laptop.get("/").status_code == phone.get("/").status_code == 200
        # The user chooses the laptop.
        assert log_in(tablet, "<Tablet>", end=choices[1][0]).location == "/"
        assert laptop.get("/").location == "/login"
        assert phone.get("/").status_code == 200
        page = tablet.get("/").text
        devices = re.findall(r'name="session" value="([^"]+)">\n(.*?)<button>(.*?)</button>', page)
        assert [about for _, *about in devices] == [
            ["&lt;Tablet&gt;", "Sign out here"],
            ["Phone", "Sign out"],
        ]
        # Nobody signs out another user's device.
        assert other.post("/login", data=GRACE).location == "/"
        other.post("/devices", data={"session": devices[1][0]})
        assert phone.get("/").status_code == 200
        tablet.post("/devices", data={"session": devices[1][0]})
        assert phone.get("/").location == "/login"
        assert tablet.get("/").status_code == other.get("/").status_code == 200
        # As another user, the browser's former login ends.
        assert tablet.post("/login", data=GRACE).location == "/"
        assert log_in(laptop, "Laptop").location == log_in(phone, "Phone").location == "/"
        return ticket_in(laptop.get("/").text)

    assert await verdict(hub, await in_thread(steps)) == "joined"


# -- with a proxy ------------------------------------------------------------------------


@contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an application in a thread of this process."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
async def test_the_application_behind_a_proxy(load: Callable[..., Any], bench: Bench) -> None:
    more = recipe("No code at all: `/verify`", "nginx login", APPLICATIONS)
    servers = recipe("nginx", "nginx verify").replace(
        "    location / {\n", f"{more}\n    location / {{\n"
    )
    with served(load("behind.py", bench.hub.port).app) as port:
        bench.application.port = port
        async with proxy(bench, nginx(bench, servers)):
            browsers: list[dict[str, str]] = [{}, {}]

            async def send(number: int, path: str, form: dict[str, str] | None = None) -> Any:
                cookie = "; ".join(f"{name}={value}" for name, value in browsers[number].items())
                if form is None:
                    return await ask(bench.port, target=path, cookie=cookie or None)
                answer = await post(bench.port, path, form, cookie or None)
                keep_cookies(browsers[number], answer.cookies)
                return answer

            async def is_out(number: int) -> bool:
                answer = await send(number, "/")
                assert answer.status in (200, 303)
                return bool(answer.status == 303)

            assert await is_out(0)
            assert (await send(0, "/login")).status == 200
            assert (await send(0, "/login", ADA)).status == 302
            page = (await send(0, "/")).body.decode()
            assert "Hello ada" in page
            assert await verdict(bench.hub, ticket_in(page)) == "joined"
            assert (await send(1, "/login", ADA)).status == 302
            assert await verdict(bench.hub, ticket_in(page)) == "terminate"
            assert (await is_out(0), await is_out(1)) == (True, False)
            # The old browser logs out: nobody else does.
            assert (await send(0, "/logout", {})).status == 303
            assert not await is_out(1)
            # Another user in the same browser.
            ended = dict(browsers[1])
            assert (await send(1, "/login", GRACE)).status == 302
            browsers[0] = ended
            assert (await is_out(0), await is_out(1)) == (True, False)
            assert (await send(1, "/logout", {})).status == 302
            assert browsers[1] == {}


# -- by hand -----------------------------------------------------------------------------


async def test_what_curl_shows(start: Start) -> None:
    hub = await start()
    script, shown = (
        recipe("By hand", "sh by hand", APPLICATIONS),
        recipe("By hand", "json", APPLICATIONS),
    )
    env = {**os.environ, "HUB": f"http://127.0.0.1:{hub.port}", "HUB_KEY": KEY}
    run = await trio.run_process(["bash", "-euc", script], capture_stdout=True, env=env)
    lines = run.stdout.decode().splitlines()
    assert [timeless(line) for line in lines] == [timeless(line) for line in shown.splitlines()]


def timeless(line: str) -> Any:
    """Leave out what differs from run to run: signatures and times."""
    line = re.sub(r'("(?:ticket|token)":)"[^"]+"', r'\1"..."', line)
    return json.loads(re.sub(r'("(?:since|seen)":)[\d.]+', r"\g<1>0", line))


# -- while the hub is away ---------------------------------------------------------------


class Script:
    """A server that answers as it is told, request for request, and keeps what it was asked."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.asked: list[tuple[str, Any]] = []
        self.port = 0

    async def serve(self, *, task_status: trio.TaskStatus[None]) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        task_status.started()
        await trio.serve_listeners(self._answer, listeners)

    async def _answer(self, stream: trio.SocketStream) -> None:
        async with stream:
            http, body = h11.Connection(h11.SERVER), b""
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(bytes(await stream.receive_some(65536)))
                elif isinstance(event, h11.Request):
                    path = event.target.decode()
                elif isinstance(event, h11.Data):
                    body += bytes(event.data)
            self.asked.append((path, json.loads(body)))
            status = self.statuses.pop(0)
            if not status:
                return  # it hangs up
            head = h11.Response(status_code=status, headers=[("Content-Length", "2")])
            parts = [
                http.send(head),
                http.send(h11.Data(data=b"{}")),
                http.send(h11.EndOfMessage()),
            ]
            await stream.send_all(b"".join(filter(None, parts)))


async def test_a_notify_is_repeated_until_it_is_answered(
    load: Callable[..., Any], nursery: trio.Nursery
) -> None:
    hub = Script(503, 0, 200)
    await nursery.start(hub.serve)
    waited: list[float] = []
    away = load("away.py", hub.port)
    assert await in_thread(away.notify, "ada", waited.append) == {}
    assert waited == [0, 1, 3]
    (asked,) = {json.dumps(asked) for asked in hub.asked}
    assert json.loads(asked)[0] == "/notify"

    # Given up, it is released, so that it holds no place.
    hub.statuses, hub.asked = [503, 503, 0, 200], []
    with pytest.raises(away.Away):
        await in_thread(away.notify, "ada", waited.append)
    path, members = hub.asked[-1]
    assert (path, members["session"]) == ("/release", hub.asked[0][1]["sender"])

    # A refusal is none of this.
    hub.statuses, hub.asked = [409], []
    with pytest.raises(HTTPError) as refused:
        await in_thread(away.notify, "ada", waited.append)
    refused.value.close()
    assert len(hub.asked) == 1


async def test_a_check_while_the_hub_is_away(
    load: Callable[..., Any], nursery: trio.Nursery
) -> None:
    hub = Script(503, 0, 503, 0, 401)
    await nursery.start(hub.serve)
    away, remembered = load("away.py", hub.port), {"active": True}
    for _ in range(2):
        assert await in_thread(away.check_fail_closed, "a token") == {"active": False}
    for _ in range(2):
        assert await in_thread(away.check_fail_open, "a token", remembered) is remembered
    with pytest.raises(HTTPError) as refused:
        await in_thread(away.check_fail_open, "a token", remembered)
    refused.value.close()
