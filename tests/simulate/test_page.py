"""The commands of docs/simulate.md do what the page says, with the files that it names."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from modelrelease.cli.main import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulate.md").read_text()
ELSEWHERE = "needs a real cluster"


def commands() -> list[str]:
    shown = []
    for block in re.finditer(r"^```shell\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        if ELSEWHERE not in PAGE[: block.start()].rstrip().rsplit("\n\n", 1)[-1]:
            shown += block.group(1).splitlines()
    return shown


def test_the_page_shows_both_commands() -> None:
    assert {shlex.split(command)[1] for command in commands()} == {"simulate", "plan"}
    assert len(commands()) >= 6


@pytest.mark.deep
@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_page_runs(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    program, *words = shlex.split(command.replace("out/", f"{tmp_path}/"))
    assert program == "modelrelease"
    assert main(words) == 0
    assert capsys.readouterr().out
