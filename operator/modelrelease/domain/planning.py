"""How fast a release can go: the ladder of weights from today's traffic, and the time it takes.

Evidence is a sum of bets, so the requests that a decision takes follow from what one request
is worth on average (Wald's approximation): the logarithm of the e-value that is needed over
the Kullback-Leibler distance of a healthy candidate from the nearest one that is not. The
median of simulated releases is there; a few take two or three times as long. Noisy traffic
takes more, as its evidence is tempered.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import takewhile

from modelrelease.domain.policy import Rollout

WEIGHTS = (1, 2, 5, 10, 25, 50)
UNKNOWN_TRAFFIC = (5, 10, 25, 50)  # what most services can afford

# From the moment a fault shows to the gateway's old weights, besides the scrapes: decision, writes, proxies.
SETTLING = 5.0
GROWTH = 5  # of the weight from step to step: what load brings out is met at a fifth of it first
PROVEN_GROWTH = 10  # where a full mirror has shown the candidate all the load before

# The e-value a PASS takes is 1/beta on each metric, from the part of the stake that is bet at the start.
PASS_EVIDENCE = math.log(1.0 / 0.05 / 0.8)
MIN_BLOCKS = 3

# The shares of slow requests that latency is watched by: the next bucket bounds after p90 and p99.
LATENCY_TAILS = (0.1, 0.005)

_BISECTIONS = 60
_NOTHING = 1e-12  # evidence of a request: less is rounding


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Weights in percent and what is to be expected of each step in minutes; infinite without traffic.

    `shadow_minutes` is how long the mirror runs before the first step, None where there is none, and
    `proof_minutes` how long a full one would have to run to prove the candidate for every step.
    `at_risk` are the requests that a candidate which fails them all takes with it before it is stopped.
    """

    weights: tuple[int, ...]
    minutes: tuple[float, ...]
    shadow_minutes: float | None = None
    proof_minutes: float | None = None
    at_risk: float = 0.0

    @property
    def total_minutes(self) -> float:
        """From the first copy or request to the decision to promote."""
        return sum(self.minutes) + (self.shadow_minutes or 0.0)


def plan_ladder(*, policy: Rollout, requests_per_second: float, error_ratio: float, block: float) -> Ladder:
    """Return the planned ladder for today's traffic; `block` is the spacing of the scrapes in seconds.

    The first weight is the largest at which a candidate that fails every request is stopped
    within `badRequestBudget`: whatever the statistics, it serves weight times traffic until the
    next scrape is read. From there the weight grows by `GROWTH` until all the traffic is
    no more than that away; under a full mirror, which has proven the candidate, by `PROVEN_GROWTH`.
    Without a measurable rate it is `UNKNOWN_TRAFFIC`.
    """
    if not 0.0 < requests_per_second < math.inf:
        weights: tuple[int, ...] = UNKNOWN_TRAFFIC
    else:
        reaction = reaction_seconds(block)
        affordable = 100.0 * policy.analysis.bad_request_budget / (requests_per_second * reaction)
        first = max(takewhile(lambda weight: weight <= affordable, WEIGHTS), default=WEIGHTS[0])
        weights = _climb(first, PROVEN_GROWTH if mirrored_fully(policy) else GROWTH)
    return expect(
        policy=policy, weights=weights, requests_per_second=requests_per_second, error_ratio=error_ratio, block=block
    )


def _climb(first: int, growth: int) -> tuple[int, ...]:
    weights = [first]
    while weights[-1] * growth < 100:
        weights.append(max(weight for weight in WEIGHTS if weight <= weights[-1] * growth))
    return tuple(weights)


def mirrored_fully(policy: Rollout) -> bool:
    """Tell whether the candidate gets a copy of every request before it answers any."""
    return policy.shadow is not None and policy.shadow.percent >= 100


def reaction_seconds(block: float) -> float:
    """Return how long a fault at full force goes on: until a scrape has it, the next makes it final, traffic moves."""
    return 2.0 * block + SETTLING


