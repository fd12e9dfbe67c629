"""Passwords, and what browsers are called."""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import pytest
import trio
from argon2 import PasswordHasher

from sse_trio.auth import User
from sse_trio.demo.agents import describe
from sse_trio.demo.users import PEOPLE, Person, Users

ADA = Person(User("ada", "Ada"), "right")


class Counting(PasswordHasher):
    """As weak as may be, and counts."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:
        self.verified += 1
        return super().verify(hash, password)


def verified(id: str, password: str) -> tuple[Person | None, int]:
    """Who that is, and how many hashes it took."""
    hasher = Counting()

    async def verify() -> Person | None:
        return await (await Users.of([ADA], hasher)).verify(id, password)

    # Of a thread, because there may be a browser in this one.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(trio.run, verify).result(), hasher.verified


@pytest.mark.parametrize(
    ("id", "password", "person"),
    [
        ("ada", "right", ADA),
        ("ada", "wrong", None),
        ("ada", "", None),
        ("Ada", "right", None),
        ("nobody", "right", None),
        ("", "", None),
    ],
)
def test_a_wrong_password_and_nobody_take_one_hash_each(
    id: str, password: str, person: Person | None
) -> None:
    assert verified(id, password) == (person, 1)


def test_no_password_in_a_repr() -> None:
    assert not [person for person in PEOPLE if person.password in repr(person)]


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64"
ANDROID = "Mozilla/5.0 (Linux; Android 14; K) AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (f"{CHROME} Safari/537.36", "Chrome on Linux"),
        (f"{CHROME} Safari/537.36 Edg/140.0.0.0", "Edge on Linux"),
        (f"{CHROME} Safari/537.36 OPR/120.0.0.0", "Opera on Linux"),
        (f"{WINDOWS}; rv:143.0) Gecko/20100101 Firefox/143.0", "Firefox on Windows"),
        (f"{MAC} (KHTML, like Gecko) Version/18.6 Safari/605.1.15", "Safari on macOS"),
        (f"{IPHONE} (KHTML, like Gecko) Version/18.6 Mobile/1 Safari/604.1", "Safari on iPhone"),
        (f"{IPHONE} (KHTML, like Gecko) CriOS/140.0 Mobile/1 Safari/604.1", "Chrome on iPhone"),
        (
            f"{ANDROID} SamsungBrowser/28.0 Chrome/130.0 Safari/537.36",
            "Samsung Internet on Android",
        ),
        ("curl/8.15.0", "curl"),
        ("", "A browser"),
        ("<script>", "A browser"),
    ],
)
def test_what_browsers_are_called(user_agent: str, words: str) -> None:
    assert describe(user_agent) == words
