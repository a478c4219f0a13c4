"""Our release on many replications at once: the very engine, and the ladder that `decide` walks.

The arrays of the engine carry the replications as their leading axis. The ladder is written
once more here, for arrays; a test holds it against `modelrelease simulate`, which runs `decide`.
A block is one scrape, and it is read when the next one has come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy
from modelrelease.domain.analysis import budget, dispersion, portfolio
from modelrelease.domain.analysis.kernel import Counts
from modelrelease.domain.analysis.lanes import Lanes, Memory, fresh, next_step
from modelrelease.domain.analysis.metrics import ERRORS, OBJECTIVE, metrics
from modelrelease.domain.analysis.metrics import lanes as contract_of
from modelrelease.domain.analysis.report import AMBER, LEAST_BLOCKS
from modelrelease.domain.planning import plan_ladder
from modelrelease.domain.policy import Bake, Rollout, Shadow, Step
from modelrelease.simulate.traffic import Traffic as Simulated

from benchmarks.decisions import arms
from benchmarks.decisions.cells import Cell, Plan
from benchmarks.decisions.outcomes import Ledger, Outcomes
from benchmarks.decisions.traffic import Bools, Floats, Traffic, harm

SHADOW, BAKE = -1, 1000  # instead of the number of a step
_LADDER = (5, 10, 25, 50)
_FAILURES = (ERRORS, OBJECTIVE)


def rollout(cell: Cell) -> Rollout:
    """Return the spec of a cell: the defaults, and what its plan says."""
    if cell.plan is Plan.MIRROR:
        # At 1 request/s a certificate takes more copies than five minutes bring.
        patient = 5.0 if cell.scenario.requests_per_second >= 10 else 45.0
        return Rollout(shadow=Shadow(duration=60.0 * patient))
    bake = Bake(holdback=5) if cell.plan is Plan.HOLDBACK else Bake()
    return Rollout(steps=tuple(Step(weight=weight) for weight in _LADDER), bake=bake)


@dataclass(frozen=True)
class _Setup:
    """What does not change during a cell; `contract` has the live lanes, then the mirrored ones."""

    spec: Rollout
    weights: tuple[int, ...]
    contract: Lanes
    names: tuple[str, ...]  # of the lanes' metrics
    count: int  # metrics
    bounds: tuple[float, ...]
    scrape: float

    @property
    def mirrored(self) -> bool:
        return self.spec.shadow is not None

    def scrapes(self, seconds: float) -> int:
        return int(numpy.ceil(seconds / self.scrape - 1e-9))


@dataclass(frozen=True)
class _State:
    """All runs between two scrapes; arrays over the runs."""

    memory: Memory
    step: Floats
    began: Floats  # scrape at which the step began
    requests: Floats  # the candidate's, in this step after its warm-up
    blocks: Floats
    proven: Bools  # (R, metrics), by the mirror
    excess: Floats
    fault: Floats  # seconds at which the fault's clock started, infinite before


def run(cell: Cell, full: Simulated, traffic: Traffic, *, seed: int) -> tuple[Outcomes, Floats, Floats]:
    """Return how the runs end, when each run's fault began in seconds, and what share it spoilt, (T, R)."""
    rng, ledger = numpy.random.default_rng(seed), Ledger(traffic)
    setup = _setup(cell, full)
    state = _begin(setup, full)
    unread: list[tuple[Floats, Bools]] = []
    for scrape in range(traffic.scrapes):
        weight = _weight(setup, state)
        ledger.serve(slice(scrape, scrape + 1), weight)
        state = _clock(cell, state, weight=weight, now=scrape * setup.scrape)
        warm = scrape - state.began >= setup.scrapes(setup.spec.analysis.warmup)
        counts = arms.counts(
            full,
            scrape=full.first + scrape,
            share=weight,
            mirror=_mirror(setup, state) if setup.mirrored else None,
            bounds=setup.bounds,
            started=state.fault,
            rng=rng,
        )
        unread.append((counts * ledger.running[:, None, None], warm))
        if len(unread) > 1:
            state = _look(setup, state, *unread.pop(0))
            state = _decide(setup, state, ledger, scrape=scrape + 1)
            unread = [(rest * (state.began <= scrape)[:, None, None], settled) for rest, settled in unread]
    onset = (cell.scenario.fault.onset if cell.scenario.fault else 0.0) + numpy.where(
        numpy.isfinite(state.fault), state.fault, 0.0
    )
    clock = state.fault if cell.scenario.fault else numpy.zeros_like(state.fault)
    ages = full.times[full.first :, None] - clock[None, :]
    return ledger.outcomes(), onset, harm(cell.scenario, ages=ages)


