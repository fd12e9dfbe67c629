"""What the tests of the authentication share."""

from typing import Any

import attrs
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sse_trio.auth import cookies
from sse_trio.auth.cookies import Claims, User
from sse_trio.auth.keys import Key, Keys
from sse_trio.auth.settings import Kind, Settings

from .. import strategies

NOW = 1_812_345_678.25

KEYS = Keys((Key("k2", b"2" * 32, NOW), Key("k1", b"1" * 32, NOW - 1)))

SETTINGS = Settings()

CLAIMS = Claims(
    user=User("7", "Ada Lovelace"),
    session="s1",
    kind=Kind.SESSION,
    app_type="web",
    epoch=3,
    issued=NOW - 100,
    checked=NOW - 10,
    csrf="the-csrf-token",
)

short: SearchStrategy[str] = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40
)

claims: SearchStrategy[Claims] = st.builds(
    Claims,
    user=st.builds(User, short, short),
    session=short,
    kind=st.sampled_from(Kind),
    app_type=st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True),
    epoch=strategies.epochs,
    issued=st.floats(0, NOW),
    checked=st.floats(0, NOW),
    csrf=st.from_regex(r"[A-Za-z0-9_-]{1,43}", fullmatch=True),
)


def pair(written: list[str]) -> tuple[str, str]:
    """The cookies' values, as a browser would keep them."""
    nr1, nr2 = [header.partition(";")[0].partition("=")[2] for header in written]
    return nr1, nr2


def cookies_of(some: Claims, keys: Keys = KEYS, settings: Settings = SETTINGS) -> tuple[str, str]:
    return pair(cookies.write(some, settings, keys))


def cookie_header(nr1: str, nr2: str, settings: Settings = SETTINGS) -> bytes:
    first, second = cookies.names(settings)
    return f"other=1; {first}={nr1}; {second}={nr2}".encode()


def changed(some: Claims = CLAIMS, **members: Any) -> Claims:
    return attrs.evolve(some, **members)
