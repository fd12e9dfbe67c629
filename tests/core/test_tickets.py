"""Tickets: what we signed, unchanged, in its time; all else is refused in the same words."""

import base64
import contextlib
import gc
import json
import math
import string
import weakref
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import attrs
import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.config import Config
from sse_trio.core import tickets, tokens
from sse_trio.core.messages import Join, encode
from sse_trio.core.tickets import TICKET as TICKET_KIND
from sse_trio.core.tickets import TOKEN as TOKEN_KIND
from sse_trio.core.tickets import ProofKind, Ticket, Tickets
from sse_trio.core.tokens import ISSUER, LEEWAY, MAX_EPOCH
from sse_trio.errors import RemoteProtocolError

from .. import strategies

TYPE, AUDIENCE = tickets.TICKET.type, tickets.TICKET.audience

NOW = 1_812_345_678
LIFETIME = 3600.0
TICKET = Ticket("u1", "s1", 7)
TICKETS = Tickets(("a key", "an older key"), lifetime=LIFETIME)
TOKEN = TICKETS.mint(TICKET, now=NOW, jti="j1") or ""


def signing_key(authkey: str) -> tuple[str, bytes]:
    """Derive `kid` and key as the documentation says: HKDF's expand step, one block."""

    def expand(label: str) -> bytes:
        return jwt_hmac(authkey.encode(), f"sse-trio {label} v1\x01".encode())

    return expand("kid").hex()[:16], expand("ticket")


def jwt_hmac(key: bytes, data: bytes) -> bytes:
    return jwt.get_algorithm_by_name("HS256").sign(data, key)


KID, KEY = signing_key("a key")

CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "room": "u1",
    "session": "s1",
    "epoch": 7,
    "iat": NOW,
    "exp": NOW + LIFETIME,
    "jti": "j1",
}


def sign(
    *,
    header: dict[str, Any] | None = None,
    key: bytes = KEY,
    algorithm: str = "HS256",
    without: str = "",
    **claims: Any,
) -> str:
    """Sign as we do, but for what the arguments change."""
    payload = {name: value for name, value in (CLAIMS | claims).items() if name != without}
    headers = {"typ": TYPE, "kid": KID} | (header or {})
    return jwt.encode(payload, key, algorithm=algorithm, headers=headers)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def unsigned(header: bytes) -> str:
    return f"{encoded(header)}.{encoded(json.dumps(CLAIMS).encode())}"


def resigned(header: bytes, payload: bytes) -> str:
    """Sign bytes that no library would write."""
    return signed(f"{encoded(header)}.{encoded(payload)}")


def signed(head: str) -> str:
    return f"{head}.{encoded(jwt_hmac(KEY, head.encode()))}"


HEADER = json.dumps({"alg": "HS256", "typ": TYPE, "kid": KID}).encode()


def verify(token: str, now: float = NOW) -> Ticket:
    return TICKETS.verify_untrusted(token, now=now)


def refused(token: str, now: float = NOW) -> None:
    with pytest.raises(RemoteProtocolError) as refusal:
        verify(token, now)
    assert refusal.value.close_code == 4401
    # Why is told to nobody.
    assert str(refusal.value) == "the ticket is not valid"
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


names = strategies.names


@given(st.builds(Ticket, names, names, strategies.epochs), st.floats(0, 2**40), strategies.texts)
def test_what_was_minted_is_what_is_read(ticket: Ticket, now: float, jti: str) -> None:
    token = TICKETS.mint(ticket, now=now, jti=jti)
    assert token is not None
    read = verify(token, now)
    assert read == ticket
    # To the fraction: the notify that it came with was in the same second.
    assert read.issued == now


