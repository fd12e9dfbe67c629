"""Origins: as people write them, as browsers do, and what no page can come from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.origins import normalise


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("https://app.example.com", "https://app.example.com"),
        ("HTTPS://App.Example.COM", "https://app.example.com"),
        ("https://a:443", "https://a"),
        ("https://a:0443", "https://a"),
        ("https://a:", "https://a"),
        ("http://a:80", "http://a"),
        ("https://a:80", "https://a:80"),
        ("http://a:443", "http://a:443"),
        ("http://a:1", "http://a:1"),
        ("http://a:065535", "http://a:65535"),
        ("http://my_app.local:3000", "http://my_app.local:3000"),
        ("https://a.example.", "https://a.example."),
        ("https://müller.example", "https://xn--mller-kva.example"),
        ("https://MU\u0308LLER.example:443", "https://xn--mller-kva.example"),
        ("https://xn--mller-kva.example", "https://xn--mller-kva.example"),
        ("https://XN--N3H.example", "https://xn--n3h.example"),
        # As browsers, and not as the codec of the standard library, which makes it fass.de.
        ("https://faß.de", "https://xn--fa-hia.de"),
        ("https://my_app.müller.example", "https://my_app.xn--mller-kva.example"),
        ("https://日本。jp", "https://xn--wgv71a.jp"),
        ("http://\uff11\uff12\uff17.0.0.1", "http://127.0.0.1"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("https://[2001:DB8:0::A]:443", "https://[2001:db8::a]"),
        (f"https://{'a' * 63}.example", f"https://{'a' * 63}.example"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("Chrome-Extension://ABC", "chrome-extension://abc"),
        ("app://localhost:80", "app://localhost:80"),
        ("app://.", "app://."),
        ("chrome-extension://123", "chrome-extension://123"),
        ("https://\U0001f4a9.la", "https://xn--ls8h.la"),
        ("null", "null"),
        ("Null", "null"),
        ("file://", "file://"),
        ("FILE://", "file://"),
    ],
)
def test_an_origin_is_written_as_browsers_write_it(written: str, sent: str) -> None:
    assert normalise(written) == sent


@pytest.mark.parametrize(
    ("origin", "why"),
    [
        ("", "it is not an origin"),
        ("elsewhere.example", "it is not an origin"),
        ("1x://elsewhere.example", "it is not an origin"),
        ("\u017f://elsewhere.example", "it is not an origin"),
        ("https://", "it is not an origin"),
        ("https://:443", "it is not an origin"),
        ("https://elsewhere.example/", "it is not an origin"),
        ("https://elsewhere.example/x", "it is not an origin"),
        ("https://elsewhere.example\\x", "it is not an origin"),
        ("https://user:password@host", "it is not an origin"),
        ("https://a b", "it is not an origin"),
        ("https://a\n", "it is not an origin"),
        ("https://a?", "it is not an origin"),
        ("https://a#", "it is not an origin"),
        ("https://a:x", "it is not an origin"),
        ("https://a:-1", "it is not an origin"),
        ("https://a:٣", "it is not an origin"),
        ("https://[::1", "it is not an origin"),
        ("https://a, https://a", "it is not an origin"),
        ("*", "wildcards"),
        ("https://*.x", "wildcards"),
        ("https://a:*", "wildcards"),
        ("app://m\u00fcller", "in ASCII"),
        ("ws://a", "http://..."),
        ("wss://a", "https://..."),
        ("file://host", "file:// alone"),
        ("https://a:99999", "its port must be from 1 to 65535"),
        ("https://a:65536", "its port must be from 1 to 65535"),
        ("https://a:100000", "its port must be from 1 to 65535"),
        (f"https://a:{'9' * 10_000}", "its port must be from 1 to 65535"),
        ("https://a:0", "its port must be from 1 to 65535"),
        ("https://[]", "is not an IPv6 address"),
        ("https://[127.0.0.1]", "is not an IPv6 address"),
        ("https://[fe80::1%eth0]", "is not an IPv6 address"),
        ("https://127.1", "is not an IPv4 address"),
        ("https://0x7f.0.0.1", "is not an IPv4 address"),
        ("https://1.2.3.0x", "is not an IPv4 address"),
        ("https://256.0.0.1", "is not an IPv4 address"),
        ("https://\ue000.example", "write it in punycode"),
        (f"https://{'ü' * 63}.example", "write it in punycode"),
        ("https://a..b", "is neither a name nor an address"),
        ("https://.", "is neither a name nor an address"),
        ("https://a%2eb", "is neither a name nor an address"),
        ("https://℀.example", "is neither a name nor an address"),
        (f"https://{'a' * 64}.example", "is neither a name nor an address"),
    ],
)
def test_what_no_page_comes_from_is_refused_with_the_reason(origin: str, why: str) -> None:
    with pytest.raises(ValueError) as refusal:
        normalise(origin)
    assert why in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize(
    "template",
    [
        "{}",
        "https://user:{}@host",
        "https://[{}]",
        "https://1.{}.1",
        "https://\ue000{}",
        "wss://{}",
    ],
)
def test_a_refusal_quotes_nothing_which_may_be_a_key(template: str) -> None:
    with pytest.raises(ValueError) as refusal:
        normalise(template.format("hunter2"))
    assert "hunter2" not in str(refusal.value)


_PARTS = st.sampled_from(
    [
        *"aAüßK*.:/[]%@0x1٣ \\",
        "http",
        "https",
        "file",
        "null",
        "://",
        "xn--",
        "::1",
        "。",
        "80",
        "443",
    ]
)


_ANY = st.text() | st.lists(_PARTS).map("".join)


@given(_ANY | _ANY.map("https://".__add__))
def test_an_origin_is_normal_once_it_is_normalised(text: str) -> None:
    try:
        normal = normalise(text)
    except ValueError:
        return
    assert normal.isascii()
    assert normal == normal.lower()
    assert normalise(normal) == normal
