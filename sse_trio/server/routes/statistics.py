"""The answers to ``/statistics`` and ``/decisions``: what an operator looks at."""

import math
from typing import Any

from prometheus_client.core import Metric

from ...core.questions import DecisionsQuery
from ...hub.hub import Hub
from ...strict_json import dumps
from ..replies import JSON, Reply
from .metrics import Metrics

_PREFIX = "sse_trio_"


def statistics(hub: Hub) -> Reply:
    """Return the numbers of ``/metrics``, as JSON."""
    families = Metrics(hub.statistics()).collect()
    metrics = {family.name.removeprefix(_PREFIX): _describe(family) for family in families}
    return Reply(200, JSON, dumps({"uptime": hub.uptime, "metrics": metrics}).encode())


def _describe(family: Metric) -> dict[str, Any]:
    described: dict[str, Any] = {"type": family.type, "about": family.documentation}
    samples = {}
    for sample in family.samples:
        if family.type == "histogram":
            name = sample.name.removeprefix(f"{family.name}_")
            if name != "bucket":
                described[name] = sample.value
        else:
            samples[",".join(sample.labels.values())] = _number(sample.value)
    if family.type != "histogram":
        described |= {"value": samples[""]} if samples.keys() == {""} else {"values": samples}
    return described


def _number(value: float) -> float | None:
    """Return a number that JSON has."""
    return None if math.isinf(value) else +value


def decisions(hub: Hub, asked: DecisionsQuery) -> Reply:
    """Return the last decisions, as the audit log has them."""
    return Reply(200, JSON, dumps({"decisions": hub.audit.last(asked.limit)}).encode())
