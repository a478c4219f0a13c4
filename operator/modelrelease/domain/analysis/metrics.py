"""Which metrics a policy has, and how each counts bad requests among all of an arm.

Everything is a share: requests that fail, that take longer than a bucket's bound, that a counter of
the user's calls bad, or a sum of losses in 0..1 (the bets are concave in the sum, so that a sum and
a count suffice: section 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy

from modelrelease.domain.analysis.kernel import Line
from modelrelease.domain.analysis.lanes import Lanes
from modelrelease.domain.counts import Arm
from modelrelease.domain.policy import Analysis, CustomMetric

MOST = 1e12  # requests of one block
ERRORS, OBJECTIVE = "error-ratio", "error-objective"
FAIL_SHARE = 0.25  # of the margin, where the FAIL line is
PAIRS_WEIGHT = 0.05  # of pairs of answers, which are few and say much
ERROR_WEIGHT = 0.7  # of the errors in the mean of the e-values, where there are other metrics


class CountsError(ValueError):
    """Counts that can't be: the message says whose, and what is wrong with them."""


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A share that is compared between the arms; `margin` is (absolute, relative), None for an objective."""

    name: str
    what: str  # what the share is of: "of requests failed"
    count: Callable[[Arm], tuple[float, float]]  # bad, all; raises CountsError
    margin: tuple[float, float] | None = None
    objective: float | None = None
    latency: bool = False
    weight: float = 1.0

    @property
    def failures(self) -> bool:
        """Whether it counts requests that failed: those count from the first one on."""
        return self.name in (ERRORS, OBJECTIVE)

    @property
    def fail_line(self) -> tuple[float, float]:
        """The line that a candidate must be proven above to fail."""
        if self.margin is None:
            return self.objective or 0.0, 0.0
        return FAIL_SHARE * self.margin[0], 1.0 + FAIL_SHARE * self.margin[1]

    @property
    def pass_line(self) -> tuple[float, float]:
        """The line that a candidate must be proven below to pass."""
        if self.margin is None:
            return self.objective or 0.0, 0.0
        return self.margin[0], 1.0 + self.margin[1]


def metrics(policy: Analysis, bounds: Iterable[float]) -> tuple[Metric, ...]:
    """Return the metrics of a policy, with a latency metric for each bound (ms)."""
    frozen = tuple(bounds)
    counted = [custom for custom in policy.metrics if custom.value is None]
    groups = 1 + len(counted)  # latency is a group even before its bounds are known
    errors, other = ERROR_WEIGHT, (1.0 - ERROR_WEIGHT - PAIRS_WEIGHT) / groups
    objective = policy.error_rate.objective
    found = [
        Metric(
            name=ERRORS,
            what="of requests failed",
            count=_failures,
            margin=(policy.error_rate.max_increase, policy.error_rate.max_relative_increase),
            weight=errors if objective is None else 0.7 * errors,
        )
    ]
    if objective is not None:
        found.append(
            Metric(
                name=OBJECTIVE,
                what="of requests failed",
                count=_failures,
                objective=objective,
                weight=0.3 * errors,
            )
        )
    found.extend(
        Metric(
            name=f"latency-{bound:g}ms",
            what=f"of requests took longer than {bound:g} ms",
            count=_slower(bound),
            margin=(policy.latency.max_increase, policy.latency.max_relative_increase),
            latency=True,
            weight=other / len(frozen),
        )
        for bound in frozen
    )
    found.extend(
        Metric(
            name=custom.name,
            what=f"by {custom.name}",
            count=_custom(custom),
            margin=(custom.max_increase, custom.max_relative_increase),
            weight=other,
        )
        for custom in counted
    )
    return tuple(found)


def lanes(known: Sequence[Metric], *, sources: int) -> Lanes:
    """Return the contract of all lanes: every metric from live requests, then from mirrored ones."""

    def column(values: Iterable[float]) -> numpy.ndarray:
        return numpy.tile(numpy.array(list(values), dtype=float), sources)

    fail, accept = [m.fail_line for m in known], [m.pass_line for m in known]
    return Lanes(
        fail=Line(column(a for a, _ in fail), column(r for _, r in fail)),
        accept=Line(column(a for a, _ in accept), column(r for _, r in accept)),
        weight=column(m.weight for m in known),
    )


def check(*, bad: float, total: float, what: str) -> tuple[float, float]:
    """Return counts that can be; raises CountsError for those that can't."""
    if not (math.isfinite(bad) and math.isfinite(total)):
        raise CountsError(f"{what} are {bad:g} of {total:g}: counts must be finite numbers")
    if max(abs(bad), abs(total)) > MOST:
        raise CountsError(f"{what} are {bad:g} of {total:g}: more than {MOST:g} in one block can't be")
    if bad < 0 or total < 0:
        raise CountsError(f"{what} are {bad:g} of {total:g}: a counter went backwards")
    if bad > total * (1.0 + 1e-9):
        raise CountsError(f"{what} are {bad:g} of {total:g}: there can't be more bad ones than all")
    return min(bad, total), total


def _failures(arm: Arm) -> tuple[float, float]:
    return check(bad=arm.failures, total=arm.requests, what="failed requests")


def _slower(bound: float) -> Callable[[Arm], tuple[float, float]]:
    def count(arm: Arm) -> tuple[float, float]:
        if not arm.latency:
            return 0.0, 0.0
        total = max(within for _, within in arm.latency)
        within = next((number for le, number in arm.latency if math.isclose(le, bound, rel_tol=1e-6)), None)
        if within is None:
            near = sorted((le for le, _ in arm.latency if math.isfinite(le)), key=lambda le: abs(le - bound))[:2]
            names = " and ".join(f"{le:g}" for le in sorted(near)) or "none"
            raise CountsError(f"the latency histogram has no bucket of {bound:g} ms any more; the nearest: {names} ms")
        return check(bad=total - within, total=total, what=f"requests slower than {bound:g} ms")

    return count


def _custom(custom: CustomMetric) -> Callable[[Arm], tuple[float, float]]:
    def count(arm: Arm) -> tuple[float, float]:
        found = [each for each in arm.custom if each.name == custom.name]
        if not found:
            return 0.0, 0.0
        return check(bad=found[0].bad, total=found[0].total, what=f"the counts of {custom.name}")

    return count
