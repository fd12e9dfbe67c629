"""The verdict on a request: the four conditions, and what each of them does to it."""

from functools import partial
from typing import Any

import attrs
import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from sse_trio.auth import verdict
from sse_trio.auth.browsers import Browser
from sse_trio.auth.cookies import Claims, User, read_untrusted
from sse_trio.auth.keys import Key, Keys
from sse_trio.auth.settings import Kind, PersistentSettings, SessionSettings, Settings
from sse_trio.auth.verdict import ASK_STORE, Anonymous, Authenticated, Reason, Session, judge
from sse_trio.core.tokens import LEEWAY
from sse_trio.errors import ConfigError

from .fixtures import CLAIMS, KEYS, NOW, SETTINGS, changed, cookie_header, cookies_of

COOKIES = cookie_header(*cookies_of(CLAIMS))
OTHER = cookie_header(*cookies_of(changed(csrf="another-token", session="s2")))
CSRF = (b"x-csrf-token", CLAIMS.csrf.encode())

RECORD = Session(
    id="s1",
    user=CLAIMS.user,
    provider="Users",
    room="7",
    kind=Kind.SESSION,
    app_type="web",
    epoch=3,
    created=NOW - 100,
    seen=NOW - 10,
    kid="k2",
)


def recognise(
    *headers: tuple[bytes, bytes],
    method: str = "POST",
    settings: Settings = SETTINGS,
    keys: Keys = KEYS,
) -> Claims | Anonymous:
    read = partial(read_untrusted, settings=settings, keys=keys)
    return verdict.recognise(method, headers, settings=settings, read=read)


def cookie(some: Claims, **more: Any) -> tuple[bytes, bytes]:
    return b"cookie", cookie_header(*cookies_of(some), **more)


# -- the request alone ----------------------------------------------------------------------


def test_a_request_that_shows_all_of_it() -> None:
    assert recognise((b"cookie", COOKIES), CSRF) == CLAIMS
    assert recognise((b"accept", b"*/*"), CSRF, (b"cookie", COOKIES)) == CLAIMS
    assert recognise((b"cookie", COOKIES), (b"x-csrftoken", CSRF[1])) == CLAIMS
    assert recognise((b"cookie", COOKIES), CSRF, (b"x-csrftoken", CSRF[1])) == CLAIMS


def test_cookies_may_come_in_several_headers() -> None:
    first, second, third = COOKIES.split(b"; ")
    headers = [(b"cookie", third), (b"cookie", first), (b"cookie", second)]
    assert recognise(*headers, CSRF) == CLAIMS


@pytest.mark.parametrize("more", [COOKIES, *COOKIES.split(b"; ")])
def test_a_cookie_that_comes_twice_with_one_value_is_one(more: bytes) -> None:
    assert recognise((b"cookie", COOKIES + b"; " + more), CSRF) == CLAIMS
    assert recognise((b"cookie", more), (b"cookie", COOKIES), CSRF) == CLAIMS


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([CSRF], Reason.NO_COOKIES),
        ([(b"cookie", b"a=b"), CSRF], Reason.NO_COOKIES),
        ([(b"cookie", COOKIES.split(b"; ")[1]), CSRF], Reason.ONE_COOKIE),
        ([(b"cookie", COOKIES.split(b"; ")[2]), CSRF], Reason.ONE_COOKIE),
        ([(b"cookie", COOKIES + b"; " + OTHER), CSRF], Reason.DUPLICATE_COOKIES),
        ([(b"cookie", COOKIES), (b"cookie", OTHER), CSRF], Reason.DUPLICATE_COOKIES),
        ([(b"cookie", COOKIES + b"; " + OTHER.split(b"; ")[2]), CSRF], Reason.DUPLICATE_COOKIES),
        ([(b"cookie", COOKIES + b"x"), CSRF], Reason.FORGED),
        ([(b"cookie", cookie_header("", "")), CSRF], Reason.FORGED),
        ([(b"cookie", cookie_header("\xff", "\x00")), CSRF], Reason.FORGED),
        ([(b"cookie", COOKIES)], Reason.NO_CSRF),
        ([(b"cookie", COOKIES), (b"x-csrf-token", b"")], Reason.WRONG_CSRF),
        ([(b"cookie", COOKIES), (b"x-csrf-token", b"The-csrf-token")], Reason.WRONG_CSRF),
        ([(b"cookie", COOKIES), (b"x-csrf-token", "tökén".encode())], Reason.WRONG_CSRF),
        ([(b"cookie", COOKIES), CSRF, (b"x-csrftoken", b"other")], Reason.WRONG_CSRF),
        ([(b"cookie", COOKIES), CSRF, (b"x-csrf-token", b"other")], Reason.WRONG_CSRF),
        ([cookie(changed(app_type="mobile")), CSRF], Reason.OTHER_APP_TYPE),
    ],
)
def test_a_request_that_lacks_something(headers: list[tuple[bytes, bytes]], reason: Reason) -> None:
    assert recognise(*headers) == Anonymous(reason)


