"""Records as text: nodes of an older version read them too, and their records are read."""

import json

from sse_trio.core.logins import Login, Record
from sse_trio.ledger.rows import record_from_text, record_to_text

ENDED = Login(1, 1.25, 2.5, ended=2, until=3.5)
RECORD = Record(2, 2, {"s1": ENDED, "s2": Login(2, 1.25, 2.5)}, (), 5.0, 4.0)


def test_an_older_node_reads_six_parts_of_each_login() -> None:
    found = json.loads(record_to_text(RECORD))
    assert found["logins"] == {
        "s1": [1, 1.25, 2.5, True, 2, None],
        "s2": [2, 1.25, 2.5, True, None, None],
    }
    assert found["until"] == {"s1": 3.5}


def test_what_an_older_node_has_written_is_read() -> None:
    found = json.loads(record_to_text(RECORD))
    del found["until"]
    record = record_from_text(json.dumps(found))
    assert record == RECORD
    assert [login.until for login in record.logins.values()] == [None, None]
