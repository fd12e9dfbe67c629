"""The manifests of docs/deploy/kubernetes: by Kubernetes' schemas, and beside the server's code."""

from typing import Any

import kubernetes_validate
import pytest
import yaml

from sse_trio.config import Config
from sse_trio.core.requests import PRIVATE
from sse_trio.fields import Tcp
from sse_trio.ledger.cluster.ledger import CLOSING
from sse_trio.paths import PAGES as PATHS

from ..support import KEY
from .files import PACK
from .test_container import Dockerfile, ours

Manifests = dict[str, Any]


def read(name: str) -> Manifests:
    """Return the manifests of a file by kind; a second Service is the internal one."""
    found: Manifests = {}
    for each in yaml.safe_load_all((PACK / "kubernetes" / name).read_text()):
        kind = each["kind"] + ("Internal" if each["metadata"]["name"].endswith("internal") else "")
        assert kind not in found
        found[kind] = each
    return found


@pytest.fixture(scope="module", params=["sqlite.yaml", "postgresql.yaml"])
def manifests(request: pytest.FixtureRequest) -> Manifests:
    return read(request.param)


def pod(manifests: Manifests) -> dict[str, Any]:
    found: dict[str, Any] = manifests["Deployment"]["spec"]["template"]["spec"]
    return found


def container(manifests: Manifests) -> dict[str, Any]:
    (found,) = pod(manifests)["containers"]
    assert isinstance(found, dict)
    return found


def configured(manifests: Manifests) -> Config:
    """The configuration in a container, with a secret made up."""
    image = Dockerfile((PACK / "Dockerfile").read_text())
    env = {each["name"]: each.get("value", "secret") for each in container(manifests)["env"]}
    env = ours(image.environment) | ours(env)
    del env["SSE_TRIO_AUTHKEY_FILE"]
    return Config.load(None, env | {"SSE_TRIO_AUTHKEY": KEY})


@pytest.mark.parametrize("version", ["1.29", kubernetes_validate.latest_version()])
def test_they_are_of_kubernetes_schemas(manifests: Manifests, version: str) -> None:
    for each in manifests.values():
        found = kubernetes_validate.validate(each, version, strict=True)
        assert version.startswith(found)


def test_the_pods_listen_and_are_asked_where_they_do(manifests: Manifests) -> None:
    config, found = configured(manifests), container(manifests)
    assert config.join == "ticket"
    assert isinstance(config.internal, Tcp)
    ports = {each["name"]: each["containerPort"] for each in found["ports"]}
    assert ports == {"public": config.port, "internal": config.internal.port}
    # Kubernetes itself describes Services in variables of this prefix.
    assert pod(manifests)["enableServiceLinks"] is False
    paths = {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
    for probe, path in paths.items():
        asked = found[f"{probe}Probe"]["httpGet"]
        assert asked["path"] == path
        assert path in PATHS
        assert (path in PRIVATE) is (asked["port"] == "internal")


def test_the_pods_have_time_to_stop(manifests: Manifests) -> None:
    config, ready = configured(manifests), container(manifests)["readinessProbe"]
    if manifests["Deployment"]["spec"]["replicas"] > 1:
        # What Kubernetes takes to notice, and as much again until everybody has heard of it.
        noticing = ready["periodSeconds"] * ready["failureThreshold"] + ready["timeoutSeconds"]
        assert config.lame_duck > 1.5 * noticing
    closing = config.max_connections / config.drain_rate + config.linger
    assert config.shutdown_grace >= config.lame_duck + closing
    grace = pod(manifests)["terminationGracePeriodSeconds"]
    assert grace >= config.shutdown_grace + 2 * CLOSING


def test_the_pods_may_do_little(manifests: Manifests) -> None:
    of_the_pod = pod(manifests)["securityContext"]
    user = Dockerfile((PACK / "Dockerfile").read_text()).of("USER")[-1]
    assert f"{of_the_pod['runAsUser']}:{of_the_pod['fsGroup']}" == user
    assert of_the_pod["runAsNonRoot"] is True
    own = container(manifests)["securityContext"]
    assert own["readOnlyRootFilesystem"] is True
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}


def test_the_key_is_a_file_that_others_cannot_read(manifests: Manifests) -> None:
    env = {each["name"]: each.get("value") for each in container(manifests)["env"]}
    mounts = {each["name"]: each["mountPath"] for each in container(manifests)["volumeMounts"]}
    (volume,) = [each for each in pod(manifests)["volumes"] if "secret" in each]
    (item,) = volume["secret"]["items"]
    assert env["SSE_TRIO_AUTHKEY_FILE"] == f"{mounts[volume['name']]}/{item['path']}"
    assert volume["secret"]["defaultMode"] & 0o007 == 0


def test_the_services_find_the_pods(manifests: Manifests) -> None:
    deployment = manifests["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    for kind, port in (("Service", "public"), ("ServiceInternal", "internal")):
        service = manifests[kind]["spec"]
        assert service["selector"] == labels
        assert [each["targetPort"] for each in service["ports"]] == [port]


def test_one_server_has_its_ledger_on_a_volume() -> None:
    manifests = read("sqlite.yaml")
    assert manifests["Deployment"]["spec"]["replicas"] == 1
    assert manifests["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}
    (volume,) = [each for each in pod(manifests)["volumes"] if "persistentVolumeClaim" in each]
    claim = volume["persistentVolumeClaim"]["claimName"]
    assert claim == manifests["PersistentVolumeClaim"]["metadata"]["name"]
    mounts = {each["name"]: each["mountPath"] for each in container(manifests)["volumeMounts"]}
    assert str(configured(manifests).ledger_path).startswith(f"{mounts[volume['name']]}/")


def test_three_nodes_share_a_ledger_and_leave_one_after_the_other() -> None:
    manifests = read("postgresql.yaml")
    assert configured(manifests).is_shared
    assert manifests["Deployment"]["spec"]["replicas"] == 3
    labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
    budget = manifests["PodDisruptionBudget"]["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