def expect(
    *,
    policy: Rollout,
    weights: tuple[int, ...],
    requests_per_second: float,
    error_ratio: float,
    block: float,
    noise: float = 0.0,
) -> Ladder:
    """Return what is to be expected of a ladder when the candidate is as good as stable.

    `error_ratio` is stable's, in 0..1; `noise` is its own, as `analysis.dispersion.kappa` measures it: a
    block's evidence counts 1 + 2 * noise * n_s * n_c / (n_s + n_c) times less than that of independent requests.
    """
    rate = requests_per_second if 0.0 < requests_per_second < math.inf else 0.0
    ratio = min(max(error_ratio, 0.0), 1.0) if math.isfinite(error_ratio) else 0.0
    shadow_minutes, proof_minutes, proven = None, None, False
    if policy.shadow is not None:
        share = policy.shadow.percent / 100.0
        tempered = 1.0 + 2.0 * noise * block * rate * share / (1.0 + share)
        needed = tempered * pass_requests(policy=policy, error_ratio=ratio, controls=1.0 / share)
        took = policy.analysis.warmup + max(MIN_BLOCKS * block, _over(needed, share * rate))
        proven = mirrored_fully(policy) and took <= policy.shadow.duration
        shadow_minutes = min(took, policy.shadow.duration) / 60.0
        proof_minutes = took / 60.0 if mirrored_fully(policy) else None
    minutes = []
    for weight in weights:
        share = weight / 100.0
        tempered = 1.0 + 2.0 * noise * block * rate * share * (1.0 - share)
        needed = 0.0 if proven else tempered * pass_requests(policy=policy, error_ratio=ratio, controls=1 / share - 1)
        least = _over(max(needed, policy.analysis.min_requests), share * rate)
        minutes.append(_step_seconds(policy, least=least, block=block) / 60.0)
    at_risk = weights[0] / 100.0 * rate * reaction_seconds(block)
    return Ladder(
        weights=weights,
        minutes=tuple(minutes),
        shadow_minutes=shadow_minutes,
        proof_minutes=proof_minutes,
        at_risk=at_risk,
    )


def _step_seconds(policy: Rollout, *, least: float, block: float) -> float:
    """Return how long a step takes that counts for `least` seconds: in whole blocks, after the warm-up."""
    analysis = policy.analysis
    least = max(analysis.min_duration, MIN_BLOCKS * block, least)
    # The last block is final when the scrape after it has come.
    return analysis.warmup + (block * math.ceil(least / block) + block if math.isfinite(least) else math.inf)


def _over(requests: float, rate: float) -> float:
    return requests / rate if rate > 0.0 else math.inf


def pass_requests(*, policy: Rollout, error_ratio: float, controls: float) -> float:
    """Return the candidate requests that a PASS of a healthy candidate takes, the slowest metric's.

    `controls` are the requests of stable for each of the candidate. Infinite where the margins are 0.
    """
    errors, latency = policy.analysis.error_rate, policy.analysis.latency
    wanted = [(error_ratio, errors.max_increase, errors.max_relative_increase)]
    wanted += [(tail, latency.max_increase, latency.max_relative_increase) for tail in LATENCY_TAILS]
    worth = min(
        evidence_per_request(
            candidate=ratio, stable=ratio, controls=controls, absolute=absolute, relative=1.0 + relative
        )
        for ratio, absolute, relative in wanted
    )
    return PASS_EVIDENCE / worth if worth > _NOTHING else math.inf


def evidence_per_request(
    *, candidate: float, stable: float, controls: float, absolute: float, relative: float
) -> float:
    """Return the expected log e-value of one candidate request and its `controls` stable ones.

    The distance of the true ratios from the line `candidate = absolute + relative * stable`: the minimum
    over its points (u, v) of kl(candidate|v) + controls * kl(stable|u). It falls and rises once along the line.
    """
    low, high = 0.0, max(0.0, min(1.0, (1.0 - absolute) / relative))

    def slope(u: float) -> float:
        v = absolute + relative * u
        return relative * _slope(candidate, v) + controls * _slope(stable, u)

    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0.0 else (low, middle)
    u = (low + high) / 2
    return _divergence(candidate, absolute + relative * u) + controls * _divergence(stable, u)


def _slope(p: float, q: float) -> float:
    """Return the derivative of kl(p|q) by q."""
    return (q - p) / max(q * (1.0 - q), 1e-300)


def _divergence(p: float, q: float) -> float:
    """Return the Kullback-Leibler distance of two Bernoulli ratios, in nats."""
    q = min(max(q, 1e-300), 1.0 - 1e-16)
    hit = p * math.log(p / q) if p > 0.0 else 0.0
    miss = (1.0 - p) * (math.log1p(-p) - math.log1p(-q)) if p < 1.0 else 0.0
    return max(0.0, hit + miss)
