"""Merging: one standing, made from two of the same room that differ.

A database that lost commits has an older standing of a room than the nodes that had carried out
those commits; and a different one, if there were further notifies since. Each node then writes both
standings merged, so that no ended session becomes active again. The rule is one line:

    what has ended in either has ended, unless a later epoch names it.

Then the limit is applied, as at a notify. The newer of the two is the one with the later epoch.
With the same epoch, it is the one that was notified later. If both have named different senders in
one epoch, their tickets are alike: then the newer sender gets the next epoch.
"""

import json
from collections.abc import Iterable
from typing import Any

import attrs

from .logins import RELEASED, Login, Termination
from .standing import MAX_TERMINATIONS, Standing


def merge(a: Standing, b: Standing) -> Standing:
    """Merge two standings of a room; neither is changed.

    It does not matter which comes first, and `merge(a, merge(a, b)) == merge(a, b)` as long as
    nothing had to be deleted. Of three, it can matter which two are merged first: for which of
    several senders of one epoch is active, for claims, and for the words of a termination. But a
    session that was active in none of them is not active in the result.
    """
    old, new = sorted((a, b), key=_newness)
    is_one_notify = (old.epoch, old.notified) == (new.epoch, new.notified)
    if _is_contested(old, new):
        new = _announced_again(new)
        is_one_notify = False
    # Of the ended sessions, those that only the older standing knows are deleted first.
    sessions = dict.fromkeys([*(one for one in old.logins if one not in new.logins), *new.logins])
    merged = attrs.evolve(
        new,
        floor=max(old.floor, new.floor),
        logins={session: _login(session, old, new) for session in sessions},
        terminations=_terminations(old.terminations, new.terminations),
        touched=max(old.touched, new.touched),
        forgotten=max(old.forgotten, new.forgotten),
    )
    # A session that joined after a notify was not compared with it.
    if not is_one_notify and not merged.standing_sessions() <= new.standing_sessions():
        _limit(merged)
    merged.forget()
    return merged


def _newness(standing: Standing) -> tuple[Any, ...]:
    """Return what is greater for the newer standing, and equal for two that are the same."""
    return (
        standing.epoch,
        standing.notified,
        standing.touched,
        sorted(_senders(standing)),
        standing.limit or 0,
        list(standing.logins),
    )


def _latest(standing: Standing) -> set[str]:
    """Return the sessions whose login is of the present epoch."""
    return {
        session
        for session, login in standing.logins.items()
        if login.named and login.epoch == standing.epoch
    }


def _senders(standing: Standing) -> set[str]:
    """Return the session that the last notify has named: one, or none.

    There is more than one only if two were named in the same instant.
    """
    return {one for one in _latest(standing) if standing.logins[one].since == standing.notified}


def _is_contested(old: Standing, new: Standing) -> bool:
    """Whether two different notifies may have had the present epoch."""
    if old.epoch != new.epoch:
        return False
    if old.notified == new.notified:
        return _senders(old) != _senders(new)
    # If a ticket has raised a room's epoch, the room does not know the time of that notify.
    return _senders(old).isdisjoint(_latest(new)) and _senders(new).isdisjoint(_latest(old))


def _announced_again(standing: Standing) -> Standing:
    """Return the standing as if its last notify had had the next epoch."""
    epoch = standing.epoch + 1
    senders = _senders(standing)
    return attrs.evolve(
        standing,
        epoch=epoch,
        # If every place was taken, it is below the sender.
        floor=epoch if standing.floor == standing.epoch else standing.floor,
        logins={
            session: attrs.evolve(login, epoch=epoch)
            if session in senders and login.ended is None
            else login
            for session, login in standing.logins.items()
        },
        terminations=[
            *standing.terminations,
            *(attrs.evolve(last, epoch=epoch) for last in standing.terminations[-1:]),
        ],
    )


def _login(session: str, old: Standing, new: Standing) -> Login:
    """Return the login of a session that one of the two knows, or both."""
    known = [side.logins[session] for side in (old, new) if session in side.logins]
    login = max(known, key=_precedence)
    login = attrs.evolve(login, seen=max(one.seen for one in known))
    if login.ended is None and any(_bars(side, session, login) for side in (old, new)):
        ended = min(login.epoch + 1, new.epoch)
        return attrs.evolve(login, ended=ended, until=max(old.touched, new.touched))
    return login


def _bars(standing: Standing, session: str, login: Login) -> bool:
    """Whether a login that is active in the other standing only has ended in this one."""
    known = standing.logins.get(session)
    if login.named:
        return not (known and known.holds) and login.epoch < standing.ended_below
    # It proves no epoch, so it has not ended when logins were deleted.
    return known is None and login.epoch < standing.floor


def _precedence(login: Login) -> tuple[Any, ...]:
    """Return what is greater for the login that counts, of two of one session.

    A session that has only joined counts least. Otherwise the later epoch counts: that of the
    login, or of what ended it. With the same epoch, the end counts.
    """
    ended = RELEASED if login.ended is None else login.ended
    return (
        not login.is_claim,
        max(login.epoch, ended),
        login.ended is not None,
        login.epoch,
        -ended,
        login.since,
        login.named,
        _text(login.about),
    )


def _terminations(old: Iterable[Termination], new: Iterable[Termination]) -> list[Termination]:
    """Return the newest of both, one of each epoch."""

    def order(one: Termination) -> tuple[Any, ...]:
        return one.epoch, one.reason, _text(one.detail)

    by_epoch = {one.epoch: one for one in sorted([*old, *new], key=order)}
    return list(by_epoch.values())[-MAX_TERMINATIONS:]


def _text(words: dict[str, Any] | None) -> str:
    return json.dumps(words)


def _limit(standing: Standing) -> None:
    """End all sessions except the newest, and raise the floor if every place is taken."""
    remaining = [item for item in standing.logins.items() if item[1].ended is None]
    # As at a notify: a session that has only joined is older than every named one.
    remaining.sort(key=lambda item: (item[1].named, item[1].epoch))
    for session, login in remaining[: -standing.places]:
        standing.logins[session] = attrs.evolve(login, ended=standing.epoch, until=standing.touched)
    held = [login.epoch for _, login in remaining[-standing.places :] if login.named]
    if len(held) == standing.places:
        standing.floor = max(standing.floor, *held[:1])
