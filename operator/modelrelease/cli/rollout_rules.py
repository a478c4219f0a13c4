"""The rules of the API on `spec.rollout`, as sentences; part of `rules`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from modelrelease.cli import queries
from modelrelease.domain.codec import format_duration
from modelrelease.domain.policy import Analysis, CustomMetric, OutputComparison, Rollout, Step

_DAY = 86400.0
_METRIC = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_OWN_METRICS = ("error-ratio", "bad-requests", "traffic-split", "golden", "shadow")
_OWN_PREFIXES = ("latency", "class")


def rollout(policy: Rollout) -> Iterator[str]:
    """Yield every rule that `spec.rollout` breaks."""
    where = "spec.rollout"
    yield from _steps(f"{where}.steps", policy.steps)
    yield from _analysis(f"{where}.analysis", policy.analysis)
    if policy.shadow is not None:
        yield from _duration(f"{where}.shadow.duration", policy.shadow.duration, low=0, high=_DAY)
    yield from _duration(f"{where}.bake.duration", policy.bake.duration, low=0, high=30 * _DAY)
    if policy.bake.holdback and policy.bake.mirror:
        yield f"{where}.bake: has holdback {policy.bake.holdback} and mirror {policy.bake.mirror}: set holdback: 0"
    yield from _duration(f"{where}.progressDeadline", policy.progress_deadline, low=1, high=30 * _DAY)
    yield from _duration(f"{where}.scaleDownDelay", policy.scale_down_delay, low=0, high=_DAY)
    yield from _longer(
        f"{where}.progressDeadline", policy.progress_deadline, "analysis.interval", policy.analysis.interval
    )


def _steps(where: str, steps: tuple[Step, ...]) -> Iterator[str]:
    previous = 0
    for index, step in enumerate(steps):
        here = f"{where}[{index}]"
        if not 1 <= step.weight <= 99:
            yield f"{here}.weight: {step.weight} is not a step: allowed are 1 to 99, promotion to 100 follows by itself"
        elif step.weight <= previous:
            yield f"{here}.weight: {step.weight} does not rise above the {previous} before it: sort the steps"
        previous = max(previous, step.weight)
        if step.pause is not None:
            if (step.pause.duration is not None) is step.pause.until_approved:
                count = "both" if step.pause.until_approved else "neither"
                yield f"{here}.pause: has {count} of duration and untilApproved: true: set exactly one"
            yield from _duration(f"{here}.pause.duration", step.pause.duration, low=1, high=30 * _DAY)


def _analysis(where: str, analysis: Analysis) -> Iterator[str]:
    yield from _duration(f"{where}.interval", analysis.interval, low=1, high=3600)
    yield from _duration(f"{where}.warmup", analysis.warmup, low=0, high=3600)
    yield from _duration(f"{where}.minDuration", analysis.min_duration, low=1, high=_DAY)
    yield from _duration(f"{where}.stepDeadline", analysis.step_deadline, low=2, high=30 * _DAY)
    yield from _duration(f"{where}.golden.interval", analysis.golden.interval, low=1, high=_DAY)
    yield from _comparisons(f"{where}.golden.compare", analysis.golden.compare)
    yield from _longer(f"{where}.stepDeadline", analysis.step_deadline, "interval", analysis.interval)
    least = analysis.warmup + analysis.min_duration
    yield from _longer(f"{where}.stepDeadline", analysis.step_deadline, "warmup and minDuration together", least)
    for name, margin in (("errorRate", analysis.error_rate), ("latency", analysis.latency)):
        yield from _margin(f"{where}.{name}", margin.max_increase, margin.max_relative_increase)
    objective = analysis.error_rate.objective
    if objective is not None and not 0 < objective <= 1:
        yield f"{where}.errorRate.objective: {objective:g} is not a ratio above 0, up to 1: write 0.01 for one percent"
    yield from _duration(f"{where}.latency.objective", analysis.latency.objective, low=0.001, high=3600)
    for index, metric in enumerate(analysis.metrics):
        yield from _metric(f"{where}.metrics[{index}]", metric)
        if metric.name in [earlier.name for earlier in analysis.metrics[:index]]:
            yield f"{where}.metrics[{index}].name: {metric.name} is the name of another metric: rename one"


def _comparisons(where: str, rules: tuple[OutputComparison, ...]) -> Iterator[str]:
    for index, rule in enumerate(rules):
        here = f"{where}[{index}]"
        if rule.output in [earlier.output for earlier in rules[:index]]:
            yield f"{here}.output: {rule.output} is compared already: write one comparison for each output"
        if sum(way is not None for way in (rule.tolerance, rule.top, rule.cosine)) != 1:
            yield f"{here}: needs exactly one of tolerance, top and cosine"
        if rule.tolerance is not None and not max(rule.tolerance.absolute, rule.tolerance.relative) > 0:
            yield f"{here}.tolerance: allows nothing at all: write absolute: 0.01, or relative: 0.01"
        shares = (("top.overlap", rule.top.overlap if rule.top else None), ("cosine", rule.cosine))
        for name, share in shares:
            if share is not None and not 0 < share <= 1:
                yield f"{here}.{name}: {share:g} is not above 0, up to 1: write 0.9"


def _metric(where: str, metric: CustomMetric) -> Iterator[str]:
    if not _METRIC.fullmatch(metric.name):
        yield f"{where}.name: {metric.name!r} must be lower-case letters, digits and '-', a letter first"
    if metric.name in _OWN_METRICS or metric.name.startswith(_OWN_PREFIXES):
        yield f"{where}.name: {metric.name} belongs to a metric that the operator makes itself: choose another one"
    pairs = (
        ("bad", metric.bad, "total", metric.total),
        ("sum", metric.sum, "count", metric.count),
        ("value", metric.value, "threshold", metric.threshold),
    )
    for first, one, second, other in pairs:
        if (one is None) is not (other is None):
            given, missing = (first, second) if other is None else (second, first)
            yield f"{where}: has {given} without {missing}: add the other half of the pair"
    if sum(one is not None or other is not None for _, one, _, other in pairs) != 1:
        yield f"{where}: needs exactly one of the pairs bad and total, sum and count, value and threshold"
    yield from queries.check(where, metric)
    yield from _margin(where, metric.max_increase, metric.max_relative_increase)


def _margin(where: str, increase: float, relative: float) -> Iterator[str]:
    if not 0 < increase <= 1:
        yield f"{where}.maxIncrease: {increase:g} is not a ratio above 0, up to 1: write 0.01 for one percent"
    if not 0 <= relative <= 10:
        yield f"{where}.maxRelativeIncrease: {relative:g} is not from 0 to 10: write 0.1 for a tenth of stable's ratio"


def _duration(where: str, seconds: float | None, *, low: float, high: float) -> Iterator[str]:
    if seconds is not None and not low <= seconds <= high:
        yield f"{where}: {seconds:g}s is out of bounds: allowed are {format_duration(low)} to {format_duration(high)}"


def _longer(where: str, seconds: float, name: str, other: float) -> Iterator[str]:
    if seconds <= other:
        yield f"{where}: {format_duration(seconds)} must be longer than {name}, which is {format_duration(other)}"
