"""The oracle of the soak: what is known of a session after which answers."""

from .worlds import Fate, Join, Last, Notify, Release, Worlds


def worlds(*requests: Join | Notify | Release, places: int = 1) -> Worlds:
    """Return what is known after all of `requests` have been answered."""
    worlds = Worlds(places)
    for request in requests:
        worlds.ask(request)
        assert worlds.answered(request, lambda _: True)
    return worlds


def fates(worlds: Worlds) -> list[Fate]:
    return [worlds.fate(session) for session in "abc"]


ENDED, STANDS, EITHER = Fate.ENDED, Fate.STANDS, Fate.EITHER


def test_an_answered_notify_ends_the_others() -> None:
    assert fates(worlds(Join("a"), Notify("1", "b"))) == [ENDED, STANDS, STANDS]


def test_an_unanswered_notify_may_have_ended_the_others() -> None:
    known = worlds(Join("a"), Notify("1", "b"))
    known.ask(Notify("2", "a"))
    assert fates(known) == [EITHER, EITHER, STANDS]


def test_one_session_tells_of_the_other() -> None:
    known = worlds(Join("a"), Notify("1", "b"))
    known.ask(Notify("2", "a"))
    assert known.answered(Join("a"), lambda world: "a" not in world.ended)
    assert fates(known) == [STANDS, ENDED, STANDS]


def test_the_epoch_tells_whether_it_has_happened() -> None:
    known = worlds(Join("a"), Notify("1", "b"))
    known.ask(Notify("2", "a"))
    release = Release("a")
    assert known.answered(release, lambda world: world.epoch_of(release) == 1)
    assert fates(known) == [ENDED, STANDS, STANDS]


def test_a_release_bars_nobody_whom_the_room_does_not_know() -> None:
    assert fates(worlds(Join("a"), Release("a"), Release("b"))) == [ENDED, STANDS, STANDS]


def test_a_repeated_notify_tells_whether_its_login_has_ended() -> None:
    first, second = Notify("1", "a"), Notify("2", Last.JOINED)
    known = worlds(first, Join("b"))
    known.ask(second)
    assert known.answered(first, lambda world: not world.is_over(first))
    assert fates(known)[:2] == [STANDS, STANDS]
    known = worlds(first, second, Notify("3", None))
    assert known.answered(second, lambda world: world.is_over(second))
    assert not known.answered(Release("a"), lambda world: world.is_over(Release("a")))


def test_a_repeated_notify_has_one_effect() -> None:
    known = worlds(Join("a"), Notify("1", "b"), Notify("2", "c"), Notify("1", "b"))
    assert fates(known) == [ENDED, ENDED, STANDS]


def test_an_answer_that_no_world_agrees_with() -> None:
    known = worlds(Join("a"), Notify("1", "b"))
    assert not known.answered(Join("a"), lambda world: "a" not in world.ended)


def test_without_a_sender_the_newest_stays() -> None:
    known = worlds(Join("a"), Join("b"), Join("a"), Notify("1", Last.JOINED))
    assert fates(known) == [ENDED, STANDS, STANDS]


def test_null_ends_everybody() -> None:
    assert fates(worlds(Join("a"), Notify("1", "b"), Notify("2", None)))[:2] == [ENDED, ENDED]


def test_of_several_places_the_named_come_first() -> None:
    known = worlds(Notify("1", "a"), Join("b"), Notify("2", "c"), places=2)
    assert fates(known) == [STANDS, ENDED, STANDS]


def test_worlds_that_are_alike_are_one() -> None:
    known = worlds(Join("a"))
    for request in Join("a"), Release("a"), Release("a"):
        known.ask(request)
    assert len(known.possible) == 2