def test_the_token_is_that_of_the_cookies_and_not_of_another_login() -> None:
    other = changed(csrf="another-token", session="s2")
    assert recognise((b"cookie", COOKIES), (b"x-csrf-token", b"another-token")) == Anonymous(
        Reason.WRONG_CSRF
    )
    mixed = cookie_header(cookies_of(CLAIMS)[0], cookies_of(other)[1])
    assert recognise((b"cookie", mixed), (b"x-csrf-token", b"another-token")) == Anonymous(
        Reason.FORGED
    )


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", ""])
@pytest.mark.parametrize("navigations", [False, True])
def test_page_loads_may_do_without_the_header_by_option(method: str, navigations: bool) -> None:
    settings = Settings(navigations=navigations)
    found = recognise((b"cookie", COOKIES), method=method, settings=settings)
    welcome = navigations and method in ("GET", "HEAD")
    assert found == (CLAIMS if welcome else Anonymous(Reason.NO_CSRF))
    # What is there has to be right all the same.
    wrong = (b"x-csrf-token", b"wrong")
    found = recognise((b"cookie", COOKIES), wrong, method=method, settings=settings)
    assert found == Anonymous(Reason.WRONG_CSRF)


@pytest.mark.parametrize(
    ("site", "mode", "welcome"),
    [
        (b"none", b"navigate", True),
        (b"same-origin", b"cors", True),
        (b"cross-site", b"navigate", True),
        (b"same-site", b"no-cors", False),
        (b"cross-site", b"cors", False),
        (b"same-origin", b"websocket", True),
        (b"same-site", b"navigate iframe", False),
        (b"same-origin", b"navigate iframe", True),
        (b"cross-site", b"navigate document", True),
    ],
)
def test_what_another_site_embeds_is_no_page_load(site: bytes, mode: bytes, welcome: bool) -> None:
    mode, _, where = mode.partition(b" ")
    said = [(b"sec-fetch-site", site), (b"sec-fetch-mode", mode), (b"sec-fetch-dest", where)]
    settings = Settings(navigations=True)
    found = recognise((b"cookie", COOKIES), *said, method="GET", settings=settings)
    assert found == (CLAIMS if welcome else Anonymous(Reason.NO_CSRF))
    assert recognise((b"cookie", COOKIES), CSRF, *said, settings=settings) == CLAIMS


def test_single_sign_on() -> None:
    other = cookie(changed(app_type="mobile"))
    on = Settings(single_sign_on_between_app_types=True)
    assert recognise(other, CSRF) == Anonymous(Reason.OTHER_APP_TYPE)
    assert recognise(other, CSRF, settings=on) == changed(app_type="mobile")


def test_new_keys_make_everyone_anonymous() -> None:
    new = Keys((Key("k9", b"9" * 32, NOW),))
    assert recognise((b"cookie", COOKIES), CSRF, keys=new) == Anonymous(Reason.OTHER_KEYS)


