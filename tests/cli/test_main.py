"""The command line itself."""

import re

import pytest

from sse_trio.cli import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert re.search(rf"example:\n  sse-trio {command}\b", capsys.readouterr().out)


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(["--version"])
    assert done.value.code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["notify"],
        ["notify", "--room", "u1", "--wait", "long"],
        ["notify", "--room", "u1", "--key", "secret"],
        ["notify", "--room", "\udcff"],
        ["serve", "--port", "http"],
        ["serve", "--log-level", "loud"],
    ],
    ids=str,
)
def test_wrong_arguments(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main(arguments)
    assert done.value.code == 2
    assert "usage: sse-trio" in capsys.readouterr().err


def test_keygen(capsys: pytest.CaptureFixture[str]) -> None:
    keys = []
    for _ in range(2):
        assert main(["keygen"]) == 0
        keys.append(capsys.readouterr().out)
        assert re.fullmatch(r"[\w-]{43}\n", keys[-1])
    assert keys[0] != keys[1]
