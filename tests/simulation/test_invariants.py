"""Each rule about histories is broken by a history that breaks it alone."""

import pytest

from sse_trio.core.logins import Login, Record

from .history import (
    Answered,
    Called,
    Committed,
    Drained,
    Event,
    Failed,
    Fault,
    History,
    Killed,
    Lost,
    Registered,
    Removed,
    Reported,
    Said,
    Settled,
)
from .invariants import violations

BOTH = frozenset({"a", "b"})


def record(
    epoch: int,
    named: dict[str, int] | None = None,
    ended: dict[str, int] | None = None,
    joined: tuple[str, ...] = (),
) -> Record:
    """Return one with sessions that were named, that have ended by an epoch, that only joined."""
    logins = {session: Login(by - 1, 0.0, 0.0, ended=by) for session, by in (ended or {}).items()}
    logins |= {session: Login(of, 0.0, 0.0) for session, of in (named or {}).items()}
    logins |= {session: Login(epoch, 0.0, 0.0, named=False) for session in joined}
    return Record(epoch, epoch, logins, (), 0.0, 0.0)


def committed(writer: str, seq: int, state: Record | None, *ids: str, at: float = 0.0) -> Committed:
    return Committed(at, writer, seq, {"u1": state}, ids)


def said(node: str, member: int, session: str, what: str, **more: object) -> Said:
    return Said(0.0, node, member, "u1", session, what, **more)  # type: ignore[arg-type]


JOINS: list[Event] = [
    Registered(0.0, "a.1"),
    Registered(0.0, "b.1"),
    committed("b.1", 1, record(0, joined=("s1",))),
    said("b", 1, "s1", "joined"),
]
LOGIN: list[Event] = [
    Called(1.0, "a", 1, "u1", "s2", "i1"),
    committed("a.1", 1, record(1, named={"s2": 1}, ended={"s1": 1}), "i1"),
]
TOLD: list[Event] = [said("b", 1, "s1", "terminate"), Reported(1.5, "b.1", {"a.1": 1})]
STORED = Committed(1.5, "a.1", 1, {"u1": record(1, {"s2": 1}, {"s1": 1})}, ("i1",),
                   {"u1": frozenset({"s1"})})  # fmt: skip
ANSWER: list[Event] = [Answered(2.0, 1, 1, BOTH)]
GOOD = [*JOINS, *LOGIN, *TOLD, *ANSWER, said("a", 2, "s2", "joined", proof=1)]


def broken(events: list[Event]) -> set[str]:
    return {wrong.partition(":")[0] for wrong in violations(History(events))}


def test_a_good_history_breaks_no_rule() -> None:
    again: list[Event] = [
        Called(3.0, "b", 2, "u1", "s1", None),
        committed("b.1", 2, record(2, named={"s1": 2}, ended={"s2": 2})),
        said("a", 2, "s2", "terminate", proof=1),
        Reported(3.5, "a.1", {"b.1": 2}),
        Answered(4.0, 2, 2, BOTH),
        said("b", 3, "s1", "joined", proof=2),
        said("b", 3, "s1", "beat"),
        Settled(9.0, {"u1": 2}, {"a": {}, "b": {"u1": 2}}),
    ]
    assert broken([*GOOD, *again]) == set()


