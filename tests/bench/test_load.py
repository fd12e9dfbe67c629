"""The load generator measures, and voids what is not right, whatever it is."""

import sys
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import pytest

from bench import load, servers
from bench.load import PLAIN, POLLING, Dialect, Load, NoCompiler, Void
from bench.servers import HUB, Contender
from sse_trio.core.messages import Joined, Terminate, encode

pytestmark = pytest.mark.usefixtures("gcc")

MEMBERS = 3


def faulty(fault: str) -> Contender:
    def command(port: int, _: int, __: Path, ___: float) -> list[str]:
        return [sys.executable, "-m", "tests.bench.faulty", str(port), fault]

    return Contender(fault, command)


def fan_out(fault: str, dialect: Dialect = PLAIN) -> dict[str, list[float]]:
    with (
        servers.running(faulty(fault)) as server,
        Load.running(server.port, server.port, dialect, patience=0.2) as impatient,
    ):
        joined = impatient.do("join", rooms=1, size=MEMBERS + 1)
        return impatient.do("fanout", room=joined["first"])


def test_what_is_right_counts() -> None:
    found = fan_out("none")
    assert len(found["arrived"]) == MEMBERS
    assert min(found["arrived"]) > 0


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        ("missing", r"1 missing; first: of r0 2 members were told, and 3 were due"),
        ("duplicate", r"1 duplicate; first: s[123] got twice: "),
        ("altered", r"1 missing, 1 wrong; first: s[123], epoch 1, got: .*'epoch':2"),
        ("stray", r"1 wrong; first: s0, epoch 0, got: "),
        ("lost", r"1 missing, 1 lost; first: member s[123] lost its connection"),
        ("count", r"1 wrong; first: wanted 200 and .*'terminated':3, got: .*'terminated':4"),
        ("silent", r"1 unanswered; first: no answer to a notify of r0"),
        (
            "stranger",
            r"4 missing, 4 wrong; first: s[0-3] was to get .*'s[0-3]', and got: .*'another'",
        ),
        ("early", r"4 missing, 4 wrong; first: s[0-3] was to get .*, and got: .*'heartbeat'"),
    ],
)
def test_what_is_wrong_voids(fault: str, why: str) -> None:
    with pytest.raises(Void, match=why):
        fan_out(fault)


def test_a_connection_may_beat_before_the_join_where_that_is_answered() -> None:
    answered = attrs.evolve(PLAIN, beat_reply="3")
    assert len(fan_out("early", answered)["arrived"]) == MEMBERS


def test_what_comes_last_has_to_come() -> None:
    with pytest.raises(Void, match=r"3 missing; first: of r0 0 members were told, and 3 were due"):
        fan_out("none", attrs.evolve(PLAIN, last="41"))


def test_a_request_that_is_refused_voids() -> None:
    # This hub has nothing for clients of Socket.IO.
    with (
        servers.running(attrs.evolve(HUB, dialect=POLLING)) as server,
        pytest.raises(Void, match=r"1 missing, 1 wrong; first: s0 was answered: HTTP/1.1 404 .*"),
    ):
        server.load.do("join", rooms=1, size=1)


QUESTION = 'POST /notify HTTP/1.1$LContent-Length: 24$L$L{"room":"r","sender":""}'


def asked(fault: str, **due: str) -> dict[str, list[float]]:
    dialect = attrs.evolve(PLAIN, question=QUESTION, **due)
    with (
        servers.running(faulty(fault)) as server,
        Load.running(server.port, server.port, dialect, patience=0.2) as impatient,
    ):
        return impatient.do("ask", count=1)


def test_a_question_is_answered_as_it_is_due() -> None:
    assert len(asked("none", verdict='{"room":"r","epoch":1')["answer"]) == 1


@pytest.mark.parametrize(
    ("fault", "due", "why"),
    [
        (
            "none",
            {"verdict": '{"room":"s"'},
            r"1 wrong; first: wanted HTTP/1.1 200  and .*'s'",
        ),
        ("none", {"status": "HTTP/1.1 204 "}, r"1 wrong; first: wanted HTTP/1.1 204  and "),
        ("silent", {}, r"1 unanswered; first: no answer to a question"),
    ],
)
def test_a_question_with_another_answer_voids(fault: str, due: dict[str, str], why: str) -> None:
    with pytest.raises(Void, match=why):
        asked(fault, **due)


@pytest.mark.parametrize("said", ["", '{"command":"churn"'])
def test_a_generator_that_ends_voids(said: str) -> None:
    process: Any = SimpleNamespace(stdin=StringIO(), stdout=StringIO(said))
    with pytest.raises(Void, match=r"^the load generator ended during churn$"):
        Load(process).do("churn")


def test_an_unknown_command_voids() -> None:
    with (
        servers.running(faulty("none")) as server,
        pytest.raises(Void, match="there is no command like dance"),
    ):
        server.load.do("dance")


def test_a_server_that_does_not_start_voids() -> None:
    contender = Contender("nobody", lambda *_: [sys.executable, "-c", "raise SystemExit('no')"])
    with pytest.raises(Void, match="nobody did not start: no"), servers.running(contender):
        pass


def test_the_templates_are_the_hubs_own_messages() -> None:
    filled = PLAIN.terminate.replace("$R", "r1").replace("$E", "7")
    assert filled == encode(Terminate("r1", 7, "login", None))
    filled = PLAIN.joined.replace("$R", "r1").replace("$S", "s1")
    assert encode(Joined("r1", "s1", 0, 25)).startswith(filled)


def test_without_a_compiler_there_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoCompiler, match=r"^the benchmarks need gcc, .*: apt-get install gcc$"):
        load.compiled(load.HERE / "load.c")
