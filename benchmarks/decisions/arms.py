"""The engine's view of simulated traffic: what each lane counts in one scrape, for all replications."""

from __future__ import annotations

import numpy
from modelrelease.domain.analysis import buckets
from modelrelease.domain.analysis.lanes import Lanes, Memory
from modelrelease.domain.counts import Arm
from modelrelease.domain.policy import Latency
from modelrelease.simulate.traffic import Counts
from modelrelease.simulate.traffic import Traffic as Simulated
from numpy.typing import NDArray

from benchmarks.decisions.traffic import Floats


def bounds(latency: Latency, full: Simulated) -> tuple[float, ...]:
    """Return the bounds that the engine freezes; read off all runs together, which see the same service."""
    if full.stable.latency is None:
        return ()
    within = full.stable.latency[: full.first].sum(axis=(0, 1, 2))
    edges = (*full.bounds, numpy.inf)
    return buckets.freeze(latency, [Arm(latency=tuple(zip(edges, within.tolist(), strict=True)))])


def history(
    full: Simulated, *, bounds: tuple[float, ...]
) -> tuple[tuple[Floats, Floats] | None, tuple[Floats, Floats]]:
    """Return stable's bad and all requests before the release.

    By pod (T, P, R, M), None where there is one, and together (T, R, M).
    """
    x, n = _lanes(full.stable.between(0, full.first), full, bounds)  # (T, R, P, M)
    pods = None if x.shape[2] < 2 else (x.swapaxes(1, 2), n.swapaxes(1, 2))
    return pods, (x.sum(axis=2), n.sum(axis=2))


def counts(
    full: Simulated,
    *,
    scrape: int,
    share: Floats,
    mirror: Floats | None,
    bounds: tuple[float, ...],
    started: Floats,
    rng: numpy.random.Generator,
) -> Floats:
    """Return (R, lanes, 4): x_s, n_s, x_c, n_c of the live lanes, then of the mirrored ones unless `mirror` is None.

    `share` is the candidate's weight and `mirror` the share of the requests that are copied, (R,).
    """
    candidate, shadow = _candidate(full, scrape=scrape, started=started)
    stable = full.stable.between(scrape, scrape + 1).thin(rng, (1.0 - share)[None, :, None])
    x_s, n_s = _together(stable, full, bounds)
    x_c, n_c = _together(candidate.thin(rng, share[None, :, None]), full, bounds)
    live = numpy.stack((x_s, n_s, x_c, n_c), axis=-1)
    if mirror is None:
        return live
    x_m, n_m = _together(shadow.thin(rng, mirror[None, :, None]), full, bounds)
    mirrored = numpy.stack((x_s, n_s, x_m, n_m), axis=-1) * (n_m > 0)[..., None]
    return numpy.concatenate((live, mirrored), axis=1)


def excess(before: Floats, *, counts: Floats, memory: Memory, contract: Lanes) -> Floats:
    """Return the bad requests beyond the FAIL line after a block: `budget.fold` for all runs; `counts` are (R, 4)."""
    x_s, n_s, x_c, n_c = counts.T
    a, r = float(contract.fail.a[0]), float(contract.fail.r[0])
    played = (n_c > 0) & (n_s > 0)
    safe_s, both = numpy.where(played, n_s, 1.0), numpy.where(played, n_s + n_c, 1.0)
    phi = numpy.maximum(memory.floor[:, 0], 1.0 + 2.0 * memory.noise[:, 0] * n_s * n_c / both)
    after = numpy.maximum(0.0, before + (x_c - n_c * (a + r * x_s / safe_s)) / phi)
    return numpy.where(played, after, before)


def _candidate(full: Simulated, *, scrape: int, started: Floats) -> tuple[Counts, Counts]:
    """Return candidate and shadow in one scrape; a fault that waits for its weight is in force where its clock says."""
    now = slice(scrape, scrape + 1)
    chosen = [part.between(now.start, now.stop) for part in (full.candidate, full.shadow)]
    fault = full.scenario.fault
    if fault is None or not fault.after_weight or full.faulty is None or full.faulty_shadow is None:
        return chosen[0], chosen[1]
    age = full.times[scrape] - started
    active = ((age > fault.onset) & (age <= (numpy.inf if fault.end is None else fault.end)))[None, :, None]
    faulty = [part.between(now.start, now.stop) for part in (full.faulty, full.faulty_shadow)]
    mixed = [_mixed(active, bad, good) for bad, good in zip(faulty, chosen, strict=True)]
    return mixed[0], mixed[1]


def _mixed(active: NDArray[numpy.bool_], bad: Counts, good: Counts) -> Counts:
    latency = None
    if bad.latency is not None and good.latency is not None:
        latency = numpy.where(active[..., None], bad.latency, good.latency)
    return Counts(
        requests=numpy.where(active, bad.requests, good.requests),
        failures=numpy.where(active, bad.failures, good.failures),
        latency=latency,
    )


def _together(counts: Counts, full: Simulated, bounds: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return bad and all of one scrape with the pods summed up, (R, M)."""
    x, n = _lanes(counts, full, bounds)
    return x.sum(axis=2)[0], n.sum(axis=2)[0]


def _lanes(counts: Counts, full: Simulated, bounds: tuple[float, ...]) -> tuple[Floats, Floats]:
    """Return bad and all of every metric, (T, R, P, M): failures, then what is slower than each bound."""
    bad = [counts.failures]
    if counts.latency is not None:
        places = [full.bounds.index(bound) for bound in bounds]
        bad += [counts.latency[..., -1] - counts.latency[..., place] for place in places]
    x = numpy.stack(bad, axis=-1).astype(float)
    return x, numpy.repeat(counts.requests[..., None].astype(float), x.shape[-1], axis=-1)