class Utf8(json.JSONEncoder):
    """Names go into a token as they are."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "ensure_ascii": False})


CLAIM = st.sampled_from(tickets.TICKET.claims)


@given(st.dictionaries(CLAIM, strategies.names | st.floats(0, 1e12)))
def test_a_token_is_written_as_pyjwt_writes_it(claims: dict[str, Any]) -> None:
    key = bytes(range(32))
    payload = {"iss": "sse-trio", "aud": tickets.TICKET.audience, **claims}
    headers = {"typ": tickets.TICKET.type, "kid": "a"}
    written = jwt.encode(payload, key, "HS256", headers=headers, json_encoder=Utf8)
    begun = tokens.begin_signature(key)
    assert tickets.TICKET.sign(tokens.written(claims), kid="a", key=begun) == written


def test_a_ticket_is_signed_as_documented() -> None:
    assert sign() == TOKEN
    assert verify(sign()) == verify(resigned(HEADER, json.dumps(CLAIMS).encode())) == TICKET


def test_the_integers_of_other_minters_are_names() -> None:
    assert verify(sign(room=12, session=-3)) == Ticket("12", "-3", 7)


def test_unknown_claims_are_ignored() -> None:
    assert verify(sign(colour="blue", sub="u1")) == TICKET


def test_without_a_key_nothing_is_minted_and_nothing_verified() -> None:
    keyless = Tickets((), lifetime=LIFETIME)
    assert TICKETS.can_sign
    assert not keyless.can_sign
    assert keyless.mint(TICKET, now=NOW, jti="j1") is None
    with pytest.raises(RemoteProtocolError):
        keyless.verify_untrusted(TOKEN, now=NOW)


# -- time -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "now", [NOW - LEEWAY, NOW, NOW + LIFETIME, NOW + LIFETIME + LEEWAY - 0.001]
)
def test_is_valid_in_its_time_and_the_leeway(now: float) -> None:
    assert verify(TOKEN, now) == TICKET


@pytest.mark.parametrize("now", [NOW + LIFETIME + LEEWAY, NOW + 10 * LIFETIME])
def test_is_void_after_its_time(now: float) -> None:
    refused(TOKEN, now)


@pytest.mark.parametrize("now", [0, NOW - 3600, NOW - LEEWAY - 0.001])
def test_a_ticket_of_the_future_is_a_ticket_and_says_so(now: float) -> None:
    """The clock of the hub that has signed it has been put back since."""
    assert verify(TOKEN, now) == TICKET
    assert verify(TOKEN, now).issued == NOW


def test_a_ticket_may_begin_later_than_it_was_issued() -> None:
    token = sign(nbf=NOW + 600)
    assert verify(token, NOW + 600 - LEEWAY) == TICKET
    assert verify(token, NOW + 600 - LEEWAY).issued == NOW
    # Until then it is of the future.
    assert verify(token, NOW + 600 - LEEWAY - 1) == TICKET
    assert verify(token, NOW + 600 - LEEWAY - 1).issued == NOW + 600
    assert verify(sign(iat=NOW + 900, nbf=NOW + 600)).issued == NOW + 900


@pytest.mark.parametrize("seconds", [0, 0.25, 1e-6, 0.999])
def test_a_date_may_have_a_fraction(seconds: float) -> None:
    """RFC 7519, section 2: a NumericDate is any JSON number."""
    begins, ends = NOW + seconds, NOW + 60 + seconds
    token = sign(iat=NOW - 60 + seconds, nbf=begins, exp=ends)
    assert verify(token, NOW).issued == NOW - 60 + seconds
    assert verify(token, begins - LEEWAY) == verify(token, ends + LEEWAY - 0.001) == TICKET
    assert verify(token, begins - LEEWAY - 0.001).issued == begins
    refused(token, ends + LEEWAY)


@pytest.mark.parametrize("expires", [2**63, 1e300], ids=["2**63", "1e300"])
def test_no_ticket_outlives_what_the_rooms_remember(expires: float) -> None:
    """Also where the lifetime has been made shorter since it was signed."""
    token = sign(exp=expires)
    assert verify(token, NOW + LIFETIME + LEEWAY - 1) == TICKET
    refused(token, NOW + LIFETIME + LEEWAY)


@given(st.floats(0, 2**40), st.booleans())
def test_the_systems_clock_has_no_say(now: float, in_whole_seconds: bool) -> None:
    at = int(now) if in_whole_seconds else now
    token = sign(iat=at, nbf=at, exp=at + 1)
    assert verify(token, now) == TICKET
    assert verify(token, now).issued == at


# -- rotation ---------------------------------------------------------------------------


class Claims(dict[str, Any]):
    """To which there can be a weak reference."""


@attrs.frozen
class Counted(ProofKind):
    """A kind whose proofs are the numbers of sessions."""

    reads: list[str] = attrs.field(factory=list)
    """Those that were read, and not known from an earlier time."""
    kept: WeakValueDictionary[str, Claims] = attrs.field(factory=WeakValueDictionary)
    """What they claim, if anybody still has it."""

    def read_untrusted(self, token: str, keys: Any) -> tuple[str, dict[str, Any]]:
        self.reads.append(token)
        claims = self.kept[token] = Claims(CLAIMS, session=int(token))
        return KID, claims


def counted() -> Counted:
    return Counted(**attrs.asdict(TICKET_KIND, recurse=False))


def test_what_was_read_before_is_judged_by_the_time_again() -> None:
    kind = counted()
    kept = Tickets(("a key",), lifetime=LIFETIME, kind=kind)
    for now in (NOW, NOW + LIFETIME + LEEWAY - 1, NOW - LIFETIME, NOW):
        assert kept.verify_untrusted("1", now=now) == Ticket("u1", "1", 7)
    with pytest.raises(RemoteProtocolError):
        kept.verify_untrusted("1", now=NOW + LIFETIME + LEEWAY)
    assert kind.reads == ["1"]


def test_what_was_read_before_may_begin_later() -> None:
    token = sign(nbf=NOW + 600)
    for _ in range(2):
        assert verify(token, NOW).issued == NOW + 600
        assert verify(token, NOW + 600).issued == NOW


def test_what_was_read_with_one_key_is_unknown_with_another() -> None:
    assert verify(TOKEN) == TICKET
    with pytest.raises(RemoteProtocolError):
        Tickets(("another key",), lifetime=LIFETIME).verify_untrusted(TOKEN, now=NOW)


def test_only_so_many_are_kept_and_those_used_last() -> None:
    kind = counted()
    kept = Tickets(("a key",), lifetime=LIFETIME, kind=kind)

    def read_of(*asked: str) -> list[str]:
        """Return which of those that are asked about were read."""
        kind.reads.clear()
        for token in asked:
            with contextlib.suppress(RemoteProtocolError):
                kept.verify_untrusted(token, now=NOW)
        return list(kind.reads)

    many = [str(number) for number in range(tickets.REMEMBERED_TOKENS)]
    assert read_of(*many) == many
    # A forgery pushes none of them out.
    forged = [f"forged {number}" for number in range(3)]
    assert read_of(*forged, *many[1:], many[0]) == forged
    assert read_of("-1", many[0], many[1]) == ["-1", many[1]]


def test_what_a_reload_replaces_goes_at_once() -> None:
    """The old keys, and thousands of tokens: not when the garbage collector comes."""
    kept = Tickets(("a key",), lifetime=LIFETIME)
    assert kept.verify_untrusted(TOKEN, now=NOW) == TICKET
    gone = weakref.ref(kept)
    gc.disable()
    try:
        del kept
        assert gone() is None
    finally:
        gc.enable()


def test_of_what_was_read_only_the_login_is_kept() -> None:
    """What else a minter claims is nobody's, and takes several times as much as its text."""
    kind = counted()
    Tickets(("a key",), lifetime=LIFETIME, kind=kind).verify_untrusted("1", now=NOW)
    assert kind.reads == ["1"]
    assert not kind.kept


