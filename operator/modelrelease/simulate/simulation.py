"""Runs of a release: from a tape, from a scenario, many at once. The same seed gives the same runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from modelrelease.domain.spec import Spec
from modelrelease.simulate.increments import Increments, scored
from modelrelease.simulate.play import Player, Run
from modelrelease.simulate.prometheus import Scraped
from modelrelease.simulate.scenario import Scenario
from modelrelease.simulate.serving import Serving
from modelrelease.simulate.tape import Tape, of_traffic
from modelrelease.simulate.traffic import increments
from modelrelease.simulate.world import rehearsed

_WORTH_PROCESSES = 4  # runs: fewer are over before other processes have begun


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A release and its traffic, of which exactly one is given."""

    spec: Spec
    scenario: Scenario | None = None
    tape: Tape | None = None
    seed: int = 1
    every_look: bool = False

    def run(self, replication: int = 0) -> Run:
        """Return one run; each replication of a tape is thinned anew, each of a scenario has traffic of its own."""
        if self.scenario is not None:
            return self._scenario_run(self.scenario, replication)
        assert self.tape is not None
        return self._tape_run(self.tape, replication)

    def runs(self, replications: int) -> Iterator[Run]:
        """Yield the runs of all replications in order, made by as many processes as there are CPUs."""
        if replications < _WORTH_PROCESSES:
            yield from map(self.run, range(replications))
            return
        with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
            yield from pool.map(self.run, range(replications))

    def _tape_run(self, tape: Tape, replication: int) -> Run:
        spec, notes = fitted(self.spec, scored_tape=scored(tape))
        serving = Serving(tape=tape, rng=self._rng(replication))
        scores = tuple(metric.name for metric in spec.rollout.analysis.metrics)
        source = Increments(serving=serving, scores=scores)
        run = Player(spec=spec, serving=serving, source=source, every_look=self.every_look).play()
        return replace(run, notes=(*run.notes, *notes))

    def _scenario_run(self, scenario: Scenario, replication: int) -> Run:
        spec, notes = fitted(self.spec, scored_tape=False)
        traffic_rng, serving_rng, scraping_rng = self._rng(replication).spawn(3)
        tape = of_traffic(increments(scenario, seed=int(traffic_rng.integers(2**63))), 0)
        serving = Serving(tape=tape, rng=serving_rng)
        source = Scraped(spec=spec, serving=serving, scenario=scenario, rng=scraping_rng)
        try:
            run = Player(spec=spec, serving=serving, source=source, every_look=self.every_look).play()
        finally:
            source.close()
        return replace(run, notes=(*run.notes, *notes))

    def _rng(self, replication: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, replication])


def fitted(spec: Spec, *, scored_tape: bool) -> tuple[Spec, tuple[str, ...]]:
    """Return the spec without what the traffic can't show, and the notes about it."""
    spec, notes = rehearsed(spec)
    analysis = spec.rollout.analysis
    kept = tuple(metric for metric in analysis.metrics if scored_tape and metric.sum is not None)
    notes += tuple(
        f"the traffic does not tell the metric {metric.name}: it is left out"
        for metric in analysis.metrics
        if metric not in kept
    )
    return replace(spec, rollout=replace(spec.rollout, analysis=replace(analysis, metrics=kept))), notes
