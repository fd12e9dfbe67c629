"""How a batch is sent to the database, how its answer is read, and how a room is read."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, LiteralString

from ... import strict_json
from ..cluster.engine import Batch, Committed, EngineError, Identity, Write
from ..proposals import Lost, Repeated, Result, Version, Versioned, Won
from ..rows import DAMAGE, from_answer, record_from_text, record_to_text, to_answer
from . import tables

_COMMITTED: LiteralString = (
    "SELECT json_build_array(won, first, others, alone, wall, identity) FROM sse_trio.commit"
)
_COMMIT: LiteralString = _COMMITTED + "($1, $2, $3, $4)"
_COMMIT_WITH_SESSIONS: LiteralString = _COMMITTED + "($1, $2, $3, $4, $5)"


@contextlib.contextmanager
def checked() -> Iterator[None]:
    """Report data that no node can have written as damaged."""
    try:
        yield
    except DAMAGE as error:
        # The error's own text may quote stored data.
        raise EngineError(f"the database is damaged ({type(error).__name__})") from None


def committing(batch: Batch) -> tuple[Any, ...]:
    """Return the call of the function `commit`."""
    writes = batch.writes
    answers = [(None, None, None) if w.answer is None else from_answer(w.answer) for w in writes]
    # A column for each part, as the type `writes` of the schema has them.
    columns = {
        "rooms": [w.room for w in writes],
        "counts": [w.expected and w.expected.count for w in writes],
        "writers": [w.expected and w.expected.writer for w in writes],
        "seqs": [w.expected and w.expected.seq for w in writes],
        "records": [w.record and record_to_text(w.record) for w in writes],
        "epochs": [-1 if w.record is None else w.record.epoch for w in writes],
        "touched": [w.record and w.record.touched for w in writes],
        "ids": [name for name, _, _ in answers],
        "ats": [at for _, at, _ in answers],
        "answers": [text for _, _, text in answers],
    }
    about = batch.writer, batch.seq, batch.renews, strict_json.dumps(columns)
    if all(write.sessions is None for write in writes):
        return _COMMIT, *about
    return _COMMIT_WITH_SESSIONS, *about, tables.changes(writes)


def committed(batch: Batch, row: Sequence[Any]) -> Committed:
    """Read the answer of the function `commit`; raises one of `DAMAGE`."""
    won, first, others, is_alone, wall, which = row
    winners = set(won)
    told = others or {}

    def result(write: Write) -> Result:
        if write.room not in winners:
            return _other(told[write.room])
        if write.record is None:
            return Won(None)
        count = first if write.expected is None else write.expected.count + 1
        return Won(Version(count, batch.writer, batch.seq))

    return Committed([result(write) for write in batch.writes], identity(which), wall, is_alone)


def _other(parts: list[Any] | None) -> Result:
    """Read the answer of the function `commit` for a write that has not won."""
    if parts is None or len(parts) == 4:
        return Lost(None if parts is None else versioned(parts))
    *answer, writer, seq = parts
    return Repeated(to_answer(*answer), writer, seq)


def versioned(parts: list[Any]) -> Versioned:
    """Read a room; raises one of `DAMAGE`."""
    count, writer, seq, text = parts
    return Versioned(Version(count, writer, seq), record_from_text(text))


def identity(parts: list[str]) -> Identity:
    """Read which engine it was; raises one of `DAMAGE`."""
    system, timeline = parts
    return Identity(system, int(timeline, 16))
