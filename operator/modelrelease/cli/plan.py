"""`modelrelease plan`: how long a release is likely to take from today's traffic, and what would change that."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from modelrelease.cli import production
from modelrelease.cli.errors import OK, CommandError
from modelrelease.cli.spec_file import Written, read_release
from modelrelease.domain.analysis.dispersion import kappa
from modelrelease.domain.plan import Window
from modelrelease.domain.planning import WEIGHTS, Ladder, expect, plan_ladder
from modelrelease.domain.policy import Rollout, Shadow
from modelrelease.simulate.report import number

SCRAPE = 15.0  # seconds, where nobody has measured it
PAST = 3600.0  # seconds of today's traffic that are read


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Stable's traffic: requests per second, ratio of failures, spacing of the scrapes in seconds, and noise."""

    requests_per_second: float
    error_ratio: float
    block: float = SCRAPE
    noise: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """Another way to release, and what it takes."""

    what: str
    ladder: Ladder


def run(options: argparse.Namespace) -> int:
    """Plan and print.

    Raises:
        CommandError: a file or an option can not be used, or the metrics do not tell the traffic.

    """
    release = read_release(options.file)
    rate = _given(options) if options.prometheus_url is None else _measured(options, release)
    policy = release.spec.rollout
    ladder, others = planned(policy, rate), tuple(alternatives(policy, rate))
    if options.output == "json":
        print(json.dumps(_json(rate, ladder, others), indent=2))  # noqa: T201
        return OK
    console = Console()
    for line in _text(policy, rate, ladder, others):
        console.print(line)
    return OK


def _given(options: argparse.Namespace) -> Rate:
    rate, ratio = options.requests_per_second, options.error_ratio
    if rate is None:
        raise CommandError("the traffic is not known: write --requests-per-second, or --prometheus-url to measure it")
    if not 0 < rate < math.inf:
        raise CommandError(f"--requests-per-second is {rate:g}: allowed is any number above 0")
    if not 0 <= ratio <= 1:
        raise CommandError(f"--error-ratio is {ratio:g}: allowed are 0 to 1, such as 0.01 for 1 %")
    return Rate(requests_per_second=rate, error_ratio=ratio)


def _measured(options: argparse.Namespace, release: Written) -> Rate:
    """Return what stable served in the last hour, as the operator would read it."""
    if options.requests_per_second is not None:
        raise CommandError("--requests-per-second and --prometheus-url are both given: leave one out")
    now = production.now()
    window = Window(start=now, end=now, history=PAST)
    evidence = production.read(options.prometheus_url, release, namespace=options.namespace, window=window)
    history = evidence.history
    counts = [window for window in history.windows if window.requests >= 1] if history else []
    if history is None or not counts:
        raise CommandError("stable had no requests in the last hour: write --requests-per-second and --error-ratio")
    requests, failures = sum(arm.requests for arm in counts), sum(arm.failures for arm in counts)
    bad, every = (np.array([[getattr(arm, name)] for arm in counts]) for name in ("failures", "requests"))
    return Rate(
        requests_per_second=requests / history.block / len(history.windows),
        error_ratio=failures / requests,
        block=evidence.scrape or SCRAPE,
        noise=float(kappa(bad, every)[0]),
    )


def planned(policy: Rollout, rate: Rate, *, weights: tuple[int, ...] | None = None) -> Ladder:
    """Return the ladder of a policy, its own or the planned one, or another, with what is to be expected of it."""
    known = {"requests_per_second": rate.requests_per_second, "error_ratio": rate.error_ratio, "block": rate.block}
    own = weights or tuple(step.weight for step in policy.steps)
    own = own or plan_ladder(policy=policy, **known).weights
    return expect(policy=policy, weights=own, noise=rate.noise, **known)


def alternatives(policy: Rollout, rate: Rate) -> Iterator[Alternative]:
    """Yield what other margins, first steps and copies would take."""
    margin, weights = policy.analysis.error_rate.max_increase, planned(policy, rate).weights
    for factor, word in ((0.5, "half"), (2.0, "twice")):
        errors = replace(policy.analysis.error_rate, max_increase=factor * margin)
        other = replace(policy, analysis=replace(policy.analysis, error_rate=errors))
        what = f"{word} the margin: errorRate.maxIncrease {factor * margin:g}"
        yield Alternative(what=what, ladder=planned(other, rate, weights=weights))
    larger = next((weight for weight in WEIGHTS if weight > weights[0]), None)
    if larger is not None:
        rest = tuple(weight for weight in weights[1:] if weight > larger)
        yield Alternative(
            what=f"a larger first step: {larger} %", ladder=planned(policy, rate, weights=(larger, *rest))
        )
    if policy.shadow is None:
        copied = replace(policy, shadow=Shadow())
        yield Alternative(what="copies of all requests first: shadow {percent: 100}", ladder=planned(copied, rate))