def _setup(cell: Cell, full: Simulated) -> _Setup:
    spec = rollout(cell)
    bounds = arms.bounds(spec.analysis.latency, full)
    known = metrics(spec.analysis, bounds)
    weights = tuple(step.weight for step in spec.steps)
    if not weights:
        scenario = cell.scenario
        weights = plan_ladder(
            policy=spec,
            requests_per_second=scenario.requests_per_second,
            error_ratio=scenario.error_ratio,
            block=scenario.scrape,
        ).weights
    sources = 2 if spec.shadow else 1
    return _Setup(
        spec=spec,
        weights=weights,
        contract=contract_of(known, sources=sources),
        names=sources * tuple(metric.name for metric in known),
        count=len(known),
        bounds=bounds,
        scrape=cell.scenario.scrape,
    )


def _begin(setup: _Setup, full: Simulated) -> _State:
    """Read the noise off stable's history, as `analysis.begin` does; open the mirror's lanes from the same cash."""
    runs = full.stable.requests.shape[1]
    pods, (x, n) = arms.history(full, bounds=setup.bounds)
    noise = dispersion.kappa(x, n)
    if pods is not None:
        noise = numpy.maximum(noise, dispersion.kappa_between(*pods))
    short = len(x) * setup.scrape < dispersion.SHORT_HISTORY
    wide = len(setup.contract.weight) // setup.count
    memory = fresh(
        (runs, len(setup.contract.weight)),
        noise=numpy.tile(noise, (1, wide)),
        floor=dispersion.SHORT_FLOOR if short else 1.0,
    )
    memory = memory.with_history(*(numpy.tile(part.sum(axis=0), (1, wide)) for part in (x, n)))
    if wide > 1:
        memory = replace(memory, fail_cash=0.5 * memory.fail_cash)
    zero = numpy.zeros(runs)
    return _State(
        memory=memory,
        step=zero + (SHADOW if setup.mirrored else 0),
        began=zero,
        requests=zero,
        blocks=zero,
        proven=numpy.zeros((runs, setup.count), dtype=bool),
        excess=zero,
        fault=zero + numpy.inf,
    )


def _weight(setup: _Setup, state: _State) -> Floats:
    """Return the candidate's share of the traffic."""
    ladder = numpy.array([*setup.weights, 0.0]) / 100.0
    share = ladder[numpy.clip(state.step, -1, len(setup.weights) - 1).astype(int)]
    baking = 1.0 - setup.spec.bake.holdback / 100.0
    return numpy.where(state.step == SHADOW, 0.0, numpy.where(state.step == BAKE, baking, share))


def _mirror(setup: _Setup, state: _State) -> Floats:
    """Return the share of the requests that are copied to the candidate."""
    if setup.spec.shadow is None:
        return numpy.zeros_like(state.step)
    most = numpy.minimum(setup.spec.shadow.percent / 100.0, 1.0 - _weight(setup, state))
    return numpy.where(state.step == BAKE, 0.0, most)


