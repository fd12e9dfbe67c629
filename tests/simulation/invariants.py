"""What must be true of every history of a cluster: fourteen rules, each a function over a history.

Each yields what is wrong, in words; nothing if the rule was kept.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator

from .history import (
    Called,
    Committed,
    Drained,
    Failed,
    Fault,
    History,
    Killed,
    Notify,
    Registered,
    Removed,
    Reported,
    Said,
    Settled,
    ended_in,
    named_in,
    node_of,
)

Rule = Callable[[History], Iterator[str]]

ADMITTING = ("joined", "beat", "yes")

# In leases, and seconds beside: how long a notify may take while its node reaches the database.
PATIENCE, MORE = 1.2, 2.0


def nobody_outlives_an_answer(history: History) -> Iterator[str]:
    """1: When a notify is answered, all that it ended are told, or on hold; and never come back."""
    for notify in history.accepted():
        committed = history.record_of(notify)
        if committed is None:
            yield f"{notify.called} was answered, and is not in the database"
            continue
        since, record = committed
        room, ended = notify.called.room, ended_in(record)
        for said in history.joined(notify.answered_at):
            is_over = said.room == room and said.session in ended
            is_over = is_over and not _is_named_since(history, said, since, notify.answered_at)
            if is_over and said.node in notify.answered.vouching:
                yield f"{said} was joined when {notify.answered} was given"
        for at, said in history.of(Said):
            is_later = at > notify.answered_at and said.what in ADMITTING
            is_over = is_later and said.room == room and said.session in ended
            if is_over and not _is_named_since(history, said, since, at):
                yield f"{said} had ended by {notify.answered}"


def _is_named_since(history: History, said: Said, since: int, at: int) -> bool:
    """Whether a session was named between two places of the history."""
    return any(
        record is not None
        and (login := record.logins.get(said.session)) is not None
        and login.holds
        for place, record in history.records(said.room)
        if since < place < at
    )


def whoever_is_told_has_ended(history: History) -> Iterator[str]:
    """2: Whoever is told to log out has ended in the database."""
    for at, said in history.of(Said):
        if said.what != "terminate":
            continue
        for place, record in history.records(said.room):
            if place > at or record is None:
                continue
            login = record.logins.get(said.session)
            proof = -1 if said.proof is None else said.proof
            below = max(record.floor, record.forgotten + 1)
            if (login and login.ended is not None) or (login is None and proof < below):
                break
        else:
            yield f"{said} has not ended"


def each_sender_stands(history: History) -> Iterator[str]:
    """3: A notify's sender stands at the epoch that it was answered with."""
    for notify in history.accepted():
        sender, epoch = notify.called.sender, notify.answered.epoch
        committed = history.record_of(notify)
        if committed is None or sender is None:
            continue
        login = committed[1].logins.get(sender)
        if login is None or not login.holds or login.epoch != epoch:
            yield f"the sender of {notify.called} does not stand at {epoch}"


def epochs_grow(history: History) -> Iterator[str]:
    """3, too: The epochs of a room's notifies are distinct, and grow with time."""
    lost = history.lost()
    taken: list[tuple[Notify, int]] = []
    for notify in history.accepted():
        called, committed = notify.called, history.record_of(notify)
        if committed is None or notify.answered.epoch is None:
            continue
        event = history.events[committed[0]]
        assert isinstance(event, Committed)
        is_repetition = called.id is not None and committed[0] < notify.called_at
        if is_repetition or (event.writer, event.seq) in lost:
            continue
        for other, epoch in taken:
            is_same = called.id is not None and called.id == other.called.id
            if is_same or other.called.room != called.room:
                continue
            if epoch == notify.answered.epoch:
                yield f"{called} and {other.called} have one epoch"
            elif other.answered_at < notify.called_at and epoch > notify.answered.epoch:
                yield f"{called} came after {other.called}, but its epoch does not"
        taken.append((notify, notify.answered.epoch))


def an_id_has_one_effect(history: History) -> Iterator[str]:
    """4: An id has one effect and one epoch, whatever node it was sent to."""
    epochs: dict[str, int | None] = {}
    for notify in history.accepted():
        if notify.called.id is not None:
            epoch = epochs.setdefault(notify.called.id, notify.answered.epoch)
            if epoch != notify.answered.epoch:
                yield f"{notify.called} was answered with {notify.answered.epoch} and {epoch}"
    lost = history.lost()
    seen: set[str] = set()
    for _, event in history.of(Committed):
        if (event.writer, event.seq) not in lost:
            yield from (f"{each} has had two effects" for each in event.ids if each in seen)
            seen.update(event.ids)


