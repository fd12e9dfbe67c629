"""Keys: the newest signs, the others verify."""

import pytest

from sse_trio.auth.keys import MAX_KEYS, Key, Keys


def key(number: int) -> Key:
    return Key(f"k{number}", bytes([number]) * 32, number)


def test_the_newest_signs_and_all_verify() -> None:
    keys = Keys((key(1),)).rotated(key(2)).rotated(key(3))
    assert keys.signing == key(3)
    assert keys.verifying == {f"k{n}": bytes([n]) * 32 for n in (1, 2, 3)}


def test_the_oldest_are_dropped() -> None:
    keys = Keys((key(0),))
    for number in range(1, MAX_KEYS + 1):
        keys = keys.rotated(key(number))
    assert len(keys.keys) == MAX_KEYS
    assert "k0" not in keys.verifying
    assert "k1" in keys.verifying


def test_they_are_in_order_whichever_way_the_clock_was_put() -> None:
    keys = Keys((key(1),)).rotated(key(9)).rotated(key(8)).rotated(key(5))
    assert [each.kid for each in keys.keys] == ["k5", "k8", "k9", "k1"]
    times = [each.created for each in keys.keys]
    assert times[0] == 5
    assert times == sorted(set(times), reverse=True)
    assert times[-1] == 1


def test_there_is_always_one() -> None:
    with pytest.raises(ValueError, match="there must be a key"):
        Keys(())


def test_no_secret_is_in_a_repr() -> None:
    keys = Keys((Key("k1", b"secret" * 6, 1),))
    assert "secret" not in repr(keys)