@given(
    st.sampled_from(["GET", "POST"]) | st.text(),
    st.lists(
        st.tuples(
            st.sampled_from([b"cookie", b"x-csrf-token", b"x-csrftoken", b"host"]),
            st.binary() | st.sampled_from([COOKIES, CSRF[1], *COOKIES.split(b"; ")]),
        ),
        max_size=6,
    ),
)
def test_nothing_is_an_error_and_only_all_of_it_authenticates(
    method: str, headers: list[tuple[bytes, bytes]]
) -> None:
    found = recognise(*headers, method=method)
    if found == CLAIMS:
        sent = b"; ".join(value for key, value in headers if key == b"cookie")
        assert all(part in sent for part in COOKIES.split(b"; ")[1:])
        tokens = [value for key, value in headers if key.startswith(b"x-csrf")]
        assert tokens
        assert set(tokens) == {CSRF[1]}
    else:
        assert isinstance(found, Anonymous)


# -- the login --------------------------------------------------------------------------------


def ask(some: Claims = CLAIMS, **arguments: Any) -> Any:
    return judge(some, Browser(), **{"stands": True, "settings": SETTINGS, "now": NOW, **arguments})


def test_within_the_cache_time_the_cookies_word_is_taken() -> None:
    at = CLAIMS.checked
    assert ask(now=at) == Authenticated(CLAIMS, checked=False)
    assert isinstance(ask(now=at + SETTINGS.cache_time - 0.001), Authenticated)
    assert ask(now=at + SETTINGS.cache_time) is ASK_STORE
    # A clock that is behind is no reason to ask.
    assert isinstance(ask(now=at - LEEWAY), Authenticated)


def test_cookies_of_the_future_are_good_but_the_store_is_asked() -> None:
    """The clock has been put back: an active user stays, and what is renewed is of now."""
    ahead = changed(issued=NOW + 3600, checked=NOW + LEEWAY + 1)
    assert recognise(cookie(ahead), CSRF) == ahead
    assert ask(ahead) is ASK_STORE
    found = ask(ahead, store=RECORD)
    assert found == Authenticated(attrs.evolve(ahead, checked=NOW), checked=True)
    assert ask(ahead, stands=False) == Anonymous(Reason.SUPERSEDED)
    assert ask(ahead, store=None) == Anonymous(Reason.ENDED)
    # A clock that is behind by less is another machine's.
    near = changed(checked=NOW + LEEWAY)
    assert ask(near, store=RECORD).claims.checked == NOW + LEEWAY


def test_a_login_of_one_user_provider_is_none_of_another() -> None:
    """Whatever the cookies are called: the client chooses their names."""
    staff = Settings(user_provider="Staff")
    renamed = COOKIES.replace(b"Users", b"Staff")
    found = recognise((b"cookie", renamed), CSRF, settings=staff)
    assert found == Anonymous(Reason.FORGED)


def test_no_cache_time_is_no_cache() -> None:
    for now in (CLAIMS.checked - 1, CLAIMS.checked, CLAIMS.checked + 1):
        assert ask(settings=Settings(cache_time_minutes=0), now=now) is ASK_STORE


def test_a_login_that_the_room_does_not_know_is_the_stores_to_judge() -> None:
    assert ask(stands=None) is ASK_STORE
    assert isinstance(ask(stands=None, store=RECORD), Authenticated)


@pytest.mark.parametrize("store", [ASK_STORE, None, RECORD])
def test_a_superseded_login_is_refused_whatever_the_store_says(store: Any) -> None:
    assert ask(stands=False, store=store) == Anonymous(Reason.SUPERSEDED)


def test_what_the_store_knows_renews_the_cookies() -> None:
    found = ask(store=RECORD, now=NOW + 1)
    assert found == Authenticated(changed(checked=NOW + 1), checked=True)
    assert (found.user, found.session) == (CLAIMS.user, "s1")