def places_are_kept(history: History) -> Iterator[str]:
    """5: No more stand than there are places; who was refused met a full room."""
    for room in history.rooms():
        for _, record in history.records(room):
            if record is not None and len(named_in(record)) > _places(history, record.limit):
                yield f"more stand in {room} than there are places: {record}"
    for notify in history.notifies():
        if not notify.answered.refused:
            continue
        called = notify.called
        places = [
            at for at, _ in history.records(called.room)
            if notify.called_at < at < notify.answered_at
        ]  # fmt: skip
        for at in (notify.called_at, *(place + 1 for place in places)):
            record = history.record_at(called.room, at)
            others = named_in(record).keys() - {called.sender} if record else set()
            if record and len(others) >= _places(history, record.limit):
                break
        else:
            yield f"{called} was refused, and the room was never full"


def _places(history: History, limit: int | None) -> int:
    return history.max_sessions if limit is None else limit


def what_is_reported_is_applied(history: History) -> Iterator[str]:
    """6: A node reports an entry only when it has carried out that one, and all before."""
    for at, report in history.of(Reported):
        mine = [said for said in history.joined(at) if said.node == node_of(report.name)]
        for place, event in history.of(Committed):
            is_reported = event.seq <= report.applied.get(event.writer, 0)
            if place > at or event.writer == report.name or not is_reported:
                continue
            for said in mine:
                record = event.records.get(said.room)
                is_over = record is not None and said.session in ended_in(record)
                if is_over and not _is_named_since(history, said, place, at):
                    yield f"{said} is joined, though {event.writer} {event.seq} is applied"


def who_is_removed_is_silent(history: History) -> Iterator[str]:
    """7: Once a node is removed from the register, it vouches for nobody, and writes nothing."""
    registered: defaultdict[str, set[str]] = defaultdict(set)
    for event in history.events:
        if isinstance(event, Committed):
            is_there = event.writer in registered[node_of(event.writer)]
            if not is_there:
                yield f"{event} is of a node that is not registered"
        elif isinstance(event, Registered):
            registered[node_of(event.name)].add(event.name)
        elif isinstance(event, Removed):
            registered[node_of(event.name)].discard(event.name)
        elif isinstance(event, Said) and event.what in ADMITTING and not registered[event.node]:
            yield f"{event}, and the node is not registered"


def answers_come_in_time(history: History) -> Iterator[str]:
    """8: While the database is reached, a notify is answered."""
    gone: dict[str, float] = {}
    for event in history.events:
        if isinstance(event, Killed | Drained):
            gone.setdefault(event.node, event.time)
    answered = {one.called.number: one.answered.time for one in history.notifies()}
    failed = {event.number: event for _, event in history.of(Failed)}
    last = history.events[-1].time if history.events else 0.0
    for _, called in history.of(Called):
        until = called.time + history.lease * PATIENCE + MORE
        is_gone = gone.get(called.node, until) < until
        if is_gone or until > last or _is_hindered(history, called, until):
            continue
        if failure := failed.get(called.number):
            if not failure.is_conflict:
                yield f"{called} failed, and nothing was in its way"
        elif answered.get(called.number, until + 1) > until:
            yield f"{called} was not answered in time"


def _is_hindered(history: History, called: Called, until: float) -> bool:
    return any(
        fault.node in (None, called.node) and fault.time <= until and fault.until >= called.time
        for _, fault in history.of(Fault)
    )


def all_agree_in_the_end(history: History) -> Iterator[str]:
    """8, too: when all faults are over, what is cached is true, and nobody is on hold."""
    for at, settled in history.of(Settled):
        for node, rooms in settled.cached.items():
            for room, version in rooms.items():
                if settled.stored.get(room) != version:
                    yield f"{node} has not the newest of {room}"
        for said in history.members(at).values():
            if said.what == "hold":
                yield f"{said} is still on hold"


def rooms_with_members_stay(history: History) -> Iterator[str]:
    """9: A room that has members anywhere is never forgotten."""
    for at, event in history.of(Committed):
        gone = {room for room, record in event.records.items() if record is None}
        for said in history.joined(at):
            if said.room in gone:
                yield f"{said.room} was forgotten, and had {said}"


