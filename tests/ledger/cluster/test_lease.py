"""The arithmetic of leases, and that it needs no clock to be compared with another one."""

import math

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from sse_trio.ledger.cluster.engine import Node
from sse_trio.ledger.cluster.lease import Lease
from sse_trio.ledger.cluster.nodes import Nodes

LENGTH = 12.0

# In a lease: by when all members are to be on hold.
HELD = 11 / 12


@pytest.fixture
def lease() -> Lease:
    return Lease(LENGTH)


def test_a_node_vouches_for_nothing_before_its_first_renewal_has_come_back(lease: Lease) -> None:
    assert lease.is_due(0.0)
    assert not lease.vouches(0.0)
    lease.send(1, 0.0)
    assert not lease.vouches(0.0)
    assert lease.until_lapse(0.0) == 0
    lease.apply(1)
    assert lease.vouches(0.0)
    assert lease.until_lapse(0.0) == 8


def test_it_vouches_for_two_thirds_of_a_lease(lease: Lease) -> None:
    lease.send(1, 100.0)
    lease.apply(1)
    assert lease.vouches(107.99)
    assert not lease.vouches(108.0)
    assert lease.until_lapse(107.0) == 1
    assert lease.until_lapse(109.0) == 0


def test_it_counts_from_when_the_renewal_was_sent(lease: Lease) -> None:
    lease.send(1, 100.0)
    lease.apply(1)
    lease.send(2, 104.0)
    assert lease.age(107.0) == 7
    lease.apply(2)
    assert lease.age(107.0) == 3


def test_a_renewal_is_due_after_a_quarter(lease: Lease) -> None:
    lease.send(1, 100.0)
    lease.apply(1)
    assert not lease.is_due(102.99)
    assert lease.is_due(103.0)


def test_none_is_due_before_the_last_one_has_come_back(lease: Lease) -> None:
    lease.send(5, 100.0)
    lease.apply(4)
    assert not lease.is_due(1000.0)
    assert lease.age(1000.0) == math.inf
    lease.apply(6)
    assert lease.is_due(1000.0)
    lease.apply(7)
    assert lease.age(1000.0) == 900


def test_suspended_it_vouches_only_by_a_renewal_that_is_sent_later(lease: Lease) -> None:
    lease.send(1, 100.0)
    lease.apply(1)
    lease.send(2, 103.0)
    lease.suspend()
    assert not lease.vouches(103.0)
    assert lease.is_due(103.0)
    lease.apply(2)
    assert not lease.vouches(103.0)
    lease.send(3, 104.0)
    assert not lease.is_due(104.0)
    lease.apply(3)
    assert lease.vouches(105.0)
    assert not lease.is_due(105.0)


@pytest.mark.parametrize("slow", [0.99, 1.0, 1.01])
@pytest.mark.parametrize("fast", [0.99, 1.0, 1.01])
def test_who_is_expelled_as_early_as_can_be_has_put_everybody_on_hold(
    lease: Lease, slow: float, fast: float
) -> None:
    others = Nodes(LENGTH)
    lease.send(1, 0.0)
    lease.apply(1)
    for step in range(13 * 64):
        time = step / 64
        others.observe([Node("x", 1, {}, False, "", "")], time * fast)
        if list(others.silent(time * fast, {"x"})):
            assert lease.age(time * slow) >= LENGTH * HELD
            return
    raise AssertionError


class TwoClocks(RuleBasedStateMachine):
    """X renews its lease, Y watches its beats. Nobody knows the time but this machine."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 1000.0
        self.rates = [1.0, 1.0]
        self.offsets = [0.0, 0.0]
        self.lease, self.others = Lease(LENGTH), Nodes(LENGTH)
        self.seq = self.beat = 0
        self.on_the_way: int | None = None
        self.committed = 0

    def clock(self, which: int) -> float:
        return self.offsets[which] + self.time * self.rates[which]

    @initialize(
        rates=st.tuples(*[st.sampled_from([0.99, 1.0, 1.01])] * 2),
        offsets=st.tuples(*[st.floats(-1e4, 1e4)] * 2),
    )
    def set_clocks(self, rates: tuple[float, float], offsets: tuple[float, float]) -> None:
        self.rates, self.offsets = list(rates), list(offsets)

    @rule(steps=st.integers(1, 40), step=st.sampled_from([0.125, 0.5]))
    def wait(self, steps: int, step: float) -> None:
        """Let time pass, while Y looks again and again."""
        for _ in range(steps):
            self.time += step
            self.look()
            self.check()

    @rule()
    @precondition(lambda self: self.on_the_way is None and self.lease.is_due(self.clock(0)))
    def send(self) -> None:
        self.seq += 1
        self.lease.send(self.seq, self.clock(0))
        self.on_the_way = self.seq

    @rule()
    @precondition(lambda self: self.on_the_way is not None)
    def commit(self) -> None:
        self.beat += 1
        assert self.on_the_way is not None
        self.committed, self.on_the_way = self.on_the_way, None

    @rule()
    def apply(self) -> None:
        self.lease.apply(self.committed)

    @rule()
    def suspend(self) -> None:
        self.lease.suspend()

    @rule()
    def look(self) -> None:
        self.others.observe([Node("x", self.beat, {}, False, "", "")], self.clock(1))

    def check(self) -> None:
        """Whoever may be expelled has stopped before."""
        for _, beat in self.others.silent(self.clock(1), {"x"}):
            if beat == self.beat:
                assert not self.lease.vouches(self.clock(0))
                assert self.lease.age(self.clock(0)) >= LENGTH * HELD


TestTwoClocks = TwoClocks.TestCase
