"""Requests that are made of the description: none breaks the server, nor is answered otherwise."""

import json
from collections.abc import Iterator
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest
import requests
import schemathesis
import trio
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

import sse_trio
from sse_trio.core import keyed
from sse_trio.server.routes.openapi import document

from ..support import KEY

CONFIG = sse_trio.Config(port=0, authkey=KEY, max_wrong_keys=10**9)
SCHEMA = schemathesis.openapi.from_dict(json.loads(document(CONFIG)))

HELD = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where a hub runs, in a thread of its own: the requests come from a library that blocks."""
    started: SimpleQueue[Any] = SimpleQueue()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            hub = await nursery.start(partial(sse_trio.serve, CONFIG))
            started.put((hub.port, nursery.cancel_scope, trio.lowlevel.current_trio_token()))

    thread = Thread(target=trio.run, args=(main,))
    thread.start()
    port, scope, token = started.get()
    yield f"http://127.0.0.1:{port}"
    trio.from_thread.run_sync(scope.cancel, trio_token=token)
    thread.join()


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("path", [*keyed.READERS, "/verify"])
def test_every_answer_is_as_it_is_described(address: str, path: str, mode: GenerationMode) -> None:
    operation = SCHEMA[path]["GET" if path == "/verify" else "POST"]

    @settings(max_examples=15, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        headers = {} if path == "/verify" else {"Authorization": f"Bearer {KEY}"}
        response = case.call(base_url=address, session=session, headers=headers)
        statuses.add(response.status_code)
        case.validate_response(response, checks=HELD)

    statuses: set[int] = set()
    with requests.Session() as session:
        ask()
    if mode is GenerationMode.POSITIVE:
        # Almost any body is welcome, and no token.
        assert (200 in statuses) is (path != "/verify")