def _clock(cell: Cell, state: _State, *, weight: Floats, now: float) -> _State:
    """Start the clock of a fault: at once, or when the candidate gets enough traffic."""
    fault = cell.scenario.fault
    if fault is None:
        return state
    enough = 0.9 if fault.after_weight >= 100 else fault.after_weight / 100.0
    started = numpy.where(numpy.isinf(state.fault) & (weight >= enough), now, state.fault)
    return replace(state, fault=numpy.zeros_like(started) if not fault.after_weight else started)


def _look(setup: _Setup, state: _State, counts: Floats, settled: Bools) -> _State:
    """Fold one block; `counts` are (R, lanes, 4). Until a run is `settled` failures count, against it alone."""
    heard = numpy.array([name in _FAILURES for name in setup.names])
    counts = counts * (settled[:, None] | heard[None, :])[:, :, None]
    split = Counts(*(counts[None, :, :, i] for i in range(4)))
    memory, _ = portfolio.fold(setup.contract, state.memory, split, settled=settled[None, :, None])
    candidate = counts[:, 0, 3]
    return replace(
        state,
        memory=memory,
        requests=state.requests + candidate,
        blocks=state.blocks + (candidate > 0),
        excess=arms.excess(state.excess, counts=counts[:, 0], memory=memory, contract=setup.contract),
    )


def _decide(setup: _Setup, state: _State, ledger: Ledger, *, scrape: int) -> _State:
    """Walk on: roll back, take the next step, promote."""
    against = state.memory.fail_e.reshape(len(state.step), -1, setup.count).sum(axis=1)
    failed = (setup.contract.weight[: setup.count] * against).sum(axis=1) >= 1.0 / setup.contract.alpha
    spent = state.excess >= _budget(setup, state)
    passed = state.memory.pass_best.reshape(len(state.step), -1, setup.count) >= 1.0 / setup.contract.beta
    shadowing = state.step == SHADOW
    proven = state.proven | (passed[:, -1] & shadowing[:, None]) if setup.mirrored else state.proven
    analysis = setup.spec.analysis
    age = (scrape - state.began) * setup.scrape
    settled = age >= analysis.warmup + analysis.min_duration
    enough = settled & (state.requests >= analysis.min_requests) & (state.blocks >= LEAST_BLOCKS)
    calm = against.sum(axis=1) < AMBER
    done = enough & calm & (passed[:, 0] | proven).all(axis=1) & ~shadowing
    if setup.spec.shadow is not None:
        done |= shadowing & (proven.all(axis=1) | (age >= setup.spec.shadow.duration)) & calm
    baking = state.step == BAKE
    last = state.step == len(setup.weights) - 1
    keep_control = setup.spec.bake.holdback >= 5  # only there the bake is part of what is tried
    ended = baking & (age >= setup.spec.bake.duration)
    ledger.end(
        promote=(ended if keep_control else done & last) & ~failed & ~spent, roll_back=failed | spent, scrape=scrape
    )
    onward = done & ~baking & ledger.running
    following = numpy.where(last, BAKE, state.step + 1)
    memory = next_step(state.memory, where=onward)
    return replace(
        state,
        memory=memory,
        proven=proven,
        step=numpy.where(onward, following, state.step),
        began=numpy.where(onward, scrape, state.began),
        requests=numpy.where(onward, 0.0, state.requests),
        blocks=numpy.where(onward, 0.0, state.blocks),
    )


def _budget(setup: _Setup, state: _State) -> Floats:
    memory, share = state.memory, numpy.maximum(_weight(setup, state), 1e-6)
    base = memory.base[:, 0]
    line = (float(setup.contract.fail.a[0]), float(setup.contract.fail.r[0]))
    most = float(setup.spec.analysis.bad_request_budget)
    ratios = share / (1.0 - share)
    return numpy.array(
        [
            budget.limit(budget=most, base=p, line=line, ratio=q)
            for p, q in zip(base.tolist(), ratios.tolist(), strict=True)
        ]
    )
