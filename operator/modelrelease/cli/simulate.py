"""`modelrelease simulate`: a release offline, on given or synthetic traffic, through the operator's own decisions."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from modelrelease.cli import production
from modelrelease.cli.errors import OK, CommandError
from modelrelease.cli.lint import unknown
from modelrelease.cli.simulated import summary, timeline
from modelrelease.cli.spec_file import Written, documents, read, read_release
from modelrelease.domain import codec
from modelrelease.domain.observed import Slot
from modelrelease.domain.plan import Window
from modelrelease.simulate import report
from modelrelease.simulate.play import Run
from modelrelease.simulate.plot import NoMatplotlib, draw
from modelrelease.simulate.recorded import NothingRecorded, tape_of_blocks
from modelrelease.simulate.scenario import Scenario
from modelrelease.simulate.simulation import Simulation
from modelrelease.simulate.table import TableError, read_table
from modelrelease.simulate.tape import Tape

MOST_RECORDED = 6 * 3600.0  # seconds: as far back as the operator reads scrape by scrape


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
    release = read_release(options.spec)
    simulation = Simulation(
        spec=release.spec,
        scenario=read_scenario(options.scenario) if options.scenario else None,
        tape=_tape(options, release),
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


def read_scenario(file: str) -> Scenario:
    """Return the scenario in a YAML file.

    Raises:
        CommandError: it is none.

    """
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


def _tape(options: argparse.Namespace, release: Written) -> Tape | None:
    if options.from_prometheus is not None:
        return _recorded(options, release)
    return _traffic(options.traffic) if options.traffic else None


def _recorded(options: argparse.Namespace, release: Written) -> Tape:
    """Return what production counted in the range before now."""
    try:
        length = codec.parse_duration(options.from_prometheus)
    except ValueError as error:
        raise CommandError(f"--from-prometheus: {error}") from error
    if not 0 < length <= MOST_RECORDED:
        most = codec.format_duration(MOST_RECORDED)
        raise CommandError(f"--from-prometheus is {options.from_prometheus}: allowed is any time up to {most}")
    if options.prometheus_url is None:
        raise CommandError("--from-prometheus needs --prometheus-url: the address of a Prometheus-compatible query API")
    end = production.now()
    window = Window(start=end - timedelta(seconds=length), end=end, mirror=Slot.PREVIEW)
    scrape = production.read(options.prometheus_url, release, namespace=options.namespace, window=window).scrape
    if scrape is None:
        raise CommandError("Prometheus has one scrape of the gateway only: choose a longer --from-prometheus")
    evidence = production.read(
        options.prometheus_url, release, namespace=options.namespace, window=replace(window, block=scrape)
    )
    try:
        return tape_of_blocks(evidence.blocks, scrape=scrape, seed=options.seed)
    except NothingRecorded as error:
        raise CommandError(f"--from-prometheus: {error}") from error


def _traffic(file: str) -> Tape:
    try:
        return read_table(read(file))
    except TableError as error:
        raise CommandError(f"{file}: {error}") from error
