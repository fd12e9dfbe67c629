"""The answers to ``/check``, which applications ask, and to ``/verify``, which proxies ask."""

import re
import urllib.parse
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ...core.problems import Problem
from ...core.questions import Check, LoginQuery, Verify
from ...core.verdict import Verdict
from ...hub.hub import Hub
from ...strict_json import dumps
from ..replies import JSON, Reply

# Logins that one step judges. To verify a token takes 0.1 ms, and to renew it as long again.
CHECKS_AT_ONCE: Final = 8

_UNRESERVED: Final = re.compile("[A-Za-z0-9_.~-]+")

# A 401 must have a challenge (RFC 9110, section 11.6.1).
_CHALLENGE = (b"WWW-Authenticate", b"Bearer")


def check(hub: Hub, asked: Check) -> Reply:
    """Say for each login whether it is active, at once."""
    return _told(asked, [_judge(hub, query) for query in asked.queries])


async def check_many(hub: Hub, asked: Check, give_way: Callable[[], Awaitable[None]]) -> Reply:
    """Say for each login whether it is active, and let other tasks run in between."""
    verdicts: list[Verdict] = []
    for query in asked.queries:
        if verdicts and len(verdicts) % CHECKS_AT_ONCE == 0:
            await give_way()
        verdicts.append(_judge(hub, query))
    return _told(asked, verdicts)


def _told(asked: Check, verdicts: list[Verdict]) -> Reply:
    if asked.is_introspection:
        text = _introspected(verdicts[0])
    elif asked.is_batch:
        text = f'{{"checks":[{",".join(map(_written, verdicts))}]}}'
    else:
        text = _written(verdicts[0])
    return Reply(200, JSON, text.encode())


def verify(hub: Hub, asked: Verify) -> Reply | Problem:
    """Say whether the request that a proxy holds may pass."""
    if asked.token is None:
        return _refused(asked.problem)
    verdict = _counted(hub, hub.recognition.judge_token_untrusted(asked.token))
    if not verdict.active:
        return _refused(verdict.reason if verdict.known else "unknown")
    text = (
        f'{{"subject":{dumps(verdict.room)},'
        f'"extra":{{"session":{dumps(verdict.session)},"epoch":{verdict.epoch}}}}}'
    )
    headers = [
        (b"X-Session-Room", _quoted(verdict.room)),
        (b"X-Session-Id", _quoted(verdict.session)),
        (b"X-Session-Epoch", str(verdict.epoch).encode()),
    ]
    return Reply(200, JSON, text.encode(), headers)


def _refused(reason: str | None) -> Problem:
    headers = (_CHALLENGE, (b"X-Session-Reason", _quoted(reason)))
    return Problem("not-standing", "no active login came with the request", headers)


def _quoted(text: str | None) -> bytes:
    """Percent-encode any text, for a header; most names need none (RFC 3986, section 2.3)."""
    if text and _UNRESERVED.fullmatch(text):
        return text.encode("ascii")
    return urllib.parse.quote(text or "", safe="").encode("ascii")


def _judge(hub: Hub, query: LoginQuery) -> Verdict:
    return _counted(hub, hub.recognition.judge_untrusted(query))


def _counted(hub: Hub, verdict: Verdict) -> Verdict:
    result = "active" if verdict.active else "ended" if verdict.known else "unknown"
    hub.counters.checks[result] += 1
    return verdict


def _written(verdict: Verdict, **more: Any) -> str:
    """Write a verdict as JSON, by hand: half of what an object takes."""
    if not verdict.known:
        return '{"active":false,"known":false}'
    members = {
        "room": verdict.room,
        "session": verdict.session,
        "epoch": verdict.epoch,
        "reason": verdict.reason,
        "detail": verdict.detail,
        "exp": None if verdict.expires is None else int(verdict.expires),
        "token": verdict.token,
        "ticket": verdict.ticket,
        **more,
    }
    text = [f',"{name}":{dumps(value)}' for name, value in members.items() if value is not None]
    return f'{{"active":{"true" if verdict.active else "false"}{"".join(text)}}}'


def _introspected(verdict: Verdict) -> str:
    """Return the members that RFC 7662, section 2.2 has; an inactive token has only one."""
    return _written(verdict, sub=verdict.room) if verdict.active else '{"active":false}'
