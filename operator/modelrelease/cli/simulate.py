"""`modelrelease simulate`: a release offline, on given or synthetic traffic, through the operator's own decisions."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from modelrelease.cli.errors import OK, CommandError
from modelrelease.cli.lint import unknown
from modelrelease.cli.simulated import summary, timeline
from modelrelease.cli.spec_file import documents, read, read_release
from modelrelease.domain import codec
from modelrelease.simulate import report
from modelrelease.simulate.play import Run
from modelrelease.simulate.plot import NoMatplotlib, draw
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
    plot = _plot(options)
    simulation = Simulation(
        spec=read_release(options.spec).spec,
        scenario=_scenario(options.scenario) if options.scenario else None,
        tape=_traffic(options.traffic) if options.traffic else None,
        seed=options.seed,
        every_look=plot is not None,
    )
    runs = _runs(simulation, options.replications)
    if plot is not None:
        _draw(runs[0], plot)
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


def _plot(options: argparse.Namespace) -> Path | None:
    """Return the file to draw into, None for none."""
    if options.plot is None:
        return None
    if options.replications > 1:
        raise CommandError(f"--plot shows one run, and --replications is {options.replications}: leave one of them out")
    if Path(options.plot).suffix not in (".png", ".svg"):
        raise CommandError(f"--plot is {options.plot}: allowed are files that end in .png or .svg")
    folder = Path(options.plot).parent
    if not folder.is_dir():
        raise CommandError(f"--plot is {options.plot}: the folder {folder} is not there; make it first")
    return Path(options.plot)


def _draw(run: Run, to: Path) -> None:
    try:
        draw(run, to)
    except NoMatplotlib as error:
        raise CommandError("--plot needs matplotlib: install the package with its extra plot") from error
    except OSError as error:
        raise CommandError(f"--plot: {to} can not be written: {error}") from error


def _runs(simulation: Simulation, replications: int) -> list[Run]:
    quiet = replications == 1 or not sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=quiet) as progress:
        return list(progress.track(simulation.runs(replications), total=replications, description="runs"))


def _scenario(file: str) -> Scenario:
    found = documents(file)
    if len(found) != 1:
        raise CommandError(f"{file} holds {len(found)} YAML documents: a scenario is one")
    problem = next(unknown(Scenario, found[0], "scenario"), None)
    if problem is not None:
        raise CommandError(f"{file}: {problem}")
    try:
        return codec.decode(Scenario, found[0], "scenario")
    except ValueError as error:
        raise CommandError(f"{file}: {error}") from error


def _traffic(file: str) -> Tape:
    try:
        return read_table(read(file))
    except TableError as error:
        raise CommandError(f"{file}: {error}") from error
