"""What a client says in its namespaces, and what may come when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.server.socketio.namespaces import (
    Connect,
    Happened,
    Leave,
    Namespaces,
    Said,
    Unknown,
    accepted,
    left,
    refused,
)


def hear(*messages: str | bytes, version: int = 5) -> list[Said | None]:
    namespaces = Namespaces({"/", "/custom"}, version=version)
    return [namespaces.receive_untrusted(message) for message in messages]


def test_a_client_connects_and_says_something() -> None:
    assert hear('0{"a":1}', '2["join","u1"]', '27["join",{"room":"u1"}]', "1") == [
        Connect("/", {"a": 1}),
        Happened("/", "join", ["u1"], None),
        Happened("/", "join", [{"room": "u1"}], 7),
        Leave("/"),
    ]


def test_each_namespace_is_connected_to_by_itself() -> None:
    assert hear("0/custom,", "0", '2/custom,["a"]', "1/custom,", '2["b"]', "0/custom") == [
        Connect("/custom", {}),
        Connect("/", {}),
        Happened("/custom", "a", [], None),
        Leave("/custom"),
        Happened("/", "b", [], None),
        Connect("/custom", {}),
    ]


def test_a_namespace_that_there_is_not() -> None:
    assert hear("0/random,", "0") == [Unknown("/random"), Connect("/", {})]


def test_clients_of_version_4_are_connected_to_the_main_namespace() -> None:
    assert hear('2["a"]', "0/custom?a=b,", version=4) == [
        Happened("/", "a", [], None),
        Connect("/custom", {}),
    ]


def test_an_event_with_attachments_and_an_acknowledgement() -> None:
    assert hear("0", '51-["a"]', b"x", "31[]", '61-1[{"_placeholder":true,"num":0}]', b"") == [
        Connect("/", {}),
        None,
        Happened("/", "a", [], None),
        *(None, None, None),
    ]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("message", ['2/custom,["a"]', "1/custom,", "3/custom,1[]", "4abc", b""])
def test_the_first_thing_in_a_namespace_is_to_connect(message: str | bytes, version: int) -> None:
    with pytest.raises(ValueError):
        hear(message, version=version)


@pytest.mark.parametrize(
    ("messages", "version", "why"),
    [
        (['2["a"]'], 5, "not connected to this namespace"),
        (["0", "0"], 5, "connected to this namespace already"),
        (["0"], 4, "connected to this namespace already"),
        (["0", "1", "1"], 5, "not connected to this namespace"),
        (["0", "2{}"], 5, "a packet has data that does not belong to its type"),
    ],
)
def test_what_no_client_says(messages: list[str], version: int, why: str) -> None:
    hear(*messages[:-1], version=version)
    with pytest.raises(ValueError, match=f"^{why}$"):
        hear(*messages, version=version)


def test_who_is_connected() -> None:
    namespaces = Namespaces({"/"}, version=5)
    assert not namespaces.is_connected()
    namespaces.receive_untrusted("0")
    assert namespaces.is_connected()
    assert not namespaces.is_connected("/custom")
    namespaces.receive_untrusted("1")
    assert not namespaces.is_connected()
    assert Namespaces({"/"}, version=4).is_connected()


def test_what_is_secret_is_not_shown() -> None:
    for said in hear('0{"ticket":"secret"}', '2["join","secret"]'):
        assert "secret" not in repr(said)


def test_answers_of_version_5() -> None:
    assert accepted("/", "S", version=5) == '0{"sid":"S"}'
    assert accepted("/custom", "S", "P", version=5) == '0/custom,{"sid":"S","pid":"P"}'
    assert refused("/x", "no", version=5) == '4/x,{"message":"no"}'
    assert refused("/", "no", 4401, version=5) == '4{"message":"no","data":{"code":4401}}'


def test_answers_of_version_4() -> None:
    assert accepted("/", "S", "P", version=4) == "0"
    assert refused("/x", "no", version=4) == '4/x,"no"'
    assert refused("/", "no", 4401, version=4) == '4"no"'


def test_the_server_ends_a_namespace() -> None:
    assert left() == "1"
    assert left("/custom") == "1/custom,"


@given(
    st.sampled_from([4, 5]),
    st.lists(st.sampled_from(["0", "1", '2["a"]', '51-["a"]', b"", "0/custom,", "1/custom,", "x"])),
)
def test_garbage_is_refused_and_nothing_else(version: int, messages: list[str | bytes]) -> None:
    """And an event is heard only of who is connected."""
    namespaces = Namespaces({"/", "/custom"}, version=version)
    for message in messages:
        was_connected = namespaces.is_connected()
        try:
            said = namespaces.receive_untrusted(message)
        except ValueError:
            return
        assert not isinstance(said, Happened) or was_connected
