"""Runs one by one: the operator's own delta code on raw counters, and `decide` itself."""

from __future__ import annotations

import math

import numpy
from modelrelease.domain.policy import Bake
from modelrelease.simulate.play import Run
from modelrelease.simulate.simulation import Simulation

from benchmarks.decisions.cells import Cell
from benchmarks.decisions.summary import Part
from tests.simulate.releases import a_spec


def play(cell: Cell, *, runs: int, seed: int) -> Part:
    """Return what so many runs come to. Times are from the first weight; a fault is there from the start."""
    spec = a_spec(bake=Bake(duration=0.0, holdback=0))
    simulation = Simulation(spec=spec, scenario=cell.scenario, seed=seed)
    played = [simulation.run(number) for number in range(runs)]
    size = cell.scenario.fault.size if cell.scenario.fault else 0.0
    promoted = numpy.array([run.promoted_at is not None for run in played], dtype=float)
    rolled_back = numpy.array([_stopped(run) for run in played], dtype=float)
    minutes = numpy.array([_end(run) / 60.0 for run in played])
    return Part(
        promoted=promoted,
        rolled_back=rolled_back,
        minutes=minutes,
        since_fault=numpy.where(rolled_back > 0, minutes, numpy.nan),
        bad=numpy.array([size * run.candidate_requests for run in played]),
        early=numpy.zeros(runs),
    )


def _stopped(run: Run) -> bool:
    return run.promoted_at is None and run.decided_at is not None


def _end(run: Run) -> float:
    found = run.promoted_at if run.promoted_at is not None else run.decided_at
    return math.nan if found is None else found
