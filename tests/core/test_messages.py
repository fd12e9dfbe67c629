"""The WebSocket protocol: what is written is read, and everything else is refused alike."""

import json
from collections.abc import Callable
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sse_trio.core.messages import (
    ClientMessage,
    CloseCode,
    Error,
    Heartbeat,
    Hold,
    Join,
    Joined,
    ServerMessage,
    Terminate,
    Terminated,
    encode,
    may_reconnect,
    name,
    parse_from_server,
    parse_untrusted,
)
from sse_trio.errors import RemoteProtocolError

from .. import strategies

client_messages: st.SearchStrategy[ClientMessage] = (
    st.builds(Join, room=strategies.names, session=st.none() | strategies.names)
    | st.builds(Join, ticket=strategies.texts)
    | st.builds(Terminated, epoch=strategies.epochs)
    | st.just(Heartbeat())
)

server_messages: st.SearchStrategy[ServerMessage] = (
    st.builds(
        Joined,
        room=strategies.names,
        session=strategies.names,
        epoch=strategies.epochs,
        heartbeat=st.floats(0.05, 3600) | st.integers(1, 3600),
    )
    | st.builds(Heartbeat, time=st.none() | strategies.epochs)
    | st.builds(
        Terminate,
        room=strategies.names,
        epoch=strategies.epochs,
        reason=strategies.printable,
        detail=st.none() | strategies.details,
        reconnect=st.just(False),
    )
    | st.just(Hold())
    | st.builds(Error, code=st.sampled_from(CloseCode).map(int), message=strategies.printable)
)


@given(client_messages)
def test_the_server_reads_what_a_client_writes(message: ClientMessage) -> None:
    assert parse_untrusted(encode(message)) == message


@given(server_messages)
def test_a_client_reads_what_the_server_writes(message: ServerMessage) -> None:
    assert parse_from_server(encode(message)) == message


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Join("u1", "s1"), '{"type":"join","room":"u1","session":"s1"}'),
        (Join("u1"), '{"type":"join","room":"u1"}'),
        (Join(ticket="t"), '{"type":"join","ticket":"t"}'),
        (Terminated(8), '{"type":"terminated","epoch":8}'),
        (Heartbeat(), '{"type":"heartbeat"}'),
        (Heartbeat(1_700_000_000_000), '{"type":"heartbeat","time":1700000000000}'),
        (
            Joined("u1", "é", 7, 25),
            '{"type":"joined","room":"u1","session":"é","epoch":7,"heartbeat":25}',
        ),
        (
            Terminate("u1", 8, "x", None),
            '{"type":"terminate","room":"u1","epoch":8,"reason":"x","detail":null,"reconnect":false}',
        ),
        (
            Terminate("u1", 8, "", {"on": 1}),
            '{"type":"terminate","room":"u1","epoch":8,"reason":"","detail":{"on":1},"reconnect":false}',
        ),
        (Hold(), '{"type":"hold"}'),
        (Error(CloseCode.MALFORMED, "why"), '{"type":"error","code":4400,"message":"why"}'),
    ],
)
def test_on_the_wire(message: ClientMessage | ServerMessage, text: str) -> None:
    assert encode(message) == text


@given(client_messages, strategies.json_objects)
def test_unknown_members_are_ignored(message: ClientMessage, more: dict[str, Any]) -> None:
    members = json.loads(encode(message))
    known = {"type", "room", "session", "ticket", "epoch"}
    grown = {key: value for key, value in more.items() if key not in known} | members
    assert parse_untrusted(json.dumps(grown)) == message


@given(server_messages)
def test_a_client_ignores_unknown_members(message: ServerMessage) -> None:
    grown = json.loads(encode(message)) | {"colour": "blue", "self": 1}
    assert parse_from_server(json.dumps(grown)) == message


def test_integers_become_names() -> None:
    assert parse_untrusted('{"type":"join","room":12,"session":-3}') == Join("12", "-3")


def test_no_session_may_be_spelled_as_null() -> None:
    assert parse_untrusted('{"type":"join","room":"u1","session":null}') == Join("u1", None)


