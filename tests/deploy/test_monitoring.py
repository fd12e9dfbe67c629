"""Rules and dashboard: every metric and every label is one that a hub has."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio
import yaml

import sse_trio
from sse_trio.config import Config
from sse_trio.core.messages import CloseCode
from sse_trio.ledger.cluster.context import Settings
from sse_trio.ledger.cluster.ledger import ClusterLedger
from sse_trio.ledger.cluster.memory import MemoryDatabase, MemoryEngine

from ..processes import DEADLINE
from ..support import KEY, request
from ..test_docs import OPERATING, PAGES, table
from .files import PACK, README, program

RULES = PACK / "prometheus" / "rules.yml"
DASHBOARD = PACK / "grafana" / "dashboard.json"
# What else begins so in the documents.
OTHERS = {"sse_trio_ticket"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return found


def expressions() -> list[str]:
    asked = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [*(rule["expr"] for rule in rules()), *asked]


def names(text: str) -> set[str]:
    """The metrics that are named; a histogram's series count as the histogram."""
    found = re.findall(r"\bsse_trio_[a-z_]+\b", text)
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in found} - OTHERS


@pytest.fixture
async def metrics(nursery: trio.Nursery) -> set[str]:
    """Those of a running hub that shares its ledger: it has them all."""
    ledger = await nursery.start(_open_ledger)
    serve = partial(sse_trio.serve, Config(port=0, authkey=KEY), ledger=ledger)
    hub = await nursery.start(serve)
    shown = (await request(hub, "GET", "/metrics")).body.decode()
    return set(re.findall(r"^# TYPE (\S+) ", shown, re.MULTILINE))


async def _open_ledger(task_status: trio.TaskStatus[ClusterLedger]) -> None:
    engine = MemoryEngine(MemoryDatabase(time.time))
    async with ClusterLedger.open(engine, Settings()) as ledger:
        task_status.started(ledger)
        await trio.sleep_forever()


async def test_every_metric_exists(metrics: set[str]) -> None:
    files = [RULES, DASHBOARD, README, *PAGES]
    for file in files:
        assert names(file.read_text()) <= metrics, file.name
    # The dashboard leaves none out.
    assert names(DASHBOARD.read_text()) == metrics


def test_every_value_of_a_label_exists() -> None:
    rows = table(OPERATING, "Metrics", "metric", "type", "meaning")
    meanings = {row[0].strip("`"): row[2] for row in rows}
    codes = {code.name.lower() for code in CloseCode}
    seen = 0
    for text in expressions():
        for metric, label, values in re.findall(r'(sse_trio_\w+)\{(\w+)=~?"([\w|]+)"', text):
            assert f"`{label}`" in meanings[metric]
            for value in values.split("|"):
                seen += 1
                assert f"`{value}`" in meanings[metric] or value in codes, value
    assert seen


def test_every_alert_says_where_and_what() -> None:
    found = [rule["alert"] for rule in rules()]
    assert len(set(found)) == len(found)
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert rule["annotations"]["summary"].endswith(".")


def promtool(*arguments: str | Path) -> None:
    command = [program("promtool"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_prometheus_own() -> None:
    promtool("check", "config", "--lint-fatal", PACK / "prometheus" / "prometheus.yml")


def queries() -> Iterator[str]:
    """The dashboard's, with a job and a range in place of Grafana's variables."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "1m").replace("$job", "sse-trio")


def test_the_dashboards_queries_are_prometheus_own(tmp_path: Path) -> None:
    group = {
        "name": "dashboard",
        "rules": [{"record": f"q{number}", "expr": q} for number, q in enumerate(queries())],
    }
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [group]}))
    promtool("check", "rules", tmp_path / "rules.yml")


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    shown = ",".join(f'{key}="{value}"' for key, value in ({"instance": "a"} | labels).items())
    return {"series": f"{name}{{{shown}}}", "values": values}


def test_the_rules_say_when(tmp_path: Path) -> None:
    """Each alert of `expected` is raised, and no other is: one of each kind of expression."""
    everything = [
        series("sse_trio_ledger_ready", "0x10"),
        # The first failure of all, and pages that do not answer.
        series("sse_trio_notifies_total", "_x8 1 1", result="failed"),
        series("sse_trio_notifies_total", "0+100x10", result="accepted"),
        series("sse_trio_joins_total", "0+10x10", result="too_many"),
        series("sse_trio_joins_total", "0+1000x10", result="superseded"),
        series("sse_trio_refused_keys_total", "0+1x10", result="unauthorized"),
        series("sse_trio_nodes", "3x10"),
        series("up", "1x10", job="sse-trio"),
        series("up", "1x10", job="sse-trio", instance="b"),
    ]
    expected = {
        "SseTrioLedgerFails",
        "SseTrioNotifiesFail",
        "SseTrioLimitsReached",
        "SseTrioNodesDiffer",
    }
    by_name = {rule["alert"]: rule for rule in rules()}
    labels = {
        "SseTrioLedgerFails": {"instance": "a"},
        "SseTrioNotifiesFail": {"instance": "a", "result": "failed"},
        "SseTrioLimitsReached": {"instance": "a"},
    }
    tests = []
    for name, rule in by_name.items():
        raised = {
            "exp_labels": rule["labels"] | labels.get(name, {}),
            "exp_annotations": {
                "summary": rule["annotations"]["summary"].replace("{{ $labels.instance }}", "a")
            },
        }
        case = {"eval_time": "10m", "alertname": name}
        tests.append(case | ({"exp_alerts": [raised]} if name in expected else {}))
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": everything, "alert_rule_test": tests}],
    }
    (tmp_path / "test.yml").write_text(json.dumps(document))
    promtool("test", "rules", tmp_path / "test.yml")