def joined_is_remembered(history: History) -> Iterator[str]:
    """10: Who is told that it has joined is known to the database, or can prove its login."""
    for at, said in history.of(Said):
        if said.what == "joined" and said.proof is None:
            known = (record for place, record in history.records(said.room) if place < at)
            if not any(record and said.session in record.logins for record in known):
                yield f"{said} is not remembered"


def a_drain_loses_nothing(history: History) -> Iterator[str]:
    """11: What a node answered before it left is kept; and its members go before it does."""
    drained = {event.node: at for at, event in history.of(Drained)}
    lost = history.lost()
    for notify in history.accepted():
        committed = history.record_of(notify)
        if notify.called.node in drained and not lost and committed is None:
            yield f"{notify.called} was answered, and is lost"
    names = {node_of(event.name): event.name for _, event in history.of(Registered)}
    for at, removed in history.of(Removed):
        node = node_of(removed.name)
        is_last = names.get(node) == removed.name and not removed.was_expelled
        if is_last and drained.get(node, at) < at:
            for said in history.joined(at):
                if said.node == node:
                    yield f"{said} is joined, and its node has left"


def what_is_stored_stands(history: History) -> Iterator[str]:
    """12: After each transaction, a session is in the store if and only if its room lets it.

    Where a failover has lost the row of a login with its notify, the nodes say again that the login
    stands, and have no row to write: whoever it is has to log in again.
    """
    lost = min(history.lost().values(), default=len(history.events))
    for at, event in history.of(Committed):
        for room, stored in event.stored.items():
            record = event.records.get(room)
            standing = set(named_in(record)) if record else set()
            if stored != standing and (at < lost or stored - standing):
                yield f"{sorted(stored ^ standing)} in {room} is stored or stands, and not both"


def what_was_lost_is_said_again(history: History) -> Iterator[str]:
    """13: What a failover has lost comes back, unless nobody is left who knew it."""
    lost = history.lost()
    if not lost or not any(True for _ in history.of(Settled)):
        return
    first = min(lost.values())
    knew = {node_of(event.name) for at, event in history.of(Registered) if at < first}
    if knew <= {event.node for _, event in history.of(Killed)}:
        return
    for notify in history.accepted():
        committed = history.record_of(notify)
        if committed is None or notify.answered_at > first:
            continue
        event = history.events[committed[0]]
        assert isinstance(event, Committed)
        if (event.writer, event.seq) not in lost:
            continue
        final = history.record_at(notify.called.room, len(history.events))
        for session in ended_in(committed[1]):
            login = final.logins.get(session) if final else None
            if login is None or (login.ended is None and login.epoch <= committed[1].epoch):
                yield f"{session} had ended by {notify.called}, which was lost"


def verdicts_agree(history: History) -> Iterator[str]:
    """14: Whoever judges a login by the same standing comes to the same verdict."""
    verdicts: dict[object, Said] = {}
    for _, said in history.of(Said):
        if said.what in ("yes", "no") and said.version is not None:
            key = said.room, said.session, said.proof, said.version
            if verdicts.setdefault(key, said).what != said.what:
                yield f"{said}, but {verdicts[key]}"


def who_cannot_hold_is_closed(history: History) -> Iterator[str]:
    """1, too: only who understands `hold` is told it."""
    for _, said in history.of(Said):
        if said.what == "hold" and not said.understands_hold:
            yield f"{said} does not understand that"


RULES: tuple[Rule, ...] = (
    nobody_outlives_an_answer,
    whoever_is_told_has_ended,
    each_sender_stands,
    epochs_grow,
    an_id_has_one_effect,
    places_are_kept,
    what_is_reported_is_applied,
    who_is_removed_is_silent,
    answers_come_in_time,
    all_agree_in_the_end,
    rooms_with_members_stay,
    joined_is_remembered,
    a_drain_loses_nothing,
    what_is_stored_stands,
    what_was_lost_is_said_again,
    verdicts_agree,
    who_cannot_hold_is_closed,
)


def violations(history: History) -> Iterator[str]:
    """Yield everything that is wrong, with the rule that says so."""
    for rule in RULES:
        for wrong in rule(history):
            yield f"{rule.__name__}: {wrong}"
