"""The two cookies: written as browsers need them, and read only as they were written."""

import base64
import json
import re

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.auth import cookies
from sse_trio.auth.cookies import MAX_COOKIE, Claims, User
from sse_trio.auth.keys import Key, Keys
from sse_trio.auth.settings import Kind, PersistentSettings, Settings
from sse_trio.core import tokens
from sse_trio.core.tickets import Ticket, Tickets
from sse_trio.errors import LocalProtocolError

from .. import strategies
from .fixtures import CLAIMS, KEYS, NOW, SETTINGS, changed, claims, cookies_of


def refused(nr1: str, nr2: str, keys: Keys = KEYS) -> None:
    with pytest.raises((ValueError, KeyError)):
        cookies.read_untrusted(nr1, nr2, SETTINGS, keys)


@given(claims)
def test_what_was_written_is_what_is_read(some: Claims) -> None:
    assert cookies.read_untrusted(*cookies_of(some), SETTINGS, KEYS) == some


@given(claims)
def test_a_cookie_is_a_cookie(some: Claims) -> None:
    """RFC 6265, section 4.1.1: these characters and no others."""
    for value in cookies_of(some):
        assert re.fullmatch(r"[!#-+\--:<-\[\]-~]*", value)


def test_set_cookie() -> None:
    nr1, nr2 = cookies.write(CLAIMS, SETTINGS, KEYS)
    assert re.fullmatch(
        r"__Host-nr1Users=[\w.-]+; Path=/; Secure; HttpOnly; SameSite=Lax", nr1, re.ASCII
    )
    assert nr2 == (
        "__Host-nr2Users=crf=the-csrf-token&uid=7&unm=Ada%20Lovelace; Path=/; Secure; SameSite=Lax"
    )


def test_the_token_byte_by_byte() -> None:
    nr1, nr2 = cookies_of(CLAIMS)
    head, body = [
        json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        for part in nr1.split(".")[:2]
    ]
    assert head == {"alg": "HS256", "kid": "k2", "typ": "sse-trio-login+jwt"}
    assert re.fullmatch(r"[\w-]{43}", body.pop("nr2"))
    assert body == {
        "iss": "sse-trio",
        "aud": "sse-trio/login",
        "prv": "Users",
        "sub": "7",
        "sid": "s1",
        "kind": "session",
        "app": "web",
        "epoch": 3,
        "iat": NOW - 100,
        "chk": NOW - 10,
    }
    assert nr2 == "crf=the-csrf-token&uid=7&unm=Ada%20Lovelace"


@pytest.mark.parametrize(
    ("settings", "name", "attributes"),
    [
        (Settings(https=False), "nr1Users", "; Path=/; HttpOnly; SameSite=Lax"),
        (Settings(host_prefix=False), "nr1Users", "; Path=/; Secure; HttpOnly; SameSite=Lax"),
        (
            Settings(user_provider="Staff", same_site="None"),
            "__Host-nr1Staff",
            "; Path=/; Secure; HttpOnly; SameSite=None",
        ),
    ],
)
def test_options_of_the_cookies(settings: Settings, name: str, attributes: str) -> None:
    nr1, nr2 = cookies.write(CLAIMS, settings, KEYS)
    assert nr1.startswith(f"{name}=")
    assert nr1.endswith(attributes)
    assert nr2.endswith(attributes.replace("; HttpOnly", ""))


def test_only_persistent_cookies_outlive_the_browser() -> None:
    settings = Settings(persistent=PersistentSettings(cookie_expiration_days=2))
    for header in cookies.write(changed(kind=Kind.PERSISTENT), settings, KEYS):
        assert "; Max-Age=172800; " in header
    for header in cookies.write(CLAIMS, settings, KEYS):
        assert "Max-Age" not in header
        assert "Expires" not in header


@pytest.mark.parametrize("settings", [SETTINGS, Settings(https=False, user_provider="X")])
def test_deletion_has_the_attributes_that_a_browser_demands(settings: Settings) -> None:
    for written, deleted in zip(
        cookies.write(CLAIMS, settings, KEYS), cookies.delete(settings), strict=True
    ):
        name, _, attributes = deleted.partition("=")
        assert name == written.partition("=")[0]
        gone, _, rest = attributes.partition("; Path")
        assert gone == "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
        assert written.endswith(f"; Path{rest}")


def test_a_cookie_that_a_browser_would_drop_is_not_written() -> None:
    longest = changed(user=User("7", "x" * 256))
    assert all(len(header) < MAX_COOKIE for header in cookies.write(longest, SETTINGS, KEYS))
    with pytest.raises(LocalProtocolError, match="too long for a cookie"):
        cookies.write(changed(user=User("\U0001f600" * 200, "\U0001f600" * 256)), SETTINGS, KEYS)


@pytest.mark.parametrize("wrong", ["", "x" * 257, "a\nb", "\ud800", None, 1.5])
def test_a_user_is_somebody(wrong: object) -> None:
    with pytest.raises(ValueError, match="the user's id must"):
        User(wrong, "name")
    with pytest.raises(ValueError, match="the user's name must"):
        User("id", wrong)


def test_integers_are_taken_as_ids() -> None:
    assert User(7, "Ada") == User("7", "Ada")


def test_nothing_secret_is_in_a_repr() -> None:
    assert "the-csrf-token" not in repr(CLAIMS)
    assert "'s1'" not in repr(CLAIMS)


# -- what does not authenticate -----------------------------------------------------------


