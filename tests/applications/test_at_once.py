"""A user logs in twice at once, on two workers: one browser stays, whoever is asked."""

import itertools
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import settings
from werkzeug.test import Client, Cookie

from ..support import Start
from .examples import ADA, Load, in_thread, verdict
from .examples import load as load


@attrs.frozen
class Keeping:
    """The hub, as `store.py` asks it; keeps the tickets."""

    hub: Any
    number: int
    tickets: dict[int, str]

    def notify(self, user: str, session: str) -> Any:
        answer = self.hub.notify(user, session)
        self.tickets[self.number] = answer.ticket
        return answer

    def release(self, user: str, session: str) -> Any:
        return self.hub.release(user, session)


def ask_and_keep(ask: Any, number: int, tickets: dict[int, str], path: str, **members: Any) -> Any:
    """Ask the hub, as `plain.py` does; keep the ticket."""
    answer = ask(path, **members)
    if path == "/notify":
        tickets[number] = answer["ticket"]
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain.py", "store.py"])
async def test_of_two_logins_at_once_one_browser_stays(name: str, load: Load, start: Start) -> None:
    hub = await start(join="ticket")
    workers = [load(name, hub.port) for _ in range(2)]
    tickets: dict[int, str] = {}
    begin = threading.Barrier(2)

    for number, worker in enumerate(workers):
        if name == "store.py":
            worker.hub = Keeping(worker.hub, number, tickets)
        else:
            worker.ask = partial(ask_and_keep, worker.ask, number, tickets)

    def log_in(number: int, browser: Client) -> None:
        begin.wait()
        answer = browser.post("/login", data=ADA)
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
    # A thousand with `--hypothesis-profile many`.
    for _ in range(settings().max_examples):
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


@attrs.frozen
class Answer:
    epoch: int
    standing: list[str]
    ticket: str = "a ticket"


@attrs.frozen
class Hub:
    """Answers a login; nobody logs out."""

    answer: Callable[[str], Answer]

    def notify(self, user: str, session: str) -> Answer:
        return self.answer(session)


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

    def notify(self, number: int, session: str) -> Answer:
        self._pass_gate(number)
        self.decided.append(session)
        epoch = len(self.decided)
        self._pass_gate(number)
        standing = self.decided[-1:]
        self._pass_gate(number)
        return Answer(epoch, standing)

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
def test_in_any_order_the_store_keeps_the_last_login(load: Load, tmp_path: Path) -> None:
    workers = [load("store.py") for _ in range(3)]

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
            workers[number].hub = Hub(partial(gates.notify, number))
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


def test_a_login_whose_own_answer_has_it_no_more_does_not_count(load: Load) -> None:
    worker = load("store.py")
    worker.hub = Hub(lambda session: Answer(1, ["newer"]))
    browser = Client(worker.app)
    browser.post("/login", data=ADA)
    assert browser.get("/").location == "/login"
