"""Nobody who asks gets another answer than who joins, and to ask changes nothing.

Random histories of one room, over real sockets: notifies with all their members, releases, joins,
restarts. After each step every session that was ever named is asked about in every way there is.
"""

import json
from functools import partial
from typing import Any

import attrs
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import sse_trio
from sse_trio.core.logins import Record

from ..hub.fakes import FakePeer
from ..support import KEY, Response, request

SESSIONS = ("s1", "s2", "s3", "s4", "s5")
# Small, so that ended sessions are forgotten.
REMEMBERED = 3

sessions = st.sampled_from(SESSIONS)
limits = st.sampled_from([{}, {"max_sessions": 1}, {"max_sessions": 2}, {"max_sessions": None}])
policies = st.sampled_from([{}, {}, {"at_limit": "end-oldest"}, {"at_limit": "refuse-new"}])

Step = tuple[Any, ...]

STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        st.tuples(st.just("login"), sessions, st.sets(sessions, max_size=2), limits, policies),
        st.tuples(st.just("login"), sessions, st.just(set()), limits, policies),
        st.tuples(st.just("last_joined")),
        st.tuples(st.just("everywhere")),
        st.tuples(st.just("release"), sessions, st.none() | st.integers(0, 8)),
        st.tuples(st.just("join"), sessions),
        st.tuples(st.just("restart")),
    ),
    max_size=10,
)


@attrs.define
class World:
    """One room on a server, and what has been given out in it."""

    hub: sse_trio.Hub = attrs.field(init=False)
    proofs: dict[str, list[dict[str, Any]]] = attrs.Factory(dict)
    """By session, the answers that came with its tickets and tokens; the newest last."""

    async def post(self, path: str, **members: Any) -> Response:
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
        body = json.dumps({"room": "u1", **members} if "token" not in members else members)
        return await request(self.hub, "POST", path, body=body.encode(), headers=headers)

    # -- what happens -------------------------------------------------------------------

    async def login(
        self, session: str, end: set[str], limit: dict[str, Any], policy: dict[str, Any]
    ) -> None:
        members = {"end": sorted(end - {session}), "about": {"by": session}, **limit, **policy}
        before = self.standing()
        answer = await self.post("/notify", sender=session, **members)
        if answer.status == 409:
            assert self.standing() == before
            in_the_way = {one["session"] for one in answer.json["sessions"]}
            assert in_the_way <= set(before)
            return
        self.keep(session, answer, before)

    async def last_joined(self) -> None:
        before = self.standing()
        answer = await self.post("/notify")
        for session in set(answer.json["standing"]) - set(before):
            self.keep(session, answer, before)

    async def everywhere(self) -> None:
        before = self.standing()
        answer = await self.post("/notify", sender=None)
        assert answer.json["standing"] == []
        assert set(before) <= set(answer.json["ended"])

    async def release(self, session: str, epoch: int | None) -> None:
        before = self.standing()
        proof = {} if epoch is None else {"epoch": epoch}
        answer = await self.post("/release", session=session, **proof)
        assert set(before) - set(answer.json["standing"]) <= {session}
        assert set(answer.json["ended"]) <= {session}

    async def join(self, session: str) -> None:
        """Come as a page without a ticket."""
        self.come(room="u1", session=session)

    def keep(self, session: str, answer: Response, before: list[str]) -> None:
        members = answer.json
        assert members["standing"] == self.standing()
        assert set(before) - set(members["standing"]) <= set(members["ended"])
        assert not set(members["standing"]) & set(members["ended"])
        self.proofs.setdefault(session, []).append({**members, "session": session})

    # -- who is asked -------------------------------------------------------------------

    def standing(self) -> list[str]:
        return self.hub.who_stands("u1")[0]

    def record(self) -> Record:
        """Return all that is known of the room, but for when it was used."""
        return attrs.evolve(self.hub.recognition.draft("u1").record(), touched=0.0)

    def come(self, **join: str) -> FakePeer:
        peer = FakePeer()
        member = self.hub.membership.arrive(peer, "192.0.2.1")
        self.hub.hearing.hear(member, [json.dumps({"type": "join", **join})])
        self.hub.membership.leave(member, hung_up=True)
        return peer

    async def look(self) -> None:
        """Ask everybody about everybody, in every way."""
        before = self.record()
        listed = (await self.post("/sessions")).json
        names = [one["session"] for one in listed["sessions"]]
        assert names == self.standing()
        said = {}
        for session, proofs in self.proofs.items():
            by_name = (await self.post("/check", session=session)).json
            assert by_name["active"] is (session in names)
            for proof in proofs:
                said[session, proof["epoch"]] = await self.by_token(proof, by_name)
        assert self.record() == before
        for session, proofs in self.proofs.items():
            for proof in proofs:
                self.compare_with_a_join(proof, said[session, proof["epoch"]])
            if session in names:
                assert self.come(room="u1", session=session).got("joined")

    async def by_token(self, proof: dict[str, Any], by_name: dict[str, Any]) -> dict[str, Any]:
        by_token: dict[str, Any] = (await self.post("/check", token=proof["token"])).json
        by_epoch: dict[str, Any] = (
            await self.post("/check", session=proof["session"], epoch=proof["epoch"])
        ).json
        without = {name: value for name, value in by_token.items() if name != "exp"}
        assert by_epoch == without
        # What has ended and been forgotten is known by its proof alone.
        assert without == by_name or by_name == {"active": False, "known": False}
        assert by_token["active"] is by_name["active"]
        cookie = {"Cookie": f"a=b; __Host-sse_trio={proof['token']}"}
        verified = await request(self.hub, "GET", "/verify/any/path", headers=cookie)
        assert verified.status == (200 if by_token["active"] else 401)
        form = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Authorization": f"Bearer {KEY}",
        }
        body = f"token={proof['token']}".encode()
        introspected = await request(self.hub, "POST", "/check", body=body, headers=form)
        assert introspected.json["active"] is by_token["active"]
        if by_token["active"]:
            assert verified.headers["x-session-id"] == by_token["session"]
            assert verified.headers["x-session-epoch"] == str(by_token["epoch"])
        else:
            assert verified.headers["x-session-reason"] == by_token["reason"]
        return by_token

    def compare_with_a_join(self, proof: dict[str, Any], told: dict[str, Any]) -> None:
        peer = self.come(ticket=proof["ticket"])
        if told["active"]:
            assert [one["session"] for one in peer.got("joined")] == [told["session"]]
            return
        (terminated,) = peer.got("terminate")
        assert (terminated["epoch"], terminated["reason"]) == (told["epoch"], told["reason"])


async def live(steps: list[Step]) -> None:
    ledger, world, steps = sse_trio.MemoryLedger(), World(), [*steps]
    config = sse_trio.Config(
        port=0, authkey=KEY, max_sessions=2, max_remembered_sessions=REMEMBERED
    )
    while True:
        async with trio.open_nursery() as nursery:
            serve = partial(sse_trio.serve, config, ledger=ledger)
            world.hub = await nursery.start(serve)
            while steps and (step := steps.pop(0)) != ("restart",):
                action, *more = step
                await getattr(world, action)(*more)
                await world.look()
            nursery.cancel_scope.cancel()
        if not steps:
            return


@settings(max_examples=60)
@given(STEPS)
def test_whoever_asks_is_told_what_a_join_is_told(steps: list[Step]) -> None:
    trio.run(live, steps)
