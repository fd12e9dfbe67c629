"""Every question can be asked of the hub; that it is answered is all that is tested here."""

import math
import os

import attrs
import pytest

from bench import (
    asking,
    check,
    fanout,
    heartbeat,
    install,
    join,
    ledger,
    memory,
    mixed,
    notify,
    servers,
    socketio,
    stall,
    verify,
)
from bench.runner import Question
from bench.scale import TINY
from bench.servers import HUB, Contender, bare_loop

pytestmark = pytest.mark.usefixtures("gcc")


@pytest.mark.parametrize(
    "question", [fanout, notify, join, memory, heartbeat, stall, mixed, check, verify]
)
def test_it_is_answered(question: Question) -> None:
    sample = question.measure(HUB, TINY)
    assert sample.readings
    for reading in sample.readings:
        assert math.isfinite(reading.value)
        assert reading.unit


WITH_SOCKETIO = servers.CONTENDERS["sse_trio+socketio"]


@pytest.mark.parametrize("contender", [HUB, WITH_SOCKETIO, bare_loop()], ids=lambda each: each.name)
def test_a_fan_out_to_three_members(contender: Contender) -> None:
    sample = fanout.measure(contender, TINY)
    values = {reading.name: reading.value for reading in sample.readings}
    assert 0 < values["first, N=3"] <= values["median, N=3"] <= values["last, N=3"]
    # Twice three members.
    assert sample.spectra["arrivals, N=3"].get_total_count() == 6


@pytest.mark.parametrize("contender", ledger.CONTENDERS, ids=lambda each: each.name)
def test_every_ledger_can_be_measured(contender: Contender) -> None:
    with servers.running(contender) as server:
        server.load.do("join", rooms=2, size=2)
        assert len(server.load.do("notify", count=2)["answer"]) == 2


@pytest.mark.parametrize("contender", asking.CONTENDERS[1:], ids=lambda each: each.name)
def test_who_is_asked_beside_the_hub_answers(contender: Contender) -> None:
    if absent := install.absent([contender]):
        pytest.skip(str(absent))
    readings = {each.name: each.value for each in check.measure(contender, TINY).readings}
    assert readings["one connection"] > 0
    assert 0 < readings["64 connections, p50"] <= readings["64 connections, p99"]
    # A notify beside it is the hub's alone.
    assert len(readings) == 6


@pytest.mark.parametrize("contender", socketio.CONTENDERS, ids=lambda each: each.name)
def test_pages_of_socketio_are_measured(contender: Contender) -> None:
    if absent := install.absent([contender]):
        pytest.skip(str(absent))
    sample = socketio.measure(contender, TINY)
    values = {reading.name: reading.value for reading in sample.readings}
    assert values["joins"] > 0
    for transport in ("WebSocket", "polling"):
        first, last = (values[f"{transport}: {which}, N=3"] for which in ("first", "last"))
        assert 0 < first <= last
        assert math.isfinite(values[f"{transport}: an idle member"])
        assert sample.spectra[f"{transport}: arrivals, N=3"].get_total_count() == 6


def test_a_page_on_polling_answers_heartbeats_and_is_told_afterwards() -> None:
    contender = socketio.CONTENDERS[0]
    by_requests = attrs.evolve(contender.dialect, probe="")
    with servers.running(attrs.evolve(contender, dialect=by_requests), heartbeat=0.05) as server:
        first = server.load.do("join", rooms=1, size=3)["first"]
        while not server.load.do("idle", seconds=0.05)["fewest"]:
            pass
        assert len(server.load.do("fanout", room=first)["arrived"]) == 2


def test_the_generator_has_a_cpu_of_its_own() -> None:
    with servers.running(HUB) as server:
        generator = os.sched_getaffinity(server.load.process.pid)
        others = os.sched_getaffinity(server.process.pid)
    assert len(generator) == 1
    assert generator.isdisjoint(others) == (os.cpu_count() != 1)
