"""`sse-trio top`: what a frame shows, and what becomes of it while the server is away."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from sse_trio.cli import main
from sse_trio.cli.frame import WINDOW, Rates, lines_left, read_counts
from sse_trio.cli.rest import Refused
from sse_trio.cli.screen import Screen, show
from sse_trio.core.questions import MAX_DECISIONS
from sse_trio.errors import SseTrioError

from ..processes import Run, Serve
from ..support import KEY
from .live import ORDERS, Live, Told, fake

METRICS: dict[str, Any] = {
    "members": {"type": "gauge", "about": "Living members", "value": 1234},
    "lease_age_seconds": {"type": "gauge", "about": "A time", "value": None},
    "feed_lag_seconds": {"type": "gauge", "about": "A time", "value": 0.125},
    "notifies": {"type": "counter", "about": "Notifies", "values": {"accepted": 7, "limit": 1}},
    "fan_out_seconds": {"type": "histogram", "about": "A time", "count": 4, "sum": 0.01},
}

DECISIONS = [
    {
        "time": "2027-01-15T08:00:00.125Z",
        "event": "began",
        "room": f"u1 [bold]{ORDERS}",
        "epoch": 8,
        "reason": "login",
        "by": "10.0.0.7",
        "session": "ad328846aa18b327",
        "about": {"device": "Firefox"},
    },
    {"time": "2027-01-15T07:00:00.000Z", "event": "wrong key", "by": "192.0.2.9"},
]


class Answers:
    """A server: gives what `uptime`, `metrics` and `decisions` are, or raises `trouble`."""

    def __init__(self) -> None:
        self.uptime = 90.0
        self.metrics = METRICS
        self.decisions: Any = DECISIONS
        self.trouble: Exception | None = None
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, path: str, members: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((path, members))
        if self.trouble is not None:
            raise self.trouble
        if path == "/statistics":
            return {"uptime": self.uptime, "metrics": self.metrics}
        return {"decisions": self.decisions}


def text(screen: Screen, width: int = 160, height: int | None = None) -> str:
    """A frame as it is printed where there are no colours."""
    file = io.StringIO()
    Console(file=file, width=width).print(screen.look(height))
    return file.getvalue()


def test_a_frame() -> None:
    answers = Answers()
    shown = text(Screen("http://hub", answers))
    assert answers.asked == [("/statistics", {}), ("/decisions", {"limit": MAX_DECISIONS})]
    head, state, *rest = shown.splitlines()
    assert head.split() == ["sse-trio", "top", "up", "1.5", "min", "http://hub"]
    assert state.strip() == ""
    together = "\n".join(rest)
    for expected in (
        r"members +1,234 ",
        r"lease age seconds +- ",
        r"feed lag seconds +0\.12 ",
        r"notifies +8 +- +accepted 7, limit 1",
        r"fan out seconds +2\.50 ms",
        r"\d\d:00:00 +began +u1 \[bold\].{14}… +login +ad328846aa18b327 +10\.0\.0\.7",
        r'\{"device":"Firefox"\}',
        r"\d\d:00:00 +wrong key +192\.0\.2\.9",
    ):
        assert re.search(expected, together), expected
    # What users can name gives the terminal no orders, and is no markup.
    assert all(line.isprintable() for line in shown.splitlines())


def test_a_frame_fits_into_its_terminal() -> None:
    answers = Answers()
    answers.decisions = DECISIONS * 50
    screen = Screen(f"http://{'h' * 80}", answers)
    screen.look()
    for answers.trouble in (None, SseTrioError("why " * 30)):
        for height in (12, 24, 60):
            shown = text(screen, 80, height).splitlines()
            assert len(shown) == height
            assert all(len(line) <= 80 for line in shown)
    # There is always room for one.
    assert lines_left(read_counts({"uptime": 1, "metrics": METRICS}), 1) == 1


def counts(uptime: float, number: int) -> Any:
    metrics = {"joins": {"type": "counter", "about": "", "values": {"joined": number}}}
    return read_counts({"uptime": uptime, "metrics": metrics})


def test_rates_are_of_the_last_seconds() -> None:
    rates = Rates()
    rates.add(counts(100, 5))
    assert rates.of("joins") is None
    rates.add(counts(102, 9))
    assert rates.of("joins") == 2
    rates.add(counts(100 + WINDOW, 25))
    assert rates.of("joins") == 20 / WINDOW
    rates.add(counts(100.5 + WINDOW, 25))
    assert rates.of("joins") == pytest.approx(16 / (WINDOW - 1.5))
    # The server has been started again.
    rates.add(counts(1, 3))
    assert rates.of("joins") is None
    rates.add(counts(2, 4))
    assert rates.of("joins") == 1


def test_a_metric_that_is_new() -> None:
    rates = Rates()
    rates.add(read_counts({"uptime": 1, "metrics": {}}))
    rates.add(counts(2, 4))
    assert rates.of("joins") == 4


def test_a_server_that_is_away_and_comes_back() -> None:
    answers = Answers()
    screen = Screen("http://hub", answers)
    assert "AWAY" not in text(screen)
    for trouble in (
        SseTrioError(f"cannot ask http://hub: refused{ORDERS}"),
        Refused("cannot ask http://hub: 503 the server is still reading", 503),
    ):
        answers.trouble = trouble
        shown = text(screen)
        assert "AWAY: cannot ask http://hub: " in shown
        assert re.search(r"members +1,234", shown)
        assert "ad328846aa18b327" in shown
        assert all(line.isprintable() for line in shown.splitlines())
    answers.trouble = None
    assert "AWAY" not in text(screen)


@pytest.mark.parametrize("status", [401, 404, 429])
def test_a_refusal_is_the_end(status: int) -> None:
    """Not to count as one wrong key after the other."""
    answers = Answers()
    screen = Screen("http://hub", answers)
    text(screen)
    answers.trouble = Refused("no", status)
    with pytest.raises(Refused):
        screen.look()


@pytest.mark.parametrize("trouble", [SseTrioError("away"), Refused("loading", 503)])
def test_a_server_that_has_never_answered_is_an_error(trouble: SseTrioError) -> None:
    answers = Answers()
    answers.trouble = trouble
    with pytest.raises(SseTrioError):
        Screen("http://hub", answers).look()


@pytest.mark.parametrize(
    ("uptime", "metrics", "decisions"),
    [
        ("long", {}, []),
        (1, [], []),
        (1, {"x": 7}, []),
        (1, {"x": {"type": "gauge"}}, []),
        (1, {"x": {"type": "counter", "values": {"y": "z"}}}, []),
        (1, {"x": {"type": "gauge", "value": float("inf")}}, []),
        (1, {"x": {"type": "histogram", "count": 1, "sum": float("nan")}}, []),
        (1, {}, 7),
        (1, {}, [{}]),
        (1, {}, [{"time": "yesterday"}]),
    ],
)
def test_an_answer_of_something_else(uptime: Any, metrics: Any, decisions: Any) -> None:
    answers = Answers()
    answers.uptime, answers.metrics, answers.decisions = uptime, metrics, decisions
    with pytest.raises(SseTrioError, match="the server's answer is not of the expected form"):
        Screen("http://hub", answers).look()


def test_frames_are_shown_until_ctrl_c() -> None:
    answers = Answers()
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=24)
    waits = iter(range(3))

    def wait() -> None:
        if next(waits) == 2:
            raise KeyboardInterrupt
        answers.uptime += 2

    show(Screen("http://hub", answers), console, wait)
    assert len(answers.asked) == 2 * 3
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    # The terminal is left as it was: its other screen, and its cursor.
    assert shown.count("\x1b[?1049h") == shown.count("\x1b[?1049l") == 1
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_once(server: Live, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--url", server.http]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert KEY not in out
    assert re.search(r"members +0", out)


def test_without_a_terminal(server: Live, told: Told) -> None:
    assert main(["top", "--url", server.http]) == 2
    assert told() == "standard output is not a terminal: --once prints a single frame"


def test_a_wrong_key(server: Live, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSE_TRIO_AUTHKEY", "wrong")
    assert main(["top", "--once", "--url", server.http]) == 1
    assert told() == f"cannot ask {server.http}: 401 a valid key is required"
    assert server.hub.statistics().refused_keys == {"unauthorized": 1}


def test_an_older_server(told: Told) -> None:
    problem = json.dumps({"detail": "there is nothing here"}).encode()
    with fake(b"HTTP/1.1 404 Not Found\r\n\r\n" + problem) as (url, _):
        assert main(["top", "--once", "--url", url]) == 1
        assert told() == f"cannot ask {url}: 404 there is nothing here"


@pytest.mark.parametrize("interval", ["0.4", "3601", "nan", "often"])
def test_an_interval_that_is_none(interval: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["top", "--interval", interval])
    assert done.value.code == 2
    assert "--interval" in capsys.readouterr().err


@pytest.mark.slow
async def test_as_a_process(run: Run, serve: Serve, tmp_path: Path) -> None:
    """At a Unix socket, and with a key that cannot be in a header as it is."""
    from ..processes import KEY as DIFFICULT

    await serve(internal=f"unix:{tmp_path}/api.sock")
    environment = {"SSE_TRIO_URL": f"unix:{tmp_path}/api.sock", "SSE_TRIO_KEY": DIFFICULT}
    notify = await run("notify", "--room", "u1", "--sender", "s1", **environment)
    assert await notify.ends() == 0
    top = await run("top", "--once", **environment)
    assert await top.ends() == 0, top.err.text
    assert re.search(r"notifies +1 +- +accepted 1", top.out.text)
    assert re.search(r"\d\d:\d\d:\d\d +began +u1 +login +[0-9a-f]{16} +unix", top.out.text)
    # Without rich.
    (tmp_path / "rich").mkdir()
    (tmp_path / "rich" / "__init__.py").write_text("raise ModuleNotFoundError('rich')")
    without = await run("top", "--once", PYTHONPATH=str(tmp_path), **environment)
    assert await without.ends() == 1
    assert without.err.text == (
        "sse-trio: `sse-trio top` needs rich: python -m pip install 'sse-trio[top]', or '.[top]' "
        "in a checkout\n"
    )
