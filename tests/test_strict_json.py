"""JSON from outside: everything that RFC 8259 allows, and nothing that it leaves in doubt."""

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio import strict_json
from sse_trio.strict_json import MAX_DEPTH, MAX_DIGITS, MAX_VALUES, loads_untrusted

from . import strategies


@given(strategies.json_values, st.booleans(), st.sampled_from([None, 2]))
def test_agrees_with_the_standard_library(value: Any, ascii_only: bool, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert loads_untrusted(text) == loads_untrusted(text.encode()) == json.loads(text) == value


@given(strategies.json_values)
def test_what_it_writes_it_reads(value: Any) -> None:
    assert loads_untrusted(strict_json.dumps(value).encode()) == value


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_no_document_can_hold_is_not_written(number: float) -> None:
    for value in (number, [number]):
        with pytest.raises(ValueError, match="not JSON compliant"):
            strict_json.dumps(value)


def test_writes_compactly_and_leaves_characters_alone() -> None:
    assert strict_json.dumps({"a": [1, "é"], "b": None}) == '{"a":[1,"é"],"b":null}'


@given(st.binary() | st.text().map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_raises_nothing_but_value_error(document: bytes) -> None:
    try:
        value = loads_untrusted(document)
    except ValueError:
        return
    assert value == json.loads(document)


_json_noise = st.text(st.sampled_from('{}[]",:\\u0d8Ee+-.1NaIfinty trueslx\x00'))


@given(_json_noise | st.text(st.characters(categories=["Cs", "L"])))
def test_what_passes_can_be_written_as_utf8(document: str) -> None:
    try:
        value = loads_untrusted(document)
    except ValueError:
        return
    assert loads_untrusted(strict_json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    ("document", "why"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1,}', "not JSON"),
        (b"1 2", "not JSON"),
        (b'"\x00"', "not JSON"),
        (b'"\t"', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON: it begins with a byte order mark"),
        (b'"\\x"', "not JSON"),
        (b"\xff", "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'"\xc0\xaf"', "not UTF-8"),
        ('"é"'.encode("utf-16"), "not UTF-8"),
        ('"\ud800"', "not UTF-8"),
        (b'{"a": 1, "a": 1}', "twice"),
        (b'[{"b": {"a": 1, "\\u0061": 2}}]', "twice"),
        (b"NaN", "NaN and Infinity"),
        (b"[Infinity]", "NaN and Infinity"),
        (b'{"a": -Infinity}', "NaN and Infinity"),
        (b"1e999", "out of range"),
        (b"-1e999", "out of range"),
        (b"[1.0e+309]", "out of range"),
        (b"1" + b"0" * 5000, "out of range"),
        (b'"\\ud800"', "lone surrogate"),
        (b'"\\udc00\\ud800"', "lone surrogate"),
        (b'{"\\ud83d": 1}', "lone surrogate"),
    ],
)
def test_refuses(document: bytes | str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        loads_untrusted(document)


def test_a_pair_of_surrogates_is_one_character() -> None:
    assert loads_untrusted(b'"\\ud83d\\ude00"') == "\U0001f600"


def test_an_escaped_backslash_begins_no_surrogate() -> None:
    assert loads_untrusted(rb'"\\ud800"') == r"\ud800"


def test_integers_are_exact_up_to_the_limit() -> None:
    digits = "9" * MAX_DIGITS
    assert loads_untrusted(digits) == int(digits)
    with pytest.raises(ValueError, match="out of range"):
        loads_untrusted(digits + "9")


@pytest.mark.parametrize(
    ("value", "most"),
    [
        ("1", MAX_VALUES),
        ('"[{,"', MAX_VALUES),
        (r'"\",[,\\"', MAX_VALUES),
        ("{}", MAX_VALUES // 2),
        ("[]", MAX_VALUES // 2),
    ],
)
def test_holds_so_many_values(value: str, most: int) -> None:
    def many(count: int) -> str:
        return f"[{','.join([value] * count)}]"

    assert loads_untrusted(many(most)) == json.loads(many(most))
    for count in (most + 1, 10 * most):
        with pytest.raises(ValueError, match=f"more than {MAX_VALUES} values"):
            loads_untrusted(many(count))
        assert loads_untrusted(many(count), max_values=None) == json.loads(many(count))


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_nests_up_to_the_limit(opening: str, closing: str) -> None:
    def nested(depth: int) -> str:
        return opening * depth + "1" + closing * depth

    assert json.loads(nested(MAX_DEPTH)) == loads_untrusted(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 5000, 500_000):
        with pytest.raises(ValueError, match="nested more than"):
            loads_untrusted(nested(depth), max_values=None)


def test_what_lies_beside_is_no_deeper() -> None:
    inner = "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    beside = f"[[],{inner},[{{}}]]"
    assert loads_untrusted(beside) == json.loads(beside)
    with pytest.raises(ValueError, match="nested more than"):
        loads_untrusted(f"[[],[{inner}]]")


def test_many_brackets_are_not_deep() -> None:
    document = "[" + ",".join(["{}"] * 1000) + "]"
    assert loads_untrusted(document, max_values=None) == [{}] * 1000


@pytest.mark.parametrize("text", ["[" * 99, "{" * 99, '\\"' + "[" * 99, "]" * 99 + "\\"])
def test_brackets_in_strings_do_not_count(text: str) -> None:
    document = json.dumps({text: text})
    assert loads_untrusted(document) == {text: text}


@pytest.mark.parametrize("opening", ['"', '["'])
def test_an_endless_string_takes_linear_time(opening: str) -> None:
    document = "[]" * MAX_DEPTH + opening + '\\"' * 100_000
    started = time.process_time()
    with pytest.raises(ValueError, match="not JSON"):
        loads_untrusted(document)
    # Quadratic, this was minutes.
    assert time.process_time() - started < 2


@given(strategies.keys, st.sampled_from(['{"key": "%s"', '{"key": "%s", "key": "%s"}', "%s"]))
def test_no_refusal_quotes_the_document(key: str, template: str) -> None:
    key = "\x01" + key.replace("%", "")
    with pytest.raises(ValueError) as refusal:
        loads_untrusted(template.replace("%s", key))
    assert strategies.KEY_MARK not in str(refusal.value)


@given(st.lists(strategies.texts))
def test_a_list_of_strings_is_written_as_any_list_is(texts: list[str]) -> None:
    assert strict_json.dumps_texts(texts) == strict_json.dumps(texts)