@given(claims, st.data())
def test_a_cookie_that_is_changed_anywhere_is_refused(some: Claims, data: st.DataObject) -> None:
    values = list(cookies_of(some))
    which = data.draw(st.integers(0, 1))
    place = data.draw(st.integers(0, len(values[which]) - 1))
    there = data.draw(st.characters(codec="latin-1"))
    value = values[which][:place] + there + values[which][place + 1 :]
    if value != values[which]:
        values[which] = value
        refused(values[0], values[1])


@given(claims, st.data())
def test_a_cookie_that_is_cut_or_lengthened_is_refused(some: Claims, data: st.DataObject) -> None:
    values = list(cookies_of(some))
    which = data.draw(st.integers(0, 1))
    cut = data.draw(st.integers(0, len(values[which]) - 1))
    more = data.draw(st.text(st.characters(codec="latin-1"), min_size=1))
    for value in (values[which][:cut], values[which] + more, more + values[which]):
        nr1, nr2 = [value if index == which else values[index] for index in (0, 1)]
        refused(nr1, nr2)


@given(claims, claims)
def test_cookies_of_two_logins_do_not_mix(one: Claims, other: Claims) -> None:
    (nr1, nr2), (other_nr1, other_nr2) = cookies_of(one), cookies_of(other)
    if nr2 != other_nr2:
        refused(nr1, other_nr2)
        refused(other_nr1, nr2)
    refused(nr2, nr1)


@given(claims)
def test_a_readable_cookie_of_another_spelling_is_refused(some: Claims) -> None:
    """It would say the same, and that is no reason to believe it."""
    nr1, nr2 = cookies_of(some)
    refused(nr1, "&".join(reversed(nr2.split("&"))))
    refused(nr1, nr2 + "&x=1")
    if "%" in nr2:
        refused(nr1, re.sub("%..", lambda escape: escape[0].lower(), nr2) + " ")


@given(claims, strategies.texts, strategies.texts)
def test_rubbish_is_refused(some: Claims, rubbish: str, more: str) -> None:
    nr1, nr2 = cookies_of(some)
    for pair in ((rubbish, more), (nr1, rubbish), (rubbish, nr2)):
        if pair != (nr1, nr2):
            refused(*pair)


def test_a_key_that_is_gone_verifies_nothing() -> None:
    written = cookies_of(CLAIMS)
    rotated = KEYS.rotated(Key("k3", b"3" * 32, NOW))
    assert cookies.read_untrusted(*written, SETTINGS, rotated) == CLAIMS
    refused(*written, Keys((Key("k3", b"3" * 32, NOW),)))
    refused(*written, Keys((Key("k2", b"3" * 32, NOW),)))


def test_a_ticket_is_no_login() -> None:
    ticket = Tickets(("k",), lifetime=60).mint(Ticket("7", "s1", 3), now=NOW, jti="j")
    assert ticket is not None
    refused(ticket, cookies_of(CLAIMS)[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"epoch": -1},
        {"epoch": 2**53 + 1},
        {"epoch": 1.5},
        {"epoch": True},
        {"iat": "now"},
        {"chk": -1},
        {"kind": "eternal"},
        {"sid": ""},
        {"sid": 1.5},
        *({claim: None} for claim in cookies.LOGIN.claims),
        {"sub": 7},
        {"prv": "Staff"},
        {"nr2": "x" * 43},
    ],
)
def test_claims_that_we_would_not_sign(wrong: dict[str, object]) -> None:
    nr1, nr2 = cookies_of(CLAIMS)
    body = nr1.split(".")[1]
    token = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    claims_ = {k: v for k, v in token.items() if k not in ("iss", "aud")} | wrong
    key = tokens.begin_signature(b"2" * 32)
    signed = cookies.LOGIN.sign(tokens.written(claims_), kid="k2", key=key)
    refused(signed, nr2)
    right = tokens.written({**claims_, **{k: token[k] for k in wrong}})
    assert attrs.evolve(CLAIMS) == cookies.read_untrusted(
        cookies.LOGIN.sign(right, kid="k2", key=key),
        nr2,
        SETTINGS,
        KEYS,
    )


# -- the Cookie header --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ([], ([], [])),
        ([b"a=b"], ([], [])),
        ([b"__Host-nr1Users=x; __Host-nr2Users=y"], (["x"], ["y"])),
        ([b"__Host-nr2Users=y", b"a=b;__Host-nr1Users=x"], (["x"], ["y"])),
        ([b"__Host-nr1Users=x; __Host-nr1Users=z"], (["x", "z"], [])),
        ([b"__host-nr1users=x; nr1Users=y; x__Host-nr1Users=z"], ([], [])),
        ([b"__Host-nr1Users; __Host-nr2Users="], ([""], [""])),
        ([b"__Host-nr1Users; __Host-nr1Users="], ([""], [])),
        ([b"__Host-nr1Users=a=b=c"], (["a=b=c"], [])),
        ([b"\xa0__Host-nr1Users=x; \x85__Host-nr2Users=y\xa0; \t__Host-nr2Users=z\t"], ([], ["z"])),
        ([b"\xff=\xfe;;; ; __Host-nr1Users=\xff"], (["ÿ"], [])),
    ],
)
def test_finding_the_cookies(headers: list[bytes], found: tuple[list[str], list[str]]) -> None:
    assert cookies.find(headers, SETTINGS) == found


@given(st.lists(st.binary()))
def test_no_header_is_an_error(headers: list[bytes]) -> None:
    cookies.find(headers, SETTINGS)
