"""How many looks share a query is on the metrics port."""

from __future__ import annotations

from modelrelease.runtime.metrics import Metrics


def test_queries_and_the_looks_that_shared_them() -> None:
    metrics = Metrics()
    metrics.asked(100, "success")
    metrics.asked(1, "MetricsTooLarge")
    metrics.asked(1, "success")
    value = metrics.registry.get_sample_value
    assert value("modelrelease_metrics_looks_total") == 102
    assert value("modelrelease_metrics_queries_total", {"result": "success"}) == 2
    assert value("modelrelease_metrics_queries_total", {"result": "MetricsTooLarge"}) == 1
