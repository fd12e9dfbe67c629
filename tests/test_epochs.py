"""The oracle of several nodes: what must be so, and what may be, by which epochs."""

from .epochs import Epochs, Notify, Session

A, B, C = "abc"


def room(*senders: str | None, places: int = 1) -> tuple[Epochs, dict[str, Session]]:
    """Return a room in which these were named, one after the other."""
    epochs, sessions = Epochs(places), {name: Session(name) for name in "abc"}
    for number, name in enumerate(senders):
        notify = Notify(str(number), None if name is None else sessions[name])
        epochs.ask(notify)
        assert epochs.answered(notify, number + 1, after=number)
    return epochs, sessions


def ended(epochs: Epochs, sessions: dict[str, Session]) -> str:
    return "".join(name for name in sessions if epochs.must_be_ended(sessions[name]))


def test_all_but_the_newest_must_be_ended() -> None:
    assert ended(*room(A, B, C)) == "ab"
    assert ended(*room(A, B, C, places=2)) == "a"
    assert ended(*room(A, B, B, places=2)) == ""
    assert ended(*room(A, B, A)) == "b"
    assert ended(*room(A, None)) == "a"


def test_what_is_under_way_may_have_happened_or_not() -> None:
    epochs, sessions = room(A, B)
    again = Notify("again", sessions[A])
    epochs.ask(again)
    assert sessions[A].is_under_way
    assert ended(epochs, sessions) == ""
    assert epochs.may_be_ended(sessions[B], 3)
    again.is_over = True
    assert ended(epochs, sessions) == ""


def test_who_was_released_leaves_its_place() -> None:
    epochs, sessions = room(A, B)
    sessions[B].is_release_asked = True
    assert ended(epochs, sessions) == ""
    assert epochs.may_be_ended(sessions[B], 2)
    sessions[B].is_released = True
    assert ended(epochs, sessions) == "b"


def test_a_login_that_was_over_when_it_was_answered_must_be_ended() -> None:
    epochs, sessions = room(B)
    lost = Notify("lost", sessions[A])
    epochs.ask(lost)
    lost.is_over = True
    assert ended(epochs, sessions) == "a"


def test_nobody_may_be_ended_whom_nothing_has_ended() -> None:
    epochs, sessions = room(A, B, C, places=2)
    assert [epochs.may_be_ended(sessions[A], n) for n in (1, 2, 3)] == [False, False, True]
    assert not epochs.may_be_ended(sessions[B], 3)
    epochs, sessions = room(None, A, A, places=1)
    # It may have joined before anybody named it.
    assert epochs.may_be_ended(sessions[A], 1)
    assert not epochs.may_be_ended(sessions[A], 2)
    assert not epochs.may_be_ended(sessions[A], 3)
    epochs, sessions = room(B, A)
    assert not epochs.may_be_ended(sessions[B], 1)
    assert epochs.may_be_ended(sessions[A], 1)
    epochs, sessions = room(A, None)
    assert epochs.may_be_ended(sessions[A], 2)


def test_epochs_are_distinct_and_grow() -> None:
    epochs, sessions = room(A, B)
    notify = Notify("n", sessions[C])
    epochs.ask(notify)
    lies = [(2, 0), (2, 2), (4, 2)]
    for epoch, after in lies:
        notify.epoch = None
        assert not epochs.answered(notify, epoch, after=after)
    notify.epoch = None
    assert epochs.answered(notify, 3, after=2)
    assert not epochs.answered(notify, 2, after=1)
