"""Each test of a `cluster` runs on every kind of engine."""

from collections.abc import AsyncIterator

import pytest

from .engines import Cluster, MemoryCluster, in_postgres


@pytest.fixture(params=["memory", "postgres"])
async def cluster(request: pytest.FixtureRequest) -> AsyncIterator[Cluster]:
    if request.param == "memory":
        yield MemoryCluster()
        return
    async with in_postgres(request.getfixturevalue("postgres"), "contract") as found:
        yield found
