"""`lint` knows the wrong queries that people write, and says nothing of right ones."""

from __future__ import annotations

import pytest
from modelrelease.cli import queries
from modelrelease.domain.policy import CustomMetric

S = '{namespace="$namespace",pod=~"$name-$revision-.*"}'
P99 = '{quantile="0.99",namespace="$namespace",pod=~"$name-$revision-.*"}'
SUCCESS, FAILURE = f"nv_inference_request_success{S}", f"nv_inference_request_failure{S}"
BOTH = '{__name__=~"nv_inference_request_(success|failure)",namespace="$namespace",pod=~"$name-$revision-.*"}'


def found(metric: CustomMetric) -> str:
    return " | ".join(queries.check("metrics[0]", metric))


def value(query: str, threshold: float = 1) -> CustomMetric:
    return CustomMetric(name="m", value=query, threshold=threshold)


def pair(bad: str, total: str) -> CustomMetric:
    return CustomMetric(name="m", bad=bad, total=total)


@pytest.mark.parametrize(
    "metric",
    [
        pair(FAILURE, BOTH),
        pair('refused_total{service="$slot"}', 'asked_total{service="$slot"}'),
        pair('rpc_bucket{service="$slot",le="0.25"}', 'rpc_count{service="$slot"}'),
        CustomMetric(name="m", sum='loss_sum{rev="$revision"}', count='loss_count{rev="$revision"}'),
        value(f"sum(rate({FAILURE}[2m])) / (sum(rate({SUCCESS}[2m])) + sum(rate({FAILURE}[2m])))"),
        value(f"sum(rate({FAILURE}[2m])) / sum(rate({BOTH}[2m]))"),
        value(f"sum(rate(nv_inference_request_duration_us{S}[2m])) / sum(rate({SUCCESS}[2m])) / 1000", 50),
        value(f"sum(rate(nv_inference_queue_duration_us{S}[2m])) / (sum(rate({SUCCESS}[2m])) > 0) / 1000", 50),
        value(f"max by (version) (nv_inference_request_summary_us{P99}) / 1000", 50),
        value(
            f"histogram_quantile(0.99, sum by (le) (rate(nv_inference_first_response_histogram_ms_bucket{S}[2m])))",
            50,
        ),
        value(f"avg(nv_gpu_utilization{S})", 0.9),
        value(f"100 * avg(nv_gpu_utilization{S}) * 1", 0.9),
        value(f"sum(nv_inference_pending_request_count{S})", 100),
        value('max(queue_length{service="$slot",code!="500",a=~"b|c"})', 20),
    ],
)
def test_right_queries_have_no_finding(metric: CustomMetric) -> None:
    assert found(metric) == ""


@pytest.mark.parametrize(
    ("metric", "said"),
    [
        (
            value(f"histogram_quantile(0.99, sum by (le) (rate(nv_inference_request_duration_us_bucket{S}[5m])))"),
            "nv_inference_request_duration_us_bucket does not exist: Triton's request time is a sum without buckets",
        ),
        (value(f"nv_inference_request_duration_us{S} / 1000", 50), "neither a mean nor a quantile: sum(rate("),
        (value(f"sum(rate({FAILURE}[2m])) / sum(rate({SUCCESS}[2m]))"), "divides failures by successes"),
        (value(f"avg(nv_gpu_utilization{S})", 90), "nv_gpu_utilization goes from 0 to 1: write 0.9 for 90 %"),
        (value(f"avg(nv_gpu_utilization{S}) > 90"), "nv_gpu_utilization goes from 0 to 1"),
        (value(f"avg(nv_gpu_utilization{S}) > 0.9"), "where the comparison is false there is no number at all"),
        (value(f"sum(rate(nv_inference_queue_duration_us{S}[2m]))", 50), "is divided by nothing"),
        (value(f"sum(rate(nv_inference_compute_duration_us{S}[2m])) / 2"), "it was split in three: write"),
        (value(f"avg(nv_inference_load_ratio{S})"), "nv_inference_load_ratio does not exist: it was removed"),
        (value(f"sum({FAILURE})"), "as it is since its process started: write rate("),
        (value('sum(errors_total{a="$slot"})'), "takes errors_total as it is since its process started"),
        (value('avg(latency{quantile="0.99",a="$slot"})'), "averages or adds up quantiles"),
        (value('histogram_quantile(0.9, x_bucket{a="$slot"})'), "over buckets since the start of time"),
        (value('sum(rate(x_total{a="$slot"}[2m])) or vector(0)'), "missing metrics look healthy"),
        (value('sum(rate(x_total{a="$slot"}[2m])) or on() vector(0)'), "missing metrics look healthy"),
        (value('max(x{a="$solt"})'), "the unknown placeholder $solt"),
        (value("max(x{a=$slot})"), "outside of quotes"),
        (pair(f"rate({FAILURE}[5m])", BOTH), "metrics[0].bad: calls rate(): write the bare counter"),
        (pair(FAILURE, f"increase({BOTH}[5m])"), "metrics[0].total: calls increase()"),
        (pair(f"{FAILURE}[5m]", BOTH), "has a range in brackets"),
        (pair(f"sum({FAILURE})", BOTH), "calls sum()"),
        (pair(FAILURE, SUCCESS), "failures are a share of all requests"),
        (pair(FAILURE, FAILURE), "so that everything is bad"),
        (pair("a_total", 'b_total{x="$slot"}'), "metrics[0].bad: counts stable and candidate alike"),
        (pair('a{x="$name"}', 'b{x="$slot"}'), "metrics[0].bad: counts stable and candidate alike"),
        (pair(f"nv_inference_pending_request_count{S}", BOTH), "rises and falls: name a counter here"),
        (pair(f"nv_gpu_utilization{S}", BOTH), "rises and falls"),
        (pair('rpc_bucket{x="$slot"}', 'rpc_count{x="$slot"}'), "counts a request once for every bucket"),
        (pair(FAILURE, f"nv_inference_request_duration_us{S}"), "counts microseconds, not requests"),
        (
            CustomMetric(name="m", sum='rpc_seconds_sum{x="$slot"}', count='rpc_seconds_count{x="$slot"}'),
            "rpc_seconds_sum adds up times, and a sum must add up losses from 0 to 1",
        ),
        (
            CustomMetric(name="m", sum=f"nv_inference_request_duration_us{S}", count=SUCCESS),
            "nv_inference_request_duration_us adds up times",
        ),
    ],
)
def test_wrong_queries_have_one_with_the_right_one(metric: CustomMetric, said: str) -> None:
    assert said in found(metric)


def test_halves_of_pairs_are_left_to_the_other_rules() -> None:
    assert found(CustomMetric(name="m", bad='x{a="$slot"}')) == ""
    assert found(CustomMetric(name="m")) == ""
