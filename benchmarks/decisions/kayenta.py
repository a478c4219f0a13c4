"""Kayenta's NetflixACAJudge with its defaults, on a canary and a baseline of the same size.

At the end of each step the judge compares two series, one value per scrape: a Mann-Whitney
confidence interval (98 %) of the shift between them. A metric is `High`, and the canary fails,
if the whole interval lies above a quarter of the estimated shift. The interval comes from the
order statistics of all pairwise differences (Hollander and Wolfe, section 4.3), which is what
the normal approximation of the test inverts to.
"""

from __future__ import annotations

import numpy

from benchmarks.decisions.limits import quantile
from benchmarks.decisions.outcomes import Ledger, Outcomes
from benchmarks.decisions.traffic import Bools, Floats, Sample, Traffic, thin

POINTS = 50
TOLERANCE = 0.25
Z = 2.3263478740408408  # of a two-sided confidence of 98 %
LADDER = (0.05, 0.10, 0.25, 0.50)


def run(traffic: Traffic, *, latency: bool, seed: int) -> Outcomes:
    """Return how the runs end; `latency` judges the p99 of each scrape instead of the failure ratio."""
    rng, ledger = numpy.random.default_rng(seed), Ledger(traffic)
    last = 0
    for step, weight in enumerate(LADDER):
        first, last = last, last + POINTS
        share = numpy.full(traffic.replications, weight)
        ledger.serve(slice(first, last), share)
        window = slice(first, last)
        values = [
            _series(thin(arm, scrape=window, weight=share, rng=rng), traffic=traffic, latency=latency)
            for arm in (traffic.candidate, traffic.stable)
        ]
        high = is_high(*values)
        ledger.end(promote=~high & (step == len(LADDER) - 1), roll_back=high, scrape=last)
    ledger.serve(slice(last, None), share)
    return ledger.outcomes()


def _series(sample: Sample, *, traffic: Traffic, latency: bool) -> Floats:
    """Return the values of the metric, (points, R); NaN in a scrape without requests."""
    if latency:
        return quantile(sample.within, requests=sample.requests, bounds=traffic.bounds, level=0.99)
    with numpy.errstate(invalid="ignore"):
        return numpy.asarray(sample.failures / sample.requests)


def is_high(experiment: Floats, control: Floats) -> Bools:
    """Return, per run, whether the experiment's series is `High`; series are (points, R), NaN is left out."""
    answers = [
        _high(one[~numpy.isnan(one)], other[~numpy.isnan(other)])
        for one, other in zip(experiment.T, control.T, strict=True)
    ]
    return numpy.array(answers, dtype=bool)


def _high(experiment: Floats, control: Floats) -> bool:
    if not len(experiment) or not len(control) or numpy.array_equal(experiment, control):
        return False
    lower, _, estimate = shift(experiment, control, z=Z)
    return lower > TOLERANCE * abs(estimate)


def shift(experiment: Floats, control: Floats, *, z: float) -> tuple[float, float, float]:
    """Return lower and upper confidence limit of the shift, and its Hodges-Lehmann estimate."""
    differences = numpy.sort(numpy.subtract.outer(experiment, control), axis=None)
    m, n = len(experiment), len(control)
    place = max(0, int(numpy.floor(m * n / 2 - z * numpy.sqrt(m * n * (m + n + 1) / 12))) - 1)
    return float(differences[place]), float(differences[-1 - place]), float(numpy.median(differences))
