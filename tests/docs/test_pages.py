"""What the pages promise: commands that exist, links that lead somewhere, files that are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from modelrelease.domain import codec
from modelrelease.domain.spec import Spec

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(shell|sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:make|modelrelease|kubectl modelrelease|python -m) [^`]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
ELSEWHERE = "needs a real cluster"  # what a page says before commands that no machine of ours can run
OURS = ("make", "modelrelease", "kubectl-modelrelease", "python")


def commands() -> Iterator[tuple[str, str]]:
    """Yield (page, command) of every command of ours that a page shows."""
    for page in PAGES:
        text = page.read_text()
        shown = []
        for block in BLOCK.finditer(text):
            if ELSEWHERE not in text[: block.start()].rsplit("\n\n", 2)[-2:][0]:
                shown += [line.removeprefix("$ ") for line in block.group(2).splitlines()]
        shown += [found.group(1) for found in INLINE.finditer(text)]
        for line in shown:
            words = shlex.split(line.replace("kubectl modelrelease", "kubectl-modelrelease"), comments=True)
            if words and words[0] in OURS:
                yield page.name, shlex.join(words)


@pytest.mark.deep
@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_a_command_that_a_page_shows_exists(page: str, command: str) -> None:
    program, *words = shlex.split(command)
    if program == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[0] in targets, f"{page}: {command}"
        return
    if program == "python":
        module = words[1].replace(".", "/")
        assert (ROOT / module).is_dir() or (ROOT / f"{module}.py").exists(), f"{page}: {command}"
        verb = [w for w in words[2:3] if w.isalpha() and w.islower()]
        run = [sys.executable, "-m", words[1], *verb, "--help"]
    else:
        run = [sys.executable, "-m", "modelrelease.cli.main", words[0], "--help"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, env=_path(), timeout=60, check=False)
    assert done.returncode == 0, f"{page}: {command}: {done.stderr}"


def _path() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'operator'}"}


def test_pages_show_commands_at_all() -> None:
    found = {page for page, _ in commands()}
    assert {"README.md", "local-cluster.md"} <= found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_within_the_project_leads_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}, which is not there"


@pytest.mark.parametrize("sample", sorted((ROOT / "manifests" / "samples").glob("*.yaml")), ids=lambda p: p.name)
def test_a_sample_is_a_release(sample: Path) -> None:
    import yaml

    for document in yaml.safe_load_all(sample.read_text()):
        assert codec.decode(Spec, document["spec"], "spec").model.name
