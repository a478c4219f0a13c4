"""Releases in every situation that the command line shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from modelrelease.cli.release import Release, parse
from modelrelease.domain.codec import parse_time

from tests.api.case import SAMPLES, changed
from tests.api.status_sample import STATUS

NOW = parse_time("2026-11-22T12:03:20Z")
STABLE_ONLY = {"candidate": None, "waitingFor": None, "rejected": None, "retired": [], "step": ""}


def body(status: Mapping[str, Any] | None = None, *, generation: int = 7, **change: Any) -> dict[str, Any]:
    """The complete sample with the status sample changed: dotted paths with `__` for the dot."""
    sample = yaml.safe_load((SAMPLES / "digits-complete.yaml").read_text())
    sample["metadata"] |= {"namespace": "vision", "generation": generation, "resourceVersion": "1"}
    whole = {**STATUS, "rejected": None, "candidate": {**STATUS["candidate"], "end": None, "bakeStartedAt": None}}
    sample["status"] = {**whole, **(status or {})}
    return changed(sample, {path.replace("__", "."): value for path, value in change.items()})


def release(status: Mapping[str, Any] | None = None, *, generation: int = 7, **change: Any) -> Release:
    return parse(body(status, generation=generation, **change))


def in_stage(stage: str, **change: Any) -> Release:
    """A release whose candidate is in that stage and waits for nothing."""
    change = {f"status__candidate__{key}": value for key, value in change.items()}
    return release({"waitingFor": None}, status__candidate__stage=stage, **change)


def rolled_back() -> Release:
    stalled = {
        "type": "Stalled",
        "status": "True",
        "reason": "AnalysisFailed",
        "message": "error ratio 4.1 % against 0.1 % of stable on 5012 requests, at 5 %. Change the spec, or retry",
        "lastTransitionTime": "2026-11-22T12:00:00Z",
        "observedGeneration": 7,
    }
    entry = {
        **STATUS["history"][0],
        "version": "2026.11.2",
        "revision": "2222222222",
        "attempt": 2,
        "outcome": "RolledBack",
        "reason": "AnalysisFailed",
        "message": "error ratio 4.1 % against 0.1 % of stable on 5012 requests, at 5 %",
        "finishedAt": "2026-11-22T12:00:00Z",
        "startedAt": "2026-11-22T11:48:00Z",
        "peakWeight": 5,
        "badRequests": 205,
    }
    status = {
        **STABLE_ONLY,
        "phase": "RolledBack",
        "message": "AnalysisFailed: error ratio 4.1 % against 0.1 % of stable on 5012 requests, at 5 %",
        "rejected": {**STATUS["rejected"], "reason": "AnalysisFailed"},
        "conditions": [*STATUS["conditions"], stalled],
        "history": [entry, *STATUS["history"]],
    }
    return release(status)


def at_rest() -> Release:
    return release({**STABLE_ONLY, "phase": "Ready", "message": "version 2026.11.0 serves"})


def suspended() -> Release:
    waiting = {
        "reason": "Suspended",
        "what": "spec.suspend to become false",
        "since": "2026-11-22T12:00:00Z",
        "who": "whoever suspended it",
        "counts": False,
    }
    return release({**STABLE_ONLY, "phase": "Suspended", "waitingFor": waiting}, spec__suspend=True)


def unseen() -> Release:
    sample = body()
    del sample["status"]
    return parse(sample)
