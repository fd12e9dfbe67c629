"""Each test of a `cluster` runs on every kind of engine."""

import pytest

from .engines import Cluster, MemoryCluster


@pytest.fixture(params=["memory"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return MemoryCluster()
