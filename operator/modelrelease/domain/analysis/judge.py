"""`begin`, `enter` and `judge`: stateless between looks, all that is remembered is in `AnalysisState`.

A look folds the blocks since the state's `until`. Where the new state is not written, the next look
folds the same blocks again, and comes to the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import numpy

from modelrelease.domain.analysis import buckets, budget, dispersion, drift, portfolio
from modelrelease.domain.analysis.exposure import Exposure
from modelrelease.domain.analysis.kernel import Counts
from modelrelease.domain.analysis.lanes import Lanes, next_step
from modelrelease.domain.analysis.metrics import Metric, lanes, metrics
from modelrelease.domain.analysis.pack import MIRRORED, Carried, empty, fitted, pack, unpack
from modelrelease.domain.analysis.paired import fold as fold_pairs
from modelrelease.domain.analysis.paired import restarted, sound
from modelrelease.domain.analysis.reading import Look, counted, read
from modelrelease.domain.analysis.report import is_amber, report, unreadable
from modelrelease.domain.counts import Arm, Block, Evidence, History
from modelrelease.domain.policy import Analysis
from modelrelease.domain.status import AnalysisState, Verdict


def begin(*, policy: Analysis, history: History | None, block: float, at: datetime) -> AnalysisState:
    """Return the state before the first traffic: bounds of latency frozen, noise read off stable's history.

    `block` is the spacing of the scrapes in seconds; a block is never longer than `interval`.
    """
    spacing = min(block, policy.interval) if block > 0 else policy.interval
    windows = history.windows if history else ()
    bounds = buckets.freeze(policy.latency, windows)
    known = metrics(policy, bounds)
    carried = (
        _from_history(known, history) if history and windows else empty(_names(known), floor=dispersion.SHORT_FLOOR)
    )
    return AnalysisState(until=at, block=spacing, bounds=bounds, state=pack(carried))


def enter(*, policy: Analysis, state: AnalysisState, at: datetime) -> AnalysisState:
    """Return the state at the start of a step, of the shadow or of the bake; `at` is when its first block begins.

    Until the policy's warm-up is over, failures count against the candidate, and nothing counts for it.

    Tests for the candidate begin anew: load changes behaviour. Those against it, the noise and
    the budget carry on. A state that can't be read stays as it is, for `judge` to tell.
    """
    warm = at + timedelta(seconds=policy.warmup)
    try:
        carried = unpack(state.state)
    except ValueError:
        return replace(state, until=at, warm=warm)
    carried = replace(
        carried,
        memory=next_step(carried.memory),
        tally=numpy.zeros_like(carried.tally),
        split=(0.0, 0.0),
        paired=restarted(carried.paired),
    )
    return replace(state, until=at, warm=warm, state=pack(carried))


def judge(
    *, policy: Analysis, state: AnalysisState, evidence: Evidence, exposure: Exposure
) -> tuple[tuple[Verdict, ...], AnalysisState]:
    """Return one verdict per metric, and the state after the evidence's blocks. Pure and total."""
    blocks = tuple(
        block
        for block in sorted(evidence.blocks, key=lambda block: block.start)
        if block.start >= state.until and block.end > block.start
    )
    bounds, unheard = state.bounds, 0
    if not bounds:
        bounds, unheard = _late_bounds(policy, blocks)
    known = metrics(policy, bounds)
    if evidence.error is not None:
        return unreadable(known, evidence, evidence.error.message), state
    try:
        carried = unpack(state.state)
    except ValueError as error:
        said = f"{error}: retry the release to begin its analysis anew"
        return unreadable(known, evidence, said), state
    known_problems = {name: problem.message for name, problem in evidence.problems.items()}
    look = read(known, blocks, warm=state.warm, unheard=unheard, problems=known_problems)
    carried = _fitted(carried, known, shadowed=look.shadowed)
    contract = lanes(known, sources=len(carried.names) // len(known))
    carried = _answers(_folded(contract, carried, look), blocks)
    carried = _proven(contract, carried, exposure)
    verdicts = report(
        policy=policy, known=known, contract=contract, carried=carried, look=look, evidence=evidence, exposure=exposure
    )
    until = blocks[-1].end if blocks else state.until
    return verdicts, replace(state, until=until, bounds=bounds, state=pack(carried))


def amber(state: AnalysisState) -> bool:
    """Tell whether there is so much evidence against the candidate that nobody should advance it by a deadline."""
    try:
        return is_amber(unpack(state.state))
    except ValueError:
        return True


def _from_history(known: Sequence[Metric], history: History) -> Carried:
    """Return the state with the base ratios and the noise of stable's history."""
    x, n = (numpy.array(part) for part in zip(*(_counted(known, arm) for arm in history.windows), strict=True))
    noise = dispersion.kappa(x, n)
    if len(history.by_process) == len(history.windows):
        split = numpy.array([[_counted(known, arm) for arm in window] for window in history.by_process])
        noise = numpy.maximum(noise, dispersion.kappa_between(split[:, :, 0], split[:, :, 1]))
    spacing = history.block * len(history.windows)
    floor = dispersion.SHORT_FLOOR if spacing < dispersion.SHORT_HISTORY else 1.0
    carried = empty(_names(known), noise=noise, floor=floor)
    memory = carried.memory.with_history(x.sum(axis=0), n.sum(axis=0))
    return replace(carried, memory=memory, history=spacing)


def _counted(known: Sequence[Metric], arm: Arm) -> tuple[list[float], list[float]]:
    """Return bad and all of every metric; nothing where the counts make no sense."""
    found = [counted(metric, arm) for metric in known]
    return [x for x, _ in found], [n for _, n in found]


def _late_bounds(policy: Analysis, blocks: Sequence[Block]) -> tuple[tuple[float, ...], int]:
    """Return bounds from the first blocks that suffice, where there was no history, and how many blocks those are."""
    for count in range(1, len(blocks) + 1):
        if bounds := buckets.freeze(policy.latency, (block.stable for block in blocks[:count])):
            return bounds, count
    return (), 0


def _names(known: Sequence[Metric]) -> tuple[str, ...]:
    return tuple(metric.name for metric in known)


def _fitted(carried: Carried, known: Sequence[Metric], *, shadowed: bool) -> Carried:
    """Return the state with the lanes of today's metrics, and those of mirrored requests once there are any.

    The mirror's tests against the candidate are paid from the live ones' cash: the two wealths
    add up to one test of the metric, and no request is counted for it twice.
    """
    live = _names(known)
    mirrored = tuple(MIRRORED + name for name in live)
    open_already = any(name.startswith(MIRRORED) for name in carried.names)
    fit = fitted(carried, live + mirrored if shadowed or open_already else live)
    if not shadowed or open_already:
        return fit
    count, memory = len(live), fit.memory
    half = 0.5 * memory.fail_cash[:count]
    copied = {name: numpy.concatenate((getattr(memory, name)[:count],) * 2) for name in ("noise", "floor")}
    averages = memory.averages.copy()
    averages[count:, :4] = averages[:count, :4]  # stable's
    opened = replace(memory, fail_cash=numpy.concatenate((half, half)), averages=averages, **copied)
    return replace(fit, memory=opened)


def _folded(contract: Lanes, carried: Carried, look: Look) -> Carried:
    count = len(carried.names)
    counts = Counts(*(part[:, :count] for part in look.counts))
    memory, _ = portfolio.fold(contract, carried.memory, counts, settled=look.settled[:, None])
    tally = carried.tally + numpy.stack([*(part.sum(axis=0) for part in counts), (counts.n_c > 0).sum(axis=0)], axis=-1)
    excess = budget.fold(
        carried.excess,
        counts=Counts(*(part[:, 0] for part in counts)),
        line=(float(contract.fail.a[0]), float(contract.fail.r[0])),
        noise=(float(memory.noise[0]), float(memory.floor[0])),
    )
    split = (carried.split[0] + look.requests[0], carried.split[1] + look.requests[1])
    return replace(carried, memory=memory, tally=tally, excess=excess, split=split)


def _answers(carried: Carried, blocks: Sequence[Block]) -> Carried:
    """Fold what is known of single answers: pairs and classes, from the live arm and the mirror's."""
    paired, classes = carried.paired, carried.classes
    for block in blocks:
        for arm in (block.candidate, block.shadow):
            if arm.pairs is not None and sound(arm.pairs):
                paired = fold_pairs(paired, arm.pairs)
        answered = block.shadow if block.shadow.classes else block.candidate
        classes = drift.fold(classes, stable=block.stable, candidate=answered)
    return replace(carried, paired=paired, classes=classes)


def _proven(contract: Lanes, carried: Carried, exposure: Exposure) -> Carried:
    """Latch what a full mirror has proved: it serves every step."""
    if not exposure.shadowed:
        return carried
    mirrored = numpy.array([name.startswith(MIRRORED) for name in carried.names])
    proven = mirrored & (carried.memory.pass_best >= 1.0 / contract.beta)
    return replace(carried, proven=numpy.maximum(carried.proven, proven))