def test_pyjwt_never_judges_what_is_forged(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyJWT is slow with long headers, and those that it has accepted are remembered."""
    monkeypatch.setattr(jwt, "decode", pytest.fail)
    refused(TOKEN.rpartition(".")[0] + "." + "A" * 15_000)
    refused(sign(header={"x": "A" * 15_000}, key=bytes(32)))


def test_pyjwt_judges_a_header_once(monkeypatch: pytest.MonkeyPatch) -> None:
    header = {"x": "of this test alone"}
    assert verify(sign(header=header, jti="j2")) == TICKET
    monkeypatch.setattr(jwt, "decode", pytest.fail)
    assert verify(sign(header=header, jti="j3")) == TICKET


def test_the_first_key_signs_and_all_verify() -> None:
    old = Tickets(("old",), lifetime=LIFETIME).mint(TICKET, now=NOW, jti="j1")
    rotated = Tickets(("new", "old"), lifetime=LIFETIME)
    new = rotated.mint(TICKET, now=NOW, jti="j1")
    assert old is not None
    assert new is not None
    assert rotated.verify_untrusted(old, now=NOW) == TICKET
    assert Tickets(("new",), lifetime=LIFETIME).verify_untrusted(new, now=NOW) == TICKET
    with pytest.raises(RemoteProtocolError):
        Tickets(("new",), lifetime=LIFETIME).verify_untrusted(old, now=NOW)


# -- two kinds --------------------------------------------------------------------------

KEYS = ("new", "old", "oldest")


@pytest.mark.parametrize("signing", range(3))
@pytest.mark.parametrize(("kind", "other"), [(TICKET_KIND, TOKEN_KIND), (TOKEN_KIND, TICKET_KIND)])
def test_neither_kind_is_ever_taken_for_the_other(
    kind: ProofKind, other: ProofKind, signing: int
) -> None:
    ours = Tickets(KEYS[signing:], lifetime=LIFETIME, kind=kind)
    proof = ours.mint(TICKET, now=NOW, jti="j1")
    assert proof is not None
    assert Tickets(KEYS, lifetime=LIFETIME, kind=kind).verify_untrusted(proof, now=NOW) == TICKET
    with pytest.raises(RemoteProtocolError, match=f"^the {other.purpose} is not valid$") as refusal:
        Tickets(KEYS, lifetime=LIFETIME, kind=other).verify_untrusted(proof, now=NOW)
    assert refusal.value.close_code == 4401


@pytest.mark.parametrize("part", ["type", "audience", "purpose"])
def test_each_of_the_three_in_which_they_differ_is_enough(part: str) -> None:
    almost = attrs.evolve(TICKET_KIND, **{part: getattr(TOKEN_KIND, part)})
    proof = Tickets(KEYS, lifetime=LIFETIME, kind=almost).mint(TICKET, now=NOW, jti="j1")
    assert proof is not None
    with pytest.raises(RemoteProtocolError):
        Tickets(KEYS, lifetime=LIFETIME).verify_untrusted(proof, now=NOW)


def test_a_proof_says_when_it_is_over() -> None:
    for kind in (TICKET_KIND, TOKEN_KIND):
        proof = Tickets(KEYS, lifetime=LIFETIME, kind=kind).mint(TICKET, now=NOW, jti="j1")
        assert proof is not None
        for lifetime in (LIFETIME, LIFETIME + 5, LIFETIME - 5):
            read = Tickets(KEYS, lifetime=lifetime, kind=kind).verify_untrusted(proof, now=NOW)
            assert read.expires == NOW + min(lifetime, LIFETIME)


def test_the_key_that_the_header_names_has_to_be_the_one_that_signed() -> None:
    kid, key = signing_key("an older key")
    assert verify(sign(header={"kid": kid}, key=key)) == TICKET
    refused(sign(header={"kid": KID}, key=key))
    refused(sign(header={"kid": kid}, key=KEY))


@given(strategies.keys)
def test_the_authkey_is_in_no_ticket(authkey: str) -> None:
    token = Tickets((authkey,), lifetime=LIFETIME).mint(TICKET, now=NOW, jti="j1")
    assert token is not None
    parts = [base64.urlsafe_b64decode(part + "==") for part in token.split(".")]
    assert not any(strategies.KEY_MARK.encode() in part for part in [token.encode(), *parts])


# -- forgeries --------------------------------------------------------------------------


def swapped_room() -> str:
    head, payload, signature = TOKEN.split(".")
    forged = json.loads(base64.urlsafe_b64decode(payload + "==")) | {"room": "u2"}
    return f"{head}.{encoded(json.dumps(forged).encode())}.{signature}"


def spliced() -> str:
    other = TICKETS.mint(Ticket("u2", "s2", 7), now=NOW, jti="j2")
    assert other is not None
    head, payload, _ = TOKEN.split(".")
    return f"{head}.{payload}.{other.rpartition('.')[2]}"


FORGERIES: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned(HEADER.replace(b"HS256", b"none")) + ".",
    "alg None": lambda: unsigned(HEADER.replace(b"HS256", b"None")) + ".",
    "no alg": lambda: resigned(HEADER.replace(b"alg", b"gla"), json.dumps(CLAIMS).encode()),
    "alg none, with our signature": lambda: resigned(
        HEADER.replace(b"HS256", b"none"), json.dumps(CLAIMS).encode()
    ),
    "HS512": lambda: sign(algorithm="HS512", key=KEY * 2),
    "HS384": lambda: sign(algorithm="HS384", key=KEY * 2),
    "another key": lambda: sign(key=bytes(32)),
    "the authkey as the key": lambda: sign(key=b"a key".ljust(32, b"\0")),
    "no kid": lambda: resigned(HEADER.replace(b"kid", b"dik"), json.dumps(CLAIMS).encode()),
    "unknown kid": lambda: sign(header={"kid": "0" * 16}),
    "another typ": lambda: sign(header={"typ": "JWT"}),
    "no typ": lambda: sign(header={"typ": None}),
    "another aud": lambda: sign(aud="sse-trio/auth"),
    "two auds": lambda: sign(aud=[AUDIENCE, "sse-trio/auth"]),
    "another iss": lambda: sign(iss="somebody"),
    "an extension that must be understood": lambda: sign(header={"crit": ["x"], "x": 1}),
    "a payload that is not encoded": lambda: resigned(
        HEADER[:-1] + b', "b64": false, "crit": ["b64"]}', json.dumps(CLAIMS).encode()
    ),
    "a signed payload with a line's end": lambda: signed(unsigned(HEADER) + "\n"),
    "four signed parts": lambda: signed(unsigned(HEADER) + ".AAAA"),
    "expired": lambda: sign(iat=NOW - 7200, exp=NOW - LEEWAY),
    "expired before it was issued": lambda: sign(iat=NOW + 10, exp=NOW - LEEWAY),
    "no signature": lambda: TOKEN.rpartition(".")[0] + ".",
    "two parts": lambda: TOKEN.rpartition(".")[0],
    "four parts": lambda: TOKEN + ".AAAA",
    "truncated": lambda: TOKEN[:-1],
    "padded": lambda: TOKEN + "=",
    "with a line's end": lambda: TOKEN + "\n",
    "with a space before": lambda: " " + TOKEN,
    "room swapped": swapped_room,
    "signature of another": spliced,
    "empty": lambda: "",
    "dots": lambda: "..",
    "64 KiB": lambda: "A" * 65536,
    "64 KiB of parts": lambda: "A." * 32768,
    "64 KiB of header": lambda: "A" * 65536 + ".e30.AAAA",
    "not ASCII": lambda: "é" * 100,
    "not ASCII in the signature": lambda: TOKEN[:-3] + "é" + TOKEN[-2:],
    "lone surrogate": lambda: TOKEN + "\ud800",
    "zero": lambda: TOKEN.replace("e", "\x00", 1),
    "a deep header": lambda: encoded(b"[" * 40_000) + ".e30.AAAA",
    "a deep, signed header": lambda: resigned(b"[" * 40_000, b"{}"),
    "a deep, signed payload": lambda: resigned(HEADER, b"[" * 40_000),
    "a header that is a list": lambda: resigned(b"[]", b"{}"),
    "a header that is not UTF-8": lambda: resigned(b"\xff", b"{}"),
    "a payload that is a list": lambda: resigned(HEADER, b"[]"),
    "a payload that is not JSON": lambda: resigned(HEADER, b"room"),
    "a payload that is not UTF-8": lambda: resigned(HEADER, b"\xff"),
    "a payload in UTF-16": lambda: resigned(HEADER, json.dumps(CLAIMS).encode("utf-16-le")),
    "a kid that is a list": lambda: resigned(HEADER.replace(f'"{KID}"'.encode(), b"[]"), b"{}"),
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forgery_is_refused(forge: Callable[[], str]) -> None:
    refused(forge())


@pytest.mark.parametrize("claim", CLAIMS)
def test_every_claim_is_required(claim: str) -> None:
    refused(sign(without=claim))


@pytest.mark.parametrize(
    ("claim", "values"),
    [
        ("room", [None, "", True, 1.5, [], {}, "x" * 257, "\x00"]),
        ("session", [None, "", False, 0.5, ["s1"], {}, "x" * 257, "\n"]),
        ("epoch", [None, -1, 7.0, 7.5, "7", True, [7], math.nan, MAX_EPOCH + 1, 10**400]),
        ("exp", [None, -1, -0.5, str(NOW + 60), True, [NOW + 60], math.inf, math.nan]),
        ("iat", [None, -1, -0.5, str(NOW), False, [NOW], -math.inf, math.nan]),
        ("nbf", [None, -1, -0.5, str(NOW), False, [NOW], -math.inf, math.nan]),
    ],
)
def test_a_claim_of_the_wrong_type_is_refused(claim: str, values: list[Any]) -> None:
    for value in values:
        refused(resigned(HEADER, json.dumps(CLAIMS | {claim: value}).encode()))


@pytest.mark.parametrize("claim", ["exp", "iat", "nbf"])
def test_a_date_beyond_every_float_is_infinite(claim: str) -> None:
    text = json.dumps(CLAIMS | {claim: "?"})
    for digits in ("1e400", f"1{'0' * 400}"):
        refused(resigned(HEADER, text.replace('"?"', digits).encode()))


@pytest.mark.parametrize("epoch", [0, 1, MAX_EPOCH - 1, MAX_EPOCH])
def test_an_epoch_is_what_every_json_parser_reads_exactly(epoch: int) -> None:
    assert verify(sign(epoch=epoch)).epoch == epoch
    assert MAX_EPOCH == 2**53


@pytest.mark.parametrize("claim", ["aud", "iss", "jti", "sub"])
@pytest.mark.parametrize("value", [None, 7, {}, [], True])
def test_an_identity_of_the_wrong_type_is_refused(claim: str, value: Any) -> None:
    refused(resigned(HEADER, json.dumps(CLAIMS | {claim: value}).encode()))


_URL_SAFE = string.ascii_letters + string.digits + "-_"


@given(
    st.integers(0, len(TOKEN) - 1),
    st.sampled_from(_URL_SAFE + ".=+/ \n\x00é") | st.characters(),
)
def test_to_change_any_character_is_to_void_it(position: int, character: str) -> None:
    mutated = TOKEN[:position] + character + TOKEN[position + 1 :]
    if mutated != TOKEN:
        refused(mutated)


@pytest.mark.parametrize("character", _URL_SAFE)
def test_no_bit_of_the_last_character_is_free(character: str) -> None:
    if character != TOKEN[-1]:
        refused(TOKEN[:-1] + character)


@given(st.integers(0, len(TOKEN)), st.text(min_size=1, max_size=4))
def test_to_insert_anything_is_to_void_it(position: int, text: str) -> None:
    refused(TOKEN[:position] + text + TOKEN[position:])


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 200))
def test_to_cut_anything_out_is_to_void_it(position: int, length: int) -> None:
    refused(TOKEN[:position] + TOKEN[position + length :])


@given(st.text() | st.lists(st.text(_URL_SAFE), min_size=3, max_size=3).map(".".join))
def test_no_text_is_a_ticket_by_chance(text: str) -> None:
    refused(text)


@pytest.mark.parametrize("character", ["x", "é", "漢", "😀"])
def test_the_longest_names_make_a_ticket_that_fits_into_a_message(character: str) -> None:
    longest = Ticket(character * 256, character * 256, 2**53)
    token = TICKETS.mint(longest, now=NOW, jti="j" * 24)
    assert token is not None
    assert len(encode(Join(ticket=token))) <= Config().max_message
    assert verify(token) == longest
