"""The store of sessions and keys: in memory, and in the ledger's file."""

import os
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from sse_trio.auth.cookies import User
from sse_trio.auth.keys import Key, Keys
from sse_trio.auth.sessions import SOME, MemorySessions, Sessions, SqliteSessions
from sse_trio.auth.settings import Kind
from sse_trio.auth.verdict import Session
from sse_trio.core.logins import Record
from sse_trio.core.tokens import LEEWAY
from sse_trio.errors import LedgerError, LocalProtocolError
from sse_trio.hub.recognition import View
from sse_trio.ledger import SqliteLedger

from .. import strategies
from ..ledger.fakes import propose
from .fixtures import KEYS, short

Open = Callable[[], AbstractAsyncContextManager[Sessions]]


def session(id: str, user: str = "7", **more: Any) -> Session:
    made = Session(
        id=id,
        user=User(user, "Ada"),
        provider="Users",
        room=user,
        kind=Kind.SESSION,
        app_type="web",
        epoch=1,
        created=100.0,
        seen=100.0,
        kid="k1",
    )
    return attrs.evolve(made, **more)


@pytest.fixture(params=["memory", "sqlite"])
def opens(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """``async with opens() as store``: what it keeps is there when it is opened again."""
    memory = MemorySessions()

    @asynccontextmanager
    async def opens() -> AsyncIterator[Sessions]:
        if request.param == "memory":
            yield memory
        else:
            async with SqliteLedger.open(tmp_path / "test.db") as ledger:
                yield SqliteSessions(ledger)

    return opens


async def test_what_is_kept_is_found(opens: Open) -> None:
    kept = session(
        "s1",
        kind=Kind.PERSISTENT,
        app_type="mobile",
        epoch=2**53,
        created=1.25,
        seen=2.5,
        user_agent="Firefox \u2603",
        address="2001:db8::1",
    )
    async with opens() as store:
        await store.create(kept).durable()
        await store.create(session("s2", "8")).durable()
        assert await store.get("s1") == kept
        assert await store.get("s3") is None
    async with opens() as store:
        assert await store.get("s1") == kept
        assert await store.of_user("Users", "7") == [kept]


async def test_a_users_sessions_the_newest_first(opens: Open) -> None:
    async with opens() as store:
        for number, created in enumerate([3.0, 1.0, 2.0, 2.0]):
            store.create(session(f"s{number}", created=created))
        await store.create(session("other", "8")).durable()
        assert [found.id for found in await store.of_user("Users", "7")] == ["s0", "s3", "s2", "s1"]
        assert await store.of_user("Users", "9") == []


async def test_the_last_contact(opens: Open) -> None:
    async with opens() as store:
        await store.create(session("s1")).durable()
        await store.touch("s1", 300.0, "k2").durable()
        await store.touch("s2", 300.0, "k2").durable()
        assert await store.get("s1") == session("s1", seen=300.0, kid="k2")
        assert await store.get("s2") is None


def view_of(*logins: str, epoch: int, ended_below: int) -> View:
    """A room that was last notified at 150, and is looked at, at 250."""
    # One that has merely joined, under the name of a login, is none.
    sessions = frozenset({*logins, "s1", "s2"})
    return View(sessions, frozenset(logins), epoch, ended_below, 150.0, 250.0)


async def test_revoking(opens: Open) -> None:
    async with opens() as store:
        for name in ("s1", "s2", "s3", "s4"):
            store.create(session(name))
        await store.create(session("other", "8")).durable()
        await store.revoke("s1").durable()
        assert {found.id for found in await store.of_user("Users", "7")} == {"s2", "s3", "s4"}
        await store.revoke_superseded("7", view_of("s3", "s9", epoch=2, ended_below=2)).durable()
        assert [found.id for found in await store.of_room("7")] == ["s3"]
        await store.revoke_superseded("7", view_of(epoch=3, ended_below=3)).durable()
        assert await store.of_user("Users", "7") == []
        assert await store.get("other") is not None
        await store.revoke("s1").durable()


@pytest.mark.parametrize(
    ("epoch", "created", "bound", "goes"),
    [
        (1, 200.0, 2, True),  # below what stands
        (2, 200.0, 2, False),
        (9, 200.0, 2, False),  # from beyond the epoch, and younger than the last notify
        (9, 100.0, 3, True),  # from before the last notify, so of an epoch before it
        (9, 100.0, 2, False),
        (9, 250.0 + LEEWAY, 3, False),
        (9, 250.1 + LEEWAY, 3, True),  # of the future, so of an epoch before it too
        (9, 250.1 + LEEWAY, 2, False),
    ],
)
async def test_what_a_room_does_not_know_is_judged_as_by_a_ticket(
    opens: Open, epoch: int, created: float, bound: int, goes: bool
) -> None:
    async with opens() as store:
        store.create(session("s1", epoch=epoch, created=created))
        await store.revoke_superseded("7", view_of(epoch=3, ended_below=bound)).durable()
        assert (await store.get("s1") is None) is goes


async def test_a_touch_revives_nothing(opens: Open) -> None:
    async with opens() as store:
        store.create(session("s1"))
        store.revoke("s1")
        await store.touch("s1", 500.0, "k2").durable()
        assert await store.get("s1") is None


async def test_what_is_old(opens: Open) -> None:
    rows: list[tuple[str, Kind, float, dict[str, Any]]]
    async with opens() as store:
        rows = [
            ("s1", Kind.SESSION, 99.0, {}),
            ("s2", Kind.SESSION, 100.0, {}),
            ("s3", Kind.PERSISTENT, 1.0, {}),
            ("s4", Kind.SESSION, 1.0, {"app_type": "mobile"}),
            ("s5", Kind.SESSION, 1.0, {"provider": "Staff"}),
            ("s7", Kind.SESSION, 500.0, {"created": 49.0}),
        ]
        for name, kind, seen, more in rows:
            store.create(session(name, kind=kind, seen=seen, **more))
        # A contact that is not on the disk yet counts.
        store.create(session("s6", seen=1.0))
        await store.touch("none", 0, "k1").durable()
        store.touch("s6", 200.0, "k1")

        async def found(provider: str, app_type: str | None, kind: Kind) -> set[str]:
            old = await store.older(provider, app_type, kind, seen=100.0, created=50.0)
            return {one.id for one in old}

        assert await found("Users", "web", Kind.SESSION) == {"s1", "s7"}
        assert await found("Users", None, Kind.SESSION) == {"s1", "s4", "s7"}
        assert await found("Users", "web", Kind.PERSISTENT) == {"s3"}
        assert await found("Staff", "web", Kind.SESSION) == {"s5"}


async def test_whose_sessions_there_are(opens: Open) -> None:
    async with opens() as store:
        assert await store.issuers() == []
        store.create(session("s1"))
        store.create(session("s2", "8", app_type="mobile"))
        store.create(session("s3", "8", app_type="mobile"))
        await store.create(session("s4", provider="Staff")).durable()
        assert sorted(await store.issuers()) == [
            ("Staff", "web"),
            ("Users", "mobile"),
            ("Users", "web"),
        ]


async def test_whose_keys_are_gone(opens: Open) -> None:
    async with opens() as store:
        for name, kid in [("s1", "k1"), ("s2", "k2"), ("s3", "k3"), ("s4", "k1")]:
            store.create(session(name, kid=kid))
        await store.touch("none", 0, "k1").durable()
        store.touch("s4", 200.0, "k3")
        assert {one.id for one in await store.signed_by_others({"k2", "k3"})} == {"s1"}
        assert await store.signed_by_others({"k1", "k2", "k3"}) == []


async def test_at_most_some_at_a_time(opens: Open) -> None:
    async with opens() as store:
        for number in range(SOME + 1):
            store.create(session(f"s{number}"))
        await store.touch("none", 0, "k1").durable()
        old = await store.older("Users", None, Kind.SESSION, seen=1e9, created=0.0)
        assert len(old) == SOME
        assert len(await store.signed_by_others(["k9"])) == SOME


async def test_users_of_two_providers_are_two(opens: Open) -> None:
    async with opens() as store:
        store.create(session("s1"))
        await store.create(session("s2", provider="Staff")).durable()
        assert [found.id for found in await store.of_user("Staff", "7")] == ["s2"]


async def test_keys(opens: Open) -> None:
    async with opens() as store:
        assert await store.load_keys() is None
        await store.store_keys(KEYS).durable()
        assert await store.load_keys() == KEYS
        rotated = KEYS.rotated(Key("k3", os.urandom(32), KEYS.signing.created + 1))
        await store.store_keys(rotated).durable()
    async with opens() as store:
        assert await store.load_keys() == rotated
        new = Keys((Key("k4", bytes(32), 0),))
        await store.store_keys(new).durable()
        assert await store.load_keys() == new


STEPS = st.one_of(
    st.tuples(st.just("create"), st.sampled_from(["7", "8"]), st.sampled_from(Kind)),
    st.tuples(st.just("touch"), st.integers(0, 9)),
    st.tuples(st.just("revoke"), st.integers(0, 9)),
    st.tuples(st.just("notify"), st.sampled_from(["7", "8"]), st.integers(0, 9)),
    st.tuples(st.just("wait")),
)


Step = tuple[Any, ...]


async def tell(store: Sessions, step: Step, now: int, created: list[str], alive: set[str]) -> None:
    """Carry out one step at this time; numbers stand for sessions that were created."""

    def name(number: int) -> str:
        return created[number % len(created)]

    match step:
        case ("create", user, kind):
            store.create(session(f"s{now}", user, kind=kind, seen=now, created=now))
        case ("touch", number) if name(number) in alive:
            store.touch(name(number), now, "k2")
        case ("revoke", number):
            store.revoke(name(number))
        case ("notify", user, number):
            kept = frozenset({name(number)})
            store.revoke_superseded(user, View(kept, kept, now, now, now, now))
        case ("wait",):
            await store.touch("none", now, "k2").durable()


def test_random_steps_end_alike(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The file's store is told the same as the naive one, in groups of any size."""

    async def run(steps: list[Step], path: Path) -> None:
        memory = MemorySessions()
        created: list[str] = []
        async with SqliteLedger.open(path) as ledger:
            store = SqliteSessions(ledger)
            for now, step in enumerate(steps):
                # What is gone has no contacts: the verdict on it is that it has ended.
                kept = [*await memory.of_user("Users", "7"), *await memory.of_user("Users", "8")]
                alive = {found.id for found in kept}
                for told in (memory, store):
                    await tell(told, step, now, created or ["none"], alive)
                if step[0] == "create":
                    created.append(f"s{now}")
            await store.touch("none", 0, "k2").durable()
            for user in ("7", "8"):
                assert await store.of_user("Users", user) == await memory.of_user("Users", user)

    @given(st.lists(STEPS, max_size=20))
    def compare(steps: list[Step]) -> None:
        path = tmp_path_factory.mktemp("ledger") / "test.db"
        trio.run(run, steps, path)

    compare()


def test_any_text_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    async def run(made: Session, path: Path) -> None:
        async with SqliteLedger.open(path) as ledger:
            await SqliteSessions(ledger).create(made).durable()
        async with SqliteLedger.open(path) as ledger:
            assert await SqliteSessions(ledger).get(made.id) == made

    @settings(max_examples=50)
    @given(short, short, strategies.texts)
    def compare(id: str, name: str, agent: str) -> None:
        path = tmp_path_factory.mktemp("ledger") / "test.db"
        trio.run(run, session(id, name, user_agent=agent.replace("\0", "")), path)

    compare()


async def test_what_cannot_be_stored_is_refused_before_it_is_in_the_way(tmp_path: Path) -> None:
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        store = SqliteSessions(ledger)
        for wrong in (None, ("192.0.2.1", 80), "\udcff", 2**63):
            with pytest.raises(LocalProtocolError, match="only text, numbers and bytes"):
                store.create(session("s1", address=wrong))
        await store.create(session("s2")).durable()
        assert ledger.ready


class Overtaken(SqliteLedger):
    """Everything is committed between what a query has read and its answer."""

    async def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        rows = await super().query(sql, *parameters)
        self.before, rows = rows, getattr(self, "before", rows)
        await propose(self, "other", None).durable()
        return rows


async def test_a_contact_that_overtakes_a_query_counts(tmp_path: Path) -> None:
    async with Overtaken.open(tmp_path / "test.db") as ledger:
        store = SqliteSessions(ledger)
        await store.create(session("s1")).durable()
        assert await store.get("s1") == session("s1")
        store.touch("s1", 300.0, "k1")
        assert await store.get("s1") == session("s1", seen=300.0)


async def test_what_is_damaged_is_the_ledgers_error(tmp_path: Path) -> None:
    """And does not end the hub, which sweeps."""
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        store = SqliteSessions(ledger)
        store.create(session("s1"))
        for change in ("kind = 'for ever'", "kind = 'session', room = 'u' || char(1)"):
            await ledger.change("bad", f"UPDATE sessions SET {change}").durable()
            with pytest.raises(LedgerError, match="damaged"):
                await store.get("s1")


async def test_a_contact_counts_before_it_is_on_the_disk(tmp_path: Path) -> None:
    """A full disk must not make everybody idle."""
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        store = SqliteSessions(ledger)
        await store.create(session("s1")).durable()
        store.touch("s1", 300.0, "k2")
        assert await store.get("s1") == session("s1", seen=300.0, kid="k2")


# -- in the ledger's file -------------------------------------------------------------------


async def test_a_room_and_its_sessions_are_one_transaction(tmp_path: Path) -> None:
    """Whatever is noted in one step is committed together, or not at all."""
    path = tmp_path / "test.db"
    record = Record(1, 1, {}, (), 1.0, 1.0)
    async with SqliteLedger.open(path) as ledger:
        store = SqliteSessions(ledger)
        committed = store.create(session("s1"))
        assert propose(ledger, "7", record) is committed
        assert store.revoke_superseded("7", View()) is committed
        await committed.durable()
    # And where one of them cannot be written, neither is the other.
    async with SqliteLedger.open(path) as ledger:
        store = SqliteSessions(ledger)
        ledger.change("broken", "INSERT INTO nowhere VALUES (1)")
        with pytest.raises(LedgerError):
            await propose(ledger, "8", record).durable()
        records, _ = await ledger.load()
        assert [room for room, _ in records] == ["7"]
        assert await store.get("s1") == session("s1")
        ledger.change("broken", "SELECT 1")


async def test_keys_that_could_not_be_written_do_not_pile_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with SqliteLedger.open(tmp_path / "test.db") as ledger:
        store = SqliteSessions(ledger)
        ledger.change("broken", "INSERT INTO nowhere VALUES (1)")
        for number in range(50):
            keys = KEYS.rotated(Key(f"n{number}", os.urandom(32), KEYS.signing.created + 1))
            commit = store.store_keys(keys)
        with pytest.raises(LedgerError):
            await commit.durable()
        store.store_keys(Keys((KEYS.signing,)))
    # Three keys, that there are no others, and what is wrong.
    assert "of 5 other things is lost" in caplog.text


async def test_the_last_keys_are_the_only_ones_whatever_waited_before(opens: Open) -> None:
    async with opens() as store:
        for keys in (KEYS.rotated(Key("k3", bytes(32), KEYS.signing.created + 1)), KEYS):
            commit = store.store_keys(keys)
        await commit.durable()
        assert await store.load_keys() == KEYS


async def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    path = tmp_path / "test.db"
    async with SqliteLedger.open(path) as ledger:
        await SqliteSessions(ledger).store_keys(KEYS).durable()
        assert modes(tmp_path) == {0o600}


def modes(directory: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
