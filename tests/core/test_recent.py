"""A little while: exact in time, bounded in number."""

from hypothesis import given
from hypothesis import strategies as st

from sse_trio.core.recent import Recent, WrongKeys

keys = st.sampled_from("abcdef")


@given(
    st.lists(st.tuples(st.sampled_from(["put", "get"]), keys, st.integers(0, 4)), max_size=80),
    st.integers(1, 8),
    st.integers(1, 4),
)
def test_behaves_as_a_list_of_what_was_put(
    steps: list[tuple[str, str, int]], lifetime: int, size: int
) -> None:
    recent: Recent[int] = Recent(lifetime=lifetime, size=size)
    model: list[tuple[str, int, int]] = []
    now = 0
    for value, (step, key, passed) in enumerate(steps):
        now += passed
        if step == "get":
            model = [entry for entry in model if now - entry[1] < lifetime]
            known = {entry[0]: entry[2] for entry in model}
            assert recent.get(key, now) == known.get(key)
        else:
            model = [entry for entry in model if entry[0] != key]
            recent.put(key, value, now)
            model.append((key, now, value))
            model = [entry for entry in model if now - entry[1] < lifetime][-size:]
        assert len(recent) == len(model) <= size


def test_forgets_when_the_time_is_up() -> None:
    recent: Recent[str] = Recent(lifetime=600, size=10)
    recent.put("a", "x", 0)
    assert recent.get("a", 599.999) == "x"
    assert recent.get("a", 600) is None
    assert len(recent) == 0


def test_to_put_again_is_to_begin_again() -> None:
    recent: Recent[str] = Recent(lifetime=600, size=2)
    recent.put("a", "old", 0)
    recent.put("b", "x", 1)
    recent.put("a", "new", 2)
    recent.put("c", "x", 3)
    assert recent.get("b", 3) is None
    assert recent.get("a", 601) == "new"


def test_what_is_falsy_is_remembered_too() -> None:
    recent: Recent[int] = Recent(lifetime=1, size=1)
    recent.put("a", 0, 0)
    assert recent.get("a", 0) == 0


def test_an_address_waits_after_too_many_wrong_keys() -> None:
    wrong = WrongKeys(limit=3, window=60)
    for _ in range(2):
        wrong.count("192.0.2.1", 0)
        assert not wrong.refused("192.0.2.1", 0)
    wrong.count("192.0.2.1", 0)
    assert wrong.refused("192.0.2.1", 59.9)
    assert not wrong.refused("192.0.2.2", 0)
    assert not wrong.refused("192.0.2.1", 60)


def test_another_limit_holds_for_what_is_counted() -> None:
    wrong = WrongKeys(limit=2)
    wrong.count("192.0.2.1", 0)
    wrong.limit = 1
    assert wrong.refused("192.0.2.1", 0)


def test_each_further_wrong_key_starts_the_window_anew() -> None:
    wrong = WrongKeys(limit=2, window=60)
    for now in (0, 50, 100):
        wrong.count("192.0.2.1", now)
    assert wrong.refused("192.0.2.1", 159)
    assert not wrong.refused("192.0.2.1", 160)
    # And begins at one again.
    wrong.count("192.0.2.1", 160)
    assert not wrong.refused("192.0.2.1", 160)


def test_who_has_shown_a_right_key_is_heard_for_a_while() -> None:
    wrong = WrongKeys(limit=2, window=60)
    wrong.count_right("192.0.2.1", 0)
    assert [wrong.count("192.0.2.1", 59) for _ in range(3)] == [1, 2, 3]
    wrong.count("192.0.2.2", 59)
    wrong.count("192.0.2.2", 59)
    assert not wrong.refused("192.0.2.1", 59.9)
    assert wrong.refused("192.0.2.2", 59.9)
    # A minute later it is one like any other.
    assert wrong.refused("192.0.2.1", 60)
    # And it is heard again for as long, once that is over.
    assert not wrong.refused("192.0.2.1", 119)
    assert wrong.count("192.0.2.1", 119) == 1
    assert wrong.count("192.0.2.1", 119) == 2
    wrong.count_right("192.0.2.1", 119)
    assert not wrong.refused("192.0.2.1", 178.9)


def test_right_keys_are_bounded_in_number_too() -> None:
    wrong = WrongKeys(limit=1, size=2)
    addresses = [f"192.0.2.{last}" for last in (1, 2, 3)]
    for address in addresses:
        wrong.count_right(address, 0)
    refused = []
    for address in addresses:
        wrong.count(address, 0)
        refused.append(wrong.refused(address, 0))
    assert refused == [True, False, False]


def test_addresses_are_bounded_in_number() -> None:
    wrong = WrongKeys(limit=1, size=2)
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        wrong.count(address, 0)
    refused = [wrong.refused(f"192.0.2.{last}", 0) for last in (1, 2, 3)]
    assert refused == [False, True, True]
