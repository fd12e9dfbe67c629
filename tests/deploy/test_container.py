"""The Dockerfile's command and environment as a process, and how the parts of Compose fit."""

import json
import re
import shlex
import signal
from typing import Any

import pytest
import yaml

from sse_trio.config import Config
from sse_trio.fields import Tcp

from ..processes import KEY, Run, Server
from ..support import raw_websocket
from ..test_docs import ROOT
from .files import PACK

# Seconds from Docker's SIGTERM to its SIGKILL.
DOCKERS = 10


class Dockerfile:
    """Its instructions, in their order."""

    def __init__(self, text: str) -> None:
        joined = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE))
        self.lines = [line.split(" ", 1) for line in joined.splitlines() if line]

    def of(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.lines if name == instruction]

    @property
    def stages(self) -> list[str]:
        return [stage.rpartition(" AS ")[2] for stage in self.of("FROM")]

    @property
    def environment(self) -> dict[str, str]:
        words = [word for line in self.of("ENV") for word in shlex.split(line)]
        return dict(word.split("=", 1) for word in words)


@pytest.fixture(scope="module")
def image() -> Dockerfile:
    return Dockerfile((PACK / "Dockerfile").read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((PACK / "compose.yaml").read_text())
    return found


def ours(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("SSE_TRIO_")}


def test_the_image(image: Dockerfile) -> None:
    config = Config.load(None, ours(image.environment))
    assert image.stages[-1] == "hub"
    assert image.of("USER")[-1].split(":")[0].isdecimal()
    assert image.of("EXPOSE") == [str(config.port)]
    (volume,) = image.of("VOLUME")
    assert str(config.ledger_path).startswith(f"{volume}/")
    # Enough is left to write the ledger to its end.
    assert config.shutdown_grace + 2 <= DOCKERS
    assert config.linger < config.shutdown_grace


def test_docker_is_sent_what_the_wheel_is_built_of() -> None:
    everything, *let_through, never = (PACK / "Dockerfile.dockerignore").read_text().split()
    assert (everything, never) == ("*", "**/__pycache__")
    names = {name.removeprefix("!") for name in let_through}
    assert names == {"LICENSE", "README.md", "pyproject.toml", "sse_trio"}
    assert all((ROOT / name).exists() for name in names)


async def test_the_command_runs_is_healthy_and_stops(run: Run, image: Dockerfile) -> None:
    environment = ours(image.environment) | {
        "SSE_TRIO_AUTHKEY": KEY,
        "SSE_TRIO_IPADDR": "127.0.0.1",
        "SSE_TRIO_LEDGER": "sqlite:///ledger.db",
        "SSE_TRIO_LINGER": "0.2",
    }
    assert json.loads(image.of("ENTRYPOINT")[0]) == ["sse-trio"]
    (command,) = map(json.loads, image.of("CMD"))
    program = await run(*command, "--port", "0", **environment)
    found = await program.out.line(r"^listening on http://127\.0\.0\.1:(\d+) ")
    server = Server(program, int(found[1]))
    check = image.of("HEALTHCHECK")[0].partition(" CMD ")[2]
    health = await run(*json.loads(check)[1:], **environment | {"SSE_TRIO_PORT": str(server.port)})
    assert await health.ends() == 0
    silent = await raw_websocket(server)
    async with silent.stream:
        await silent.send({"type": "join", "room": "u1", "session": "s1"})
        await silent.message()
        server.signal(signal.SIGTERM)
        assert await program.ends() == 0


def test_the_parts_of_compose(compose: dict[str, Any], image: Dockerfile) -> None:
    hub, application, nginx = (compose["services"][n] for n in ("hub", "application", "nginx"))
    environment = image.environment | hub["environment"]
    key = environment.pop("SSE_TRIO_AUTHKEY_FILE")
    site = environment["SSE_TRIO_ORIGINS"]
    default = re.fullmatch(r"\$\{SITE:-(.+)\}", site)
    assert default
    environment["SSE_TRIO_ORIGINS"] = default[1]
    config = Config.load(None, ours(environment) | {"SSE_TRIO_AUTHKEY": KEY})
    assert config.join == "ticket"
    assert isinstance(config.internal, Tcp)
    assert application["environment"]["SSE_TRIO_URL"] == f"http://hub:{config.internal.port}"
    assert application["environment"]["SSE_TRIO_PUBLIC_URL"] == site
    assert key in application["command"][-1]
    assert key == f"/run/secrets/{hub['secrets'][0]}"
    for service in (hub, application):
        assert service["build"]["target"] in image.stages
        assert (PACK / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        assert service["read_only"] is True
        assert "ports" not in service
        assert service["networks"] == ["behind"]
    (subnet,) = compose["networks"]["behind"]["ipam"]["config"]
    assert [str(network) for network in config.trusted_proxies] == [subnet["subnet"]]
    assert compose["networks"]["behind"]["internal"] is True
    (volume,) = hub["volumes"]
    assert volume.partition(":")[2] == image.of("VOLUME")[0]
    assert "./nginx.conf:/etc/nginx/nginx.conf:ro" in nginx["volumes"]
    passed = set(re.findall(r"proxy_pass http://(\S+);", (PACK / "nginx.conf").read_text()))
    listening = re.search(r"--listen=0\.0\.0\.0:(\d+)", application["command"][-1])
    assert listening
    assert passed == {f"hub:{config.port}", f"application:{listening[1]}"}
