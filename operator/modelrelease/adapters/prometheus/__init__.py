"""Evidence from Prometheus: exact counts of both slots, or one sentence on why there are none."""

from modelrelease.adapters.prometheus.evidence import PrometheusEvidence

__all__ = ["PrometheusEvidence"]