@pytest.mark.parametrize(
    ("rule", "events"),
    [
        ("nobody_outlives_an_answer", [*JOINS, *LOGIN, *ANSWER]),
        ("nobody_outlives_an_answer", [*GOOD, said("b", 3, "s1", "joined")]),
        ("nobody_outlives_an_answer", [*GOOD, said("b", 3, "s1", "yes")]),
        ("nobody_outlives_an_answer", [*JOINS, Called(1.0, "a", 1, "u1", "s2"),
                                       Answered(2.0, 1, 1, BOTH)]),
        ("whoever_is_told_has_ended", [*JOINS, said("b", 1, "s1", "terminate")]),
        ("whoever_is_told_has_ended", [*GOOD, said("a", 2, "s2", "terminate", proof=1)]),
        ("epochs_grow", [*GOOD, Called(3.0, "b", 2, "u1", "s2"),
                         committed("b.1", 2, record(1, named={"s2": 1}, ended={"s1": 1})),
                         Answered(4.0, 2, 1)]),
        ("each_sender_stands", [*JOINS, *LOGIN[:1], committed("a.1", 1, record(1, ended={"s1": 1})),
                         *TOLD, *ANSWER]),
        ("an_id_has_one_effect", [*GOOD, Called(3.0, "b", 2, "u1", "s2", "i1"),
                                  committed("b.1", 2, record(2, {"s2": 2}, {"s1": 1})),
                                  Answered(4.0, 2, 2)]),
        ("an_id_has_one_effect", [*GOOD, committed("b.1", 2, record(2, {"s2": 2}), "i1")]),
        ("places_are_kept", [*GOOD, committed("b.1", 2, record(2, {"s2": 1, "s3": 2}))]),
        ("places_are_kept", [*JOINS, Called(1.0, "a", 1, "u1", "s2"), Answered(2.0, 1, None)]),
        ("what_is_reported_is_applied", [*JOINS, *LOGIN, TOLD[1], TOLD[0], *ANSWER]),
        ("who_is_removed_is_silent", [*GOOD, Removed(3.0, "b.1"), said("b", 3, "s2", "yes")]),
        ("who_is_removed_is_silent", [*GOOD, Removed(3.0, "b.1"),
                                      committed("b.1", 2, record(2, {"s1": 2}, {"s2": 2}))]),
        ("answers_come_in_time", [*JOINS, *LOGIN, *TOLD, Reported(12.0, "b.1", {}),
                                  Answered(12.0, 1, 1)]),
        ("answers_come_in_time", [*JOINS, LOGIN[0], Failed(2.0, 1), Reported(12.0, "b.1", {})]),
        ("all_agree_in_the_end", [*GOOD, Settled(3.0, {"u1": 2}, {"b": {"u1": 1}})]),
        ("all_agree_in_the_end", [*GOOD, said("a", 2, "s2", "hold"), Settled(3.0, {}, {})]),
        ("rooms_with_members_stay", [*GOOD, committed("b.1", 2, None)]),
        ("joined_is_remembered", [*GOOD, said("b", 3, "s3", "joined")]),
        ("a_drain_loses_nothing", [*GOOD, Drained(3.0, "a"), Removed(4.0, "a.1")]),
        ("what_is_stored_stands", [*JOINS, STORED, *TOLD]),
        ("what_was_lost_is_said_again", [*GOOD, Lost(3.0, "a.1", 1), Settled(9.0, {}, {})]),
        ("verdicts_agree", [*GOOD, said("a", 8, "s2", "yes", version=1),
                            said("b", 9, "s2", "no", version=1)]),
        ("who_cannot_hold_is_closed", [*GOOD, said("a", 2, "s2", "hold", understands_hold=False)]),
    ],
)  # fmt: skip
def test_a_rule_is_broken_alone(rule: str, events: list[Event]) -> None:
    assert broken(events) == {rule}


@pytest.mark.parametrize(
    "events",
    [
        # Its node was over its lease, and vouched for nobody.
        [*JOINS, *LOGIN, Answered(2.0, 1, 1, frozenset({"a"})), *TOLD],
        # It was on hold.
        [*JOINS, *LOGIN, said("b", 1, "s1", "hold"), *ANSWER, *TOLD],
        # It was named again.
        [*GOOD, committed("b.1", 2, record(2, {"s1": 2}, {"s2": 2})), said("b", 3, "s1", "joined")],
        # The ids are the same, and so is the answer.
        [*GOOD, Called(3.0, "b", 2, "u1", "s2", "i1"), Answered(4.0, 2, 1)],
        # Something was in the way.
        [*JOINS, Fault(0.5, 3.0), LOGIN[0], Failed(2.0, 1), Reported(12.0, "b.1", {})],
        [*JOINS, Fault(0.5, 3.0, "a"), LOGIN[0], Reported(12.0, "b.1", {})],
        [*JOINS, LOGIN[0], Killed(2.0, "a"), Reported(12.0, "b.1", {})],
        # The room was full, for a moment.
        [*GOOD, Called(3.0, "b", 2, "u1", "s3"), Answered(3.0, 2, None)],
        # It is registered again.
        [*GOOD, Removed(3.0, "b.1"), Registered(3.0, "b.2"), said("b", 3, "s2", "yes")],
        # It left its members first.
        [*GOOD, Drained(3.0, "a"), said("a", 2, "s2", "closed"), Removed(4.0, "a.1")],
        # It was expelled, and so on hold.
        [*GOOD, Drained(3.0, "a"), Removed(4.0, "a.1", was_expelled=True)],
        # It was said again.
        [*GOOD, Lost(3.0, "a.1", 1), committed("b.1", 2, record(1, {"s2": 1}, {"s1": 1})),
         Settled(9.0, {"u1": 1}, {})],
        # Nobody is left who knew it.
        [*GOOD, Lost(3.0, "a.1", 1), Killed(3.0, "a"), Killed(3.0, "b"), Settled(9.0, {}, {})],
        # It proves by its ticket that it has ended.
        [*GOOD, said("b", 3, "s9", "terminate", proof=0)],
    ],
)  # fmt: skip
def test_what_is_allowed_breaks_no_rule(events: list[Event]) -> None:
    assert broken(events) == set()
