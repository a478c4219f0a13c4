"""`modelrelease simulate`: a release offline, on given or synthetic traffic, through the operator's own decisions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.progress import Progress

from modelrelease.cli.errors import OK, CommandError
from modelrelease.cli.lint import lint, unknown
from modelrelease.cli.simulated import summary, timeline
from modelrelease.domain import codec
from modelrelease.domain.naming import KIND
from modelrelease.domain.spec import Spec
from modelrelease.simulate import report
from modelrelease.simulate.play import Run
from modelrelease.simulate.scenario import Scenario
from modelrelease.simulate.simulation import Simulation
from modelrelease.simulate.table import TableError, read_table
from modelrelease.simulate.tape import Tape


def run(options: argparse.Namespace) -> int:
    """Simulate and print.

    Raises:
        CommandError: a file or an option can not be used.

    """
    if options.replications < 1:
        raise CommandError(f"--replications is {options.replications}: allowed are 1 and more")
    if options.seed < 0:
        raise CommandError(f"--seed is {options.seed}: allowed are 0 and more")
    simulation = Simulation(
        spec=read_spec(options.spec),
        scenario=_scenario(options.scenario) if options.scenario else None,
        tape=_traffic(options.traffic) if options.traffic else None,
        seed=options.seed,
    )
    runs = _runs(simulation, options.replications)
    if options.output == "json":
        answer = report.one(runs[0]) if len(runs) == 1 else report.many(runs, seed=options.seed)
        print(json.dumps(answer, indent=2))  # noqa: T201
        return OK
    console = Console()
    for line in timeline(runs[0]) if len(runs) == 1 else summary(runs):
        console.print(line)
    if len(runs) > 1 and simulation.tape is not None:
        console.print("replications of one file differ in the thinning alone: error rates need --scenario", style="dim")
    return OK


def _runs(simulation: Simulation, replications: int) -> list[Run]:
    quiet = replications == 1 or not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
        return list(progress.track(simulation.runs(replications), total=replications, description="runs"))


def read_spec(file: str) -> Spec:
    """Return the spec of the one release in a YAML file; `steps: auto` is the same as none.

    Raises:
        CommandError: there is no such release, or the API would refuse it.

    """
    found = [
        document for document in _documents(file) if isinstance(document, Mapping) and document.get("kind") == KIND
    ]
    if len(found) != 1:
        raise CommandError(f"{file} holds {len(found)} {KIND}s: simulate one at a time, from a file of its own")
    release = _without_auto(found[0])
    problem = next(lint(yaml.safe_dump(release)), None)
    if problem is not None:
        raise CommandError(f"{file}: {problem}")
    return codec.decode(Spec, release["spec"], "spec")


def _without_auto(release: Mapping[str, Any]) -> Mapping[str, Any]:
    spec = release.get("spec")
    if not isinstance(spec, Mapping):
        return release
    rollout = spec.get("rollout")
    if not isinstance(rollout, Mapping) or rollout.get("steps") != "auto":
        return release
    planned = {name: value for name, value in rollout.items() if name != "steps"}
    return {**release, "spec": {**spec, "rollout": planned}}


def _scenario(file: str) -> Scenario:
    documents = [document for document in _documents(file) if document is not None]
    if len(documents) != 1:
        raise CommandError(f"{file} holds {len(documents)} YAML documents: a scenario is one")
    problem = next(unknown(Scenario, documents[0], "scenario"), None)
    if problem is not None:
        raise CommandError(f"{file}: {problem}")
    try:
        return codec.decode(Scenario, documents[0], "scenario")
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from error


def _traffic(file: str) -> Tape:
    try:
        return read_table(_read(file))
    except TableError as error:
        raise CommandError(f"{file}: {error}") from error


def _documents(file: str) -> list[Any]:
    try:
        return list(yaml.safe_load_all(_read(file)))
    except yaml.YAMLError as error:
        raise CommandError(f"{file} is not YAML: {' '.join(str(error).split())}") from error


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{file} can not be read: {error}") from error