def test_a_ticket_makes_the_claims_beside_it_void() -> None:
    text = '{"type":"join","ticket":"t","room":"u1","session":"s1"}'
    assert parse_untrusted(text) == Join(None, None, "t")


MALFORMED = [
    "",
    "join",
    "null",
    "7",
    '"join"',
    "[]",
    '[{"type":"heartbeat"}]',
    "{}",
    '{"type":null}',
    '{"type":7}',
    '{"type":["join"]}',
    '{"type":{}}',
    '{"type":"Join","room":"u1"}',
    '{"type":"joined","room":"u1","session":"s1","epoch":1,"heartbeat":25}',
    '{"type":"terminate","room":"u1","epoch":1,"reason":"x","detail":null}',
    '{"type":"error","code":4400,"message":"x"}',
    '{"type":"heartbeat","type":"heartbeat"}',
    '{"type":"heartbeat","time":NaN}',
    '{"type":"join"}',
    '{"type":"join","session":"s1"}',
    '{"type":"join","room":null}',
    '{"type":"join","room":true}',
    '{"type":"join","room":1.5}',
    '{"type":"join","room":1.0}',
    '{"type":"join","room":["u1"]}',
    '{"type":"join","room":{}}',
    '{"type":"join","room":""}',
    '{"type":"join","room":"\\u0000"}',
    '{"type":"join","room":"a\\nb"}',
    '{"type":"join","room":"\\u007f"}',
    '{"type":"join","room":"\\u0085"}',
    '{"type":"join","room":"\\ud800"}',
    '{"type":"join","room":"u1","session":""}',
    '{"type":"join","room":"u1","session":false}',
    '{"type":"join","room":"u1","session":[]}',
    '{"type":"join","ticket":7}',
    '{"type":"join","ticket":null}',
    '{"type":"join","room":"u1","ticket":{}}',
    '{"type":"terminated"}',
    '{"type":"terminated","epoch":null}',
    '{"type":"terminated","epoch":-1}',
    '{"type":"terminated","epoch":1.0}',
    '{"type":"terminated","epoch":true}',
    '{"type":"terminated","epoch":"8"}',
    pytest.param('{"type":"join","room":"' + "x" * 257 + '"}', id="long room"),
    pytest.param('{"type":"join","room":' + "1" * 257 + "}", id="long number"),
    pytest.param('{"type":"join","room":"u1","session":"' + "x" * 257 + '"}', id="long session"),
    pytest.param('{"type":"heartbeat","x":' + "[" * 99 + "]" * 99 + "}", id="deep"),
    pytest.param('{"type":"heartbeat","x":' + "[" * 99_999, id="deeper"),
]


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_malformed_closes_with_4400(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as refusal:
        parse_untrusted(text)
    assert refusal.value.close_code == 4400


_protocol_noise = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["join", "terminated", "heartbeat", "joined", "terminate", "error", "?"]
        )
    },
    optional={
        attribute.name: strategies.json_values
        for kind in (Join, Joined, Heartbeat, Terminate, Error)
        for attribute in attrs.fields(kind)
    },
).map(json.dumps)


def outcome_of(parse: Callable[[str], object], text: str) -> object:
    try:
        return parse(text)
    except RemoteProtocolError as error:
        return error


@given(st.text(st.characters()) | strategies.json_values.map(json.dumps) | _protocol_noise)
def test_any_text_is_a_message_or_a_protocol_error(text: str) -> None:
    for parse in (parse_untrusted, parse_from_server):
        outcome = outcome_of(parse, text)
        if isinstance(outcome, RemoteProtocolError):
            assert outcome.close_code == CloseCode.MALFORMED
            # The reason has to fit into a close frame (RFC 6455, section 5.5).
            assert 0 < len(str(outcome).encode()) <= 123
        else:
            assert isinstance(outcome, Join | Terminated | Heartbeat | Joined | Terminate | Error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"type":"join","room":"u1"}',
        '{"type":"terminated","epoch":1}',
        '{"type":"joined","room":"u1"}',
        '{"type":"terminate","epoch":1}',
        '{"type":"error"}',
        '{"type":[]}',
    ],
)
def test_a_client_refuses_what_no_server_says(text: str) -> None:
    with pytest.raises(RemoteProtocolError) as refusal:
        parse_from_server(text)
    assert refusal.value.close_code == CloseCode.MALFORMED


