"""The wrong queries that people write for `spec.rollout.analysis.metrics`, each with the right one.

The API server takes any text; a wrong query shows only when a candidate is judged by it. What
Triton has and what it counts not at all: docs/evidence.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from modelrelease.domain import promql
from modelrelease.domain.policy import CustomMetric
from modelrelease.domain.promql import QueryError

_NAMES = dict.fromkeys(promql.PLACEHOLDERS, "x")
_APART = frozenset({"slot", "revision"})

_SUCCESS, _FAILURE = "nv_inference_request_success", "nv_inference_request_failure"
_GAUGES = re.compile(r"nv_gpu_\w+|nv_inference_pending_request_count|nv_cpu_\w+|nv_pinned_memory_pool_\w+")
_TIMES = re.compile(r"nv_inference_(request|queue|compute_input|compute_infer|compute_output)_duration_us")
_TIME_SUMS = re.compile(r"\w+_(seconds|milliseconds|microseconds|ms|us|duration)_sum|nv_\w+_duration_us")
_CHANGES = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv"})
_QUANTILE_MIXERS = frozenset({"avg", "sum"})

# Names that are met in dashboards and examples and that no Triton of today has.
_GONE = {
    "nv_inference_request_duration_us_bucket": "Triton's request time is a sum without buckets: take the gateway's "
    "latency, which the operator reads by itself, or nv_inference_first_response_histogram_ms_bucket",
    "nv_inference_compute_duration_us": "it was split in three: write nv_inference_compute_infer_duration_us",
    "nv_inference_load_ratio": "it was removed: nv_inference_pending_request_count and "
    "nv_inference_queue_duration_us show whether requests wait",
}


@dataclass(frozen=True)
class _Query:
    """A query without its comments and spaces."""

    text: str

    @property
    def words(self) -> frozenset[str]:
        """The names in it: metrics, functions, labels."""
        return frozenset(token.text for token in promql.tokens(self.text) if token.kind == "word")

    @property
    def names(self) -> frozenset[str]:
        """What it may take as metrics: its words, and those in its strings."""
        return frozenset(re.findall(r"[a-zA-Z_:][\w:]*", self.text))


def check(where: str, metric: CustomMetric) -> Iterator[str]:
    """Yield what is wrong with the queries of a metric."""
    counters = {"bad": metric.bad, "total": metric.total, "sum": metric.sum, "count": metric.count}
    given = {field: query for field, query in counters.items() if query is not None}
    for field, query in given.items():
        yield from (f"{where}.{field}: {finding}" for finding in _counter(field, query))
    yield from (f"{where}: {finding}" for finding in _pair(metric))
    if metric.value is not None:
        yield from (f"{where}.value: {finding}" for finding in _value(metric.value, metric.threshold))


def _counter(field: str, query: str) -> Iterator[str]:
    try:
        plain = promql.selector(promql.fill(query, _NAMES))
    except QueryError as error:
        yield str(error)
        return
    found = _Query(query)
    if not promql.placeholders(query) & _APART:
        yield 'counts stable and candidate alike: tell them apart by a label, as with service="$slot"'
    yield from _gone(found)
    if gauges := sorted(name for name in found.names if _GAUGES.fullmatch(name)):
        yield f"{gauges[0]} rises and falls: name a counter here, or make it a value with a threshold"
    if plain.name.endswith("_bucket") and "le" not in {matcher.label for matcher in plain.matchers}:
        yield f'{plain.name} without le counts a request once for every bucket: name one, as le="0.25"'
    if field == "sum" and (times := sorted(name for name in found.names if _TIME_SUMS.fullmatch(name))):
        yield (
            f"{times[0]} adds up times, and a sum must add up losses from 0 to 1: for latency name a bucket as bad "
            "and the count as total"
        )
    elif times := sorted(name for name in found.names if _TIMES.fullmatch(name)):
        yield f"{times[0]} counts microseconds, not requests: write {_SUCCESS}"


def _pair(metric: CustomMetric) -> Iterator[str]:
    bad, total = (metric.bad, metric.total) if metric.bad is not None else (metric.sum, metric.count)
    if bad is None or total is None:
        return
    if bad == total:
        yield "counts the same as bad and as all, so that everything is bad: name two counters"
    if metric.bad is not None and _FAILURE in _Query(bad).names and not _counts_both(_Query(total)):
        yield (
            f"{_FAILURE} is not among what {total} counts: failures are a share of all requests, "
            'total: {__name__=~"nv_inference_request_(success|failure)",...}'
        )


def _counts_both(total: _Query) -> bool:
    return _FAILURE in total.names or "failure)" in total.text


def _value(query: str, threshold: float | None) -> Iterator[str]:
    try:
        promql.fill(query, _NAMES)
    except QueryError as error:
        yield str(error)
        return
    found = _Query(query)
    yield from _gone(found)
    yield from _lost_meaning(found)
    yield from _times_and_quantiles(found)
    if "nv_gpu_utilization" in found.names and _above_one(found.text, threshold):
        yield "nv_gpu_utilization goes from 0 to 1: write 0.9 for 90 %"
    if re.search(rf"{_FAILURE}[^/]*/", found.text):
        divisor = found.text.split("/", 1)[1]
        if _SUCCESS in divisor and _FAILURE not in divisor and "failure)" not in divisor:
            yield (
                f"divides failures by successes, which is no ratio of requests: divide by the sum of {_SUCCESS} and "
                f"{_FAILURE}, both inside sum()"
            )


def _lost_meaning(found: _Query) -> Iterator[str]:
    outer = _outside_of_selectors(found.text)
    if re.search(r"(?<![=!<>])(==|!=|>=|<=|>|<)(?!~)", outer.rstrip()) and not re.search(r"/[^/]*[<>]=?", outer):
        yield "compares: where the comparison is false there is no number at all; leave it to the threshold"
    if re.search(r"\bor\s+(on\s*\(\s*\)\s*)?vector\s*\(", found.text):
        yield "puts a number where there is none, so that missing metrics look healthy: leave out `or vector(...)`"
    counters = sorted(name for name in found.words if name.endswith("_total") or name in (_SUCCESS, _FAILURE))
    if counters and not found.words & _CHANGES:
        yield f"takes {counters[0]} as it is since its process started: write rate({counters[0]}{{...}}[2m])"


def _times_and_quantiles(found: _Query) -> Iterator[str]:
    times = sorted(name for name in found.words if _TIMES.fullmatch(name))
    if times and not found.words & _CHANGES:
        yield (
            f"{times[0]} is the sum of all times since the server started, neither a mean nor a quantile: "
            f"sum(rate({times[0]}{{...}}[2m])) / sum(rate({_SUCCESS}{{...}}[2m])) / 1000 is the mean in ms"
        )
    elif times and "/" not in found.text:
        yield f"{times[0]} is divided by nothing: divide its rate by the rate of {_SUCCESS}"
    if "quantile=" in found.text.replace(" ", "") and found.words & _QUANTILE_MIXERS:
        yield "averages or adds up quantiles, which gives none: take the worst pod, max(...)"
    if "histogram_quantile" in found.words and not found.words & _CHANGES:
        yield "histogram_quantile over buckets since the start of time: write rate(..._bucket{...}[2m]) inside"


def _gone(found: _Query) -> Iterator[str]:
    yield from (f"{name} does not exist: {instead}" for name, instead in _GONE.items() if name in found.names)


def _above_one(query: str, threshold: float | None) -> bool:
    compared = [float(number) for number in re.findall(r"[<>]=?\s*(\d+(?:\.\d+)?)", query)]
    scaled = re.search(r"\*\s*100\b", query) is not None
    return not scaled and any(number > 1 for number in [*compared, threshold or 0.0])


def _outside_of_selectors(query: str) -> str:
    """Return a query without its strings and comments, so that no operator of a label is left."""
    kept = [token.text for token in promql.tokens(query) if token.kind not in ("string", "space")]
    return re.sub(r"\{[^}]*\}", "", " ".join(kept))
