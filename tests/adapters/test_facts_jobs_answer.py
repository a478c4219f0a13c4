"""What a Job's end tells, and when it does not tell yet."""

from __future__ import annotations

import json
from typing import Any

from modelrelease.adapters.facts.jobs import job_facts
from modelrelease.domain.observed import JobState

ANSWER = {
    "digest": "sha256:" + "ab" * 32,
    "uri": "file:///artifacts/releases/sha256-ab",
    "metrics": {"accuracy": {"value": 0.97, "rows": 270}},
    "inputs": [{"name": "image", "datatype": "FP32", "shape": [64]}],
    "outputs": [{"name": "scores", "datatype": "FP32", "shape": [10]}],
}
VOLUMES = [{"name": "tmp", "emptyDir": {}}, {"name": "artifacts", "persistentVolumeClaim": {"claimName": "models"}}]


def done_job(volumes: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "metadata": {"name": "digits-build-k-1", "uid": "u", "resourceVersion": "7", "labels": {}},
        "spec": {"template": {"spec": {"volumes": volumes}}},
        "status": {"conditions": [{"type": "Complete", "status": "True"}]},
    }


def pod(phase: str) -> dict[str, Any]:
    ended = {"state": {"terminated": {"exitCode": 0, "message": json.dumps(ANSWER)}}}
    statuses = [{"name": "builder", **ended}] if phase == "Succeeded" else []
    return {
        "metadata": {"name": "p", "creationTimestamp": "2026-11-22T12:00:00Z"},
        "status": {"phase": phase, "containerStatuses": statuses},
    }


def test_the_artifact_of_a_claim_is_told_with_the_claim() -> None:
    facts = job_facts(done_job(VOLUMES), [pod("Succeeded")])
    assert facts.result is not None
    assert facts.result.artifact.uri == "pvc://models/releases/sha256-ab"


def test_a_path_without_a_claim_stays_as_the_builder_said() -> None:
    facts = job_facts(done_job(VOLUMES[:1]), [pod("Succeeded")])
    assert facts.result is not None
    assert facts.result.artifact.uri == ANSWER["uri"]


def test_a_job_whose_end_was_seen_before_its_pods_is_not_over_yet() -> None:
    """The two arrive on separate watches; a release must not fail because one is slower."""
    facts = job_facts(done_job(VOLUMES), [pod("Running")])
    assert facts.state is JobState.ACTIVE
    assert facts.problem is None


def test_a_job_whose_pods_are_gone_has_lost_its_answer() -> None:
    facts = job_facts(done_job(VOLUMES), [])
    assert facts.state is JobState.SUCCEEDED
    assert facts.problem is not None
    assert facts.problem.reason == "BuildAnswerLost"