@pytest.mark.parametrize(
    "store",
    [
        None,
        attrs.evolve(RECORD, user=User("8", "Ada Lovelace")),
        attrs.evolve(RECORD, epoch=4),
    ],
)
def test_what_the_store_does_not_know_has_ended(store: Session | None) -> None:
    assert ask(store=store) == Anonymous(Reason.ENDED)


@pytest.mark.parametrize("kind", list(Kind))
def test_idle_time_counts_from_the_last_checked_contact(kind: Kind) -> None:
    settings = Settings(
        session=SessionSettings(max_idle_minutes=30),
        persistent=PersistentSettings(max_idle_days=2, cookie_expiration_days=400),
    )
    idle = settings.max_idle(kind)
    claims = changed(kind=kind, checked=NOW - 10)
    # Whatever contacts the login had with newer cookies.
    record = attrs.evolve(RECORD, kind=kind, seen=NOW)
    arguments = {"store": record, "settings": settings}
    assert isinstance(ask(claims, now=NOW - 10 + idle, **arguments), Authenticated)
    assert ask(claims, now=NOW - 9 + idle, **arguments) == Anonymous(Reason.IDLE)


@given(
    st.sampled_from(Kind),
    st.floats(0, 30),
    st.floats(0.1, 60),
    st.floats(0.01, 0.04),
    st.floats(0.01, 0.04),
)
def test_who_comes_often_enough_stays_whatever_settings_are_accepted(
    kind: Kind, cache: float, idle: float, idle_days: float, cookie_days: float
) -> None:
    try:
        settings = Settings(
            cache_time_minutes=cache,
            session=SessionSettings(max_idle_minutes=idle),
            persistent=PersistentSettings(
                max_idle_days=idle_days, cookie_expiration_days=cookie_days
            ),
        )
    except ConfigError:
        reject()
    claims = changed(kind=kind, issued=NOW, checked=NOW)
    lasts = settings.max_idle(kind)
    if kind is Kind.PERSISTENT:
        lasts = min(lasts, settings.cookie_lifetime)
    # There is time between the last contact of which the store hears nothing, and the end.
    between = NOW + (settings.cache_time + lasts) / 2
    assert ask(claims, now=between, settings=settings) is ASK_STORE
    found = ask(claims, now=between, store=RECORD, settings=settings)
    assert isinstance(found, Authenticated)


def test_a_clock_that_was_put_back_a_little_takes_nothing_back() -> None:
    claims = changed(checked=NOW + 10)
    found = ask(claims, store=RECORD, settings=Settings(cache_time_minutes=0))
    assert isinstance(found, Authenticated)
    assert found.claims.checked == NOW + 10


def test_a_persistent_cookie_that_should_have_died_is_void() -> None:
    settings = Settings(persistent=PersistentSettings(max_idle_days=400, cookie_expiration_days=2))
    claims = changed(kind=Kind.PERSISTENT, checked=NOW)
    record = attrs.evolve(RECORD, kind=Kind.PERSISTENT, seen=NOW)
    arguments = {"store": record, "settings": settings}
    assert isinstance(ask(claims, now=NOW + 2 * 86400, **arguments), Authenticated)
    assert ask(claims, now=NOW + 2 * 86400 + 1, **arguments) == Anonymous(Reason.EXPIRED)


@pytest.mark.parametrize("store", [ASK_STORE, RECORD])
def test_the_absolute_lifetime(store: Any) -> None:
    settings = Settings(absolute_lifetime_hours=1, cache_time_minutes=19)
    claims = changed(issued=NOW - 3600)
    assert isinstance(ask(claims, store=store, settings=settings), Authenticated)
    late = ask(claims, store=store, settings=settings, now=NOW + 1)
    assert late == Anonymous(Reason.EXPIRED)


def test_no_secret_is_in_a_repr() -> None:
    shown = repr(ask()) + repr(RECORD)
    assert CLAIMS.csrf not in shown
    assert "'s1'" not in shown