@given(strategies.names)
def test_names_are_kept_as_they_are(value: str) -> None:
    assert name(value, "room") == value


@pytest.mark.parametrize("value", ["x", "x" * 256, " ", "İ", "\u2028", "\U0001f600" * 256])
def test_names_in_their_limits(value: str) -> None:
    assert name(value, "room") == value


@pytest.mark.parametrize(
    ("value", "digits"), [(0, "0"), (-1, "-1"), (10**256 - 1, "9" * 256), (-1 - 10**254, None)]
)
def test_integers_are_their_decimal_digits(value: int, digits: str | None) -> None:
    assert name(value, "room") == (digits or str(value))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "1 to 256 characters"),
        ("x" * 257, "1 to 256 characters"),
        (10**256, "1 to 256 characters"),
        (-(10**255), "1 to 256 characters"),
        pytest.param(10**5000, "1 to 256 characters", id="endless"),
        (True, "a string or a whole number"),
        (False, "a string or a whole number"),
        (1.0, "a string or a whole number"),
        (None, "a string or a whole number"),
        (b"u1", "a string or a whole number"),
        (["u1"], "a string or a whole number"),
        ("a\x00", "control characters"),
        ("\x1f", "control characters"),
        ("\r\n", "control characters"),
        ("\x9f", "control characters"),
        ("u\ud800", "lone surrogates"),
        ("\udfff", "lone surrogates"),
    ],
)
def test_names_out_of_their_limits(value: object, why: str) -> None:
    with pytest.raises(ValueError, match=f"^sender must .*{why}"):
        name(value, "sender")


def test_a_ticket_is_in_no_repr() -> None:
    assert "secret" not in repr(Join(ticket="secret"))


def test_neither_is_a_room_nor_what_the_application_adds() -> None:
    shown = repr(
        [Joined("secret", "secret", 1, 25), Terminate("secret", 1, "login", {"x": "secret"})]
    )
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("code", "reconnect"),
    [
        (1001, True),
        (1002, False),
        (1007, False),
        (1009, False),
        (1013, True),
        (4001, False),
        (4400, False),
        (4401, False),
        (4403, False),
        (4408, True),
        (4429, True),
    ],
)
def test_close_codes_say_whether_to_come_back(code: int, reconnect: bool) -> None:
    assert CloseCode(code).reconnect is reconnect


def test_there_are_no_other_close_codes() -> None:
    assert len(CloseCode) == 11


@pytest.mark.parametrize("code", [1000, 1003, 1005, 1006, 1008, 1010, 1011, 1012, 1014, 3000, 4999])
def test_after_a_code_that_is_not_listed_a_client_comes_back(code: int) -> None:
    assert code not in list(CloseCode)
    assert may_reconnect(code)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "terminate", "room": 1, "epoch": 8, "reason": "login", "detail": None},
        {"type": "terminate", "room": "u1", "epoch": "8", "reason": "login", "detail": None},
        {"type": "terminate", "room": "u1", "epoch": 8, "reason": 5, "detail": None},
        {"type": "terminate", "room": "u1", "epoch": 8, "reason": "login", "detail": []},
        {"type": "terminate", "room": "u1", "epoch": 8, "reason": "login"},
        {"type": "joined", "room": "u1", "session": 1, "epoch": 0, "heartbeat": 25},
        {"type": "joined", "room": "u1", "session": "s1", "epoch": 0, "heartbeat": "25"},
        {"type": "heartbeat", "time": "now"},
        {"type": "error", "code": "4400", "message": "no"},
    ],
)
def test_a_servers_message_with_a_wrong_member_is_refused(message: dict[str, object]) -> None:
    with pytest.raises(RemoteProtocolError, match="missing or of the wrong type"):
        parse_from_server(json.dumps(message))