def _text(policy: Rollout, rate: Rate, ladder: Ladder, others: Sequence[Alternative]) -> Iterator[RenderableType]:
    noise = ", with noise of its own" if rate.noise > 0.01 else ""
    yield Text(
        f"for {rate.requests_per_second:.4g} requests/s of which {100 * rate.error_ratio:.3g} % fail{noise}, "
        "and a candidate that is as good:"
    )
    yield _steps(policy, rate, ladder)
    yield Text.assemble(
        (f"{_minutes(ladder.total_minutes)} to all the traffic", "bold"),
        f", then {_minutes(policy.bake.duration / 60)} of bake; half of all releases take longer. "
        f"One that fails every request costs {_count(ladder.at_risk)} requests before it is stopped "
        f"(the budget is {policy.analysis.bad_request_budget}).",
    )
    yield from (Text(line, "yellow") for line in _warnings(policy, ladder))
    yield Text()
    table = Table(box=None, header_style="dim", padding=(0, 3, 0, 0))
    for name in ("instead", "weights", "minutes", "requests at risk"):
        table.add_column(name, justify="left" if name in ("instead", "weights") else "right")
    for other in others:
        found = other.ladder
        table.add_row(other.what, _weights(found.weights), _minutes(found.total_minutes), _count(found.at_risk))
    yield table


def _steps(policy: Rollout, rate: Rate, ladder: Ladder) -> Table:
    table = Table(box=None, header_style="dim", padding=(0, 3, 0, 0))
    for name in ("step", "minutes", "candidate's requests"):
        table.add_column(name, justify="left" if name == "step" else "right")
    if policy.shadow is not None and ladder.shadow_minutes is not None:
        copies = policy.shadow.percent / 100 * rate.requests_per_second * 60 * ladder.shadow_minutes
        table.add_row("shadow", _minutes(ladder.shadow_minutes), f"{_count(copies)} copies")
    for weight, minutes in zip(ladder.weights, ladder.minutes, strict=True):
        requests = weight / 100 * rate.requests_per_second * 60 * minutes
        table.add_row(f"{weight} %", _minutes(minutes), _count(requests))
    return table


def _warnings(policy: Rollout, ladder: Ladder) -> Iterator[str]:
    limit = policy.analysis.step_deadline / 60
    slow = [weight for weight, minutes in zip(ladder.weights, ladder.minutes, strict=True) if minutes > limit]
    if slow:
        yield (
            f"at {_weights(tuple(slow))} the evidence is likely to take longer than analysis.stepDeadline "
            f"({limit:g} min); then onInconclusive applies: {policy.analysis.on_inconclusive}"
        )
    proof = ladder.proof_minutes
    if proof is not None and policy.shadow is not None and 60 * proof > policy.shadow.duration:
        yield (
            f"the shadow ends before it has proven the candidate, which takes {_minutes(proof)}: "
            "with a longer shadow.duration the steps need no proof of their own"
        )
    if ladder.at_risk > policy.analysis.bad_request_budget and ladder.weights[0] > WEIGHTS[0]:
        yield f"the first step of {ladder.weights[0]} % risks more than analysis.badRequestBudget: begin lower"


def _weights(weights: tuple[int, ...]) -> str:
    return ", ".join(f"{weight} %" for weight in weights)


def _minutes(minutes: float) -> str:
    if not math.isfinite(minutes):
        return "for ever"
    return f"{minutes:.1f} min" if minutes < 10 else f"{minutes:.0f} min" if minutes < 600 else f"{minutes / 60:.0f} h"


def _count(count: float) -> str:
    return f"{count:,.0f}".replace(",", " ") if math.isfinite(count) else "any number of"


def _json(rate: Rate, ladder: Ladder, others: Sequence[Alternative]) -> dict[str, Any]:
    return {
        "requestsPerSecond": rate.requests_per_second,
        "errorRatio": rate.error_ratio,
        "noise": rate.noise,
        **_ladder(ladder),
        "alternatives": [{"what": other.what, **_ladder(other.ladder)} for other in others],
    }


def _ladder(ladder: Ladder) -> dict[str, Any]:
    return {
        "weights": list(ladder.weights),
        "minutes": [_finite(minutes) for minutes in ladder.minutes],
        "shadowMinutes": None if ladder.shadow_minutes is None else _finite(ladder.shadow_minutes),
        "totalMinutes": _finite(ladder.total_minutes),
        "requestsAtRisk": _finite(ladder.at_risk),
    }


def _finite(value: float) -> float | int | None:
    """Return a number for JSON, which knows no infinity: null for never."""
    return number(round(value, 2)) if math.isfinite(value) else None
