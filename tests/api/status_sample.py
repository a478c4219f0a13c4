"""A status with every field set, as the operator could write it in the middle of a rollout."""

from __future__ import annotations

from typing import Any

AT = "2026-11-22T12:00:00Z"
DIGEST = "sha256:" + "ab" * 32

STATUS: dict[str, Any] = {
    "observedGeneration": 7,
    "phase": "Progressing",
    "step": "3/4",
    "message": "step 3/4 at 25 %: 41210 candidate requests, error ratio 0.11 % against 0.10 %; next check 12:04:30",
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Serving",
            "message": "version 2026.11.0 serves",
            "lastTransitionTime": AT,
            "observedGeneration": 7,
        }
    ],
    "stable": {
        "revision": "0123456789",
        "version": "2026.11.0",
        "artifact": {"uri": "pvc://model-artifacts/releases/a", "digest": DIGEST},
        "replicas": 4,
        "since": "2026-11-20T09:00:00Z",
    },
    "candidate": {
        "revision": "9876543210",
        "version": "2026.11.1",
        "attempt": 1,
        "stage": "Step",
        "startedAt": AT,
        "progressAt": AT,
        "artifact": {"uri": "pvc://model-artifacts/releases/b", "digest": DIGEST},
        "weight": {"desired": 25, "accepted": 25, "observed": 24.8},
        "ladder": [5, 10, 25, 50],
        "step": 2,
        "stepStartedAt": AT,
        "approved": False,
        "skip": False,
        "bakeStartedAt": AT,
        "bakeEndedAt": AT,
        "mirrorStopped": "the candidate has 40 requests waiting",
        "analysis": {"until": AT, "warm": AT, "block": "2s500ms", "bounds": [250.0], "state": "AQID"},
        "verdicts": [
            {
                "metric": "error-ratio",
                "verdict": "Pass",
                "message": "0.11 % of requests failed against 0.10 % of stable's (allowed: 0.61 %), from 41 210",
                "estimate": 0.0011,
                "baseline": 0.001,
                "threshold": 0.0061,
                "lower": -0.012,
                "upper": -0.008,
                "eValue": 41.5,
                "samples": 41210,
                "blocks": 96,
                "query": 'sum(increase(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[60s]))',
                "advisory": False,
            },
            {
                "metric": "latency-250ms",
                "verdict": "Inconclusive",
                "message": "1.20 % of requests took longer than 250 ms, 30 of at least 50",
                "estimate": 0.012,
                "baseline": 0.011,
                "threshold": 0.0215,
                "lower": -0.2,
                "upper": 0.4,
                "eValue": 0.8,
                "samples": 30,
                "blocks": 2,
                "query": "histogram",
                "advisory": False,
            },
        ],
        "verdictsAt": AT,
        "peakWeight": 25,
        "badRequests": 45,
        "end": {"outcome": "RolledBack", "reason": "AnalysisFailed", "message": "error ratio 4 % against 0.1 %"},
    },
    "retired": [{"revision": "1111111111", "at": AT}],
    "rejected": {
        "revision": "2222222222",
        "attempt": 2,
        "reason": "GateFailed",
        "message": "gate accuracy: 0.41 on 270 rows, required at least 0.95",
        "gates": "3333333333",
    },
    "handled": ["approve:0123456789ab"],
    "waitingFor": {
        "reason": "Approval",
        "what": "approval of step 3",
        "since": AT,
        "who": "a person",
        "counts": False,
    },
    "history": [
        {
            "version": "2026.11.0",
            "revision": "0123456789",
            "attempt": 1,
            "outcome": "Promoted",
            "reason": "Promoted",
            "message": "all steps passed",
            "startedAt": "2026-11-20T08:00:00Z",
            "finishedAt": "2026-11-20T09:00:00Z",
            "peakWeight": 100,
            "badRequests": 3,
        }
    ],
}
