"""Build Jobs: every end and every obstacle is told with its remedy."""

from __future__ import annotations

import json
from typing import Any

import pytest
from modelrelease.adapters.facts import job_facts
from modelrelease.domain.observed import JobFacts, JobState, Tensor
from modelrelease.domain.problem import Problem

from tests.adapters.pods import Object, ended, failed, job, pod, said, unscheduled, waiting
from tests.fakes.controllers import ANSWER

COMPLETE = {"type": "Complete", "status": "True"}
BACKOFF = failed("BackoffLimitExceeded", "Job has reached the specified backoff limit")


def problem(facts: JobFacts) -> Problem:
    assert facts.problem is not None
    return facts.problem


def answering(**changes: Any) -> Object:
    return ended(0, message=json.dumps({**ANSWER, **changes}), reason="Completed")


class TestSucceeded:
    def test_the_answer_is_the_result(self) -> None:
        facts = job_facts(job(COMPLETE), [answering()])
        assert (facts.state, facts.artifact_key, facts.attempt) == (JobState.SUCCEEDED, "abc", 2)
        assert (facts.uid, facts.resource_version) == ("u1", "7")
        assert facts.problem is None
        assert facts.result is not None
        assert facts.result.artifact.digest == ANSWER["digest"]
        assert facts.result.contract.inputs == (Tensor(name="image", datatype="FP32", shape=(64,)),)
        assert facts.result.contract.batchable
        assert (facts.result.metrics["accuracy"].value, facts.result.metrics["accuracy"].rows) == (0.97, 270)

    def test_the_pod_that_succeeded_answers_not_one_that_failed_before(self) -> None:
        earlier = ended(1, message=said("StoreUnreachable", "no"), created="2026-11-01T11:00:00Z")
        facts = job_facts(job(COMPLETE), [earlier, answering()])
        assert facts.result is not None

    @pytest.mark.parametrize(
        ("changes", "complaint"),
        [
            ({"digest": "sha256:12"}, "digest: expected sha256: and 64 hexadecimal digits, got 'sha256:12'"),
            ({"digest": None}, "digest: is required"),
            ({"uri": ""}, "uri: expected 1 to 2048 characters, got 0"),
            ({"uri": "s3://" + "a" * 2048}, "uri: expected 1 to 2048 characters, got 2053"),
            ({"metrics": [1]}, "metrics: is required and must be an object"),
            ({"metrics": {"accuracy": {"value": 1, "bounds": [1]}}}, "metrics.accuracy.bounds: has 1 numbers"),
            ({"stable": "sha256:1"}, "stable: expected sha256: and 64 hexadecimal digits, got 'sha256:1'"),
            ({"metrics": {"accuracy": {"value": "high"}}}, "metrics.accuracy.value: expected float, got 'high'"),
            ({"inputs": [{"name": "x"}]}, "inputs[0].datatype: is required"),
        ],
    )
    def test_an_answer_that_does_not_fit_names_the_field(self, changes: dict[str, Any], complaint: str) -> None:
        facts = job_facts(job(COMPLETE), [answering(**changes)])
        assert facts.result is None
        assert problem(facts).fatal
        assert problem(facts).reason == "BuildAnswerUnreadable"
        assert complaint in problem(facts).message

    def test_a_metric_that_is_no_number_is_no_answer(self) -> None:
        text = json.dumps({**ANSWER, "metrics": {"accuracy": {"value": float("nan")}}})
        facts = job_facts(job(COMPLETE), [ended(0, message=text)])
        assert problem(facts).reason == "BuildAnswerUnreadable"

    def test_a_pod_that_is_gone_took_the_answer_along(self) -> None:
        facts = job_facts(job(COMPLETE), [])
        assert problem(facts).reason == "BuildAnswerLost"
        assert "retry" in problem(facts).message


class TestFailed:
    def test_the_builder_has_the_word(self) -> None:
        text = said("StoreDenied", "s3://b is refused (AccessDenied); give the Secret's keys write access")
        facts = job_facts(job(BACKOFF, failed=3), [ended(5, message=text)])
        assert facts.state is JobState.FAILED
        expected = "s3://b is refused (AccessDenied); give the Secret's keys write access (last of 3 tries)"
        assert problem(facts) == Problem(reason="StoreDenied", message=expected, fatal=True)

    def test_a_failure_that_no_retry_mends(self) -> None:
        facts = job_facts(job(failed("PodFailurePolicy"), failed=1), [ended(2, message=said("BadSpec", "no pass x"))])
        assert problem(facts) == Problem(reason="BadSpec", message="no pass x", fatal=True)

    def test_out_of_memory_names_the_limit(self) -> None:
        facts = job_facts(job(BACKOFF, failed=1), [ended(137, reason="OOMKilled")])
        expected = "container triton ran out of memory (limit 4Gi); raise resources.limits.memory"
        assert problem(facts) == Problem(reason="OOMKilled", message=expected, fatal=True)

    def test_evicted(self) -> None:
        gone = pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory. ")
        facts = job_facts(job(BACKOFF, failed=1), [gone])
        assert problem(facts).reason == "Evicted"
        assert "The node was low on resource: memory; request what it needs" in problem(facts).message

    def test_the_newest_failure_counts(self) -> None:
        old = ended(1, message=said("StoreUnreachable", "old"), created="2026-11-01T11:00:00Z")
        new = ended(1, message=said("BadData", "new"), created="2026-11-01T13:00:00Z")
        assert problem(job_facts(job(BACKOFF, failed=2), [new, old])).reason == "BadData"
        assert problem(job_facts(job(BACKOFF, failed=2), [old, new])).reason == "BadData"

    def test_the_deadline_tells_what_it_hung_on(self) -> None:
        stuck = waiting("ImagePullBackOff", 'Back-off pulling image "registry.example/triton:9"')
        facts = job_facts(job(failed("DeadlineExceeded")), [stuck])
        assert problem(facts).reason == "BuildDeadlineExceeded"
        assert problem(facts).fatal
        assert "build.activeDeadlineSeconds (3600 s)" in problem(facts).message
        assert "image registry.example/triton:9 can't be pulled" in problem(facts).message

    def test_without_any_pod(self) -> None:
        facts = job_facts(job(failed("BackoffLimitExceeded", "no luck")), [])
        assert problem(facts) == Problem(
            reason="BuildFailed",
            message="the build failed: no luck; its pods are gone, see the Job's events",
            fatal=True,
        )

    @pytest.mark.parametrize(
        ("code", "meaning"),
        [(127, "the command is not in the image"), (139, "segmentation fault"), (143, "killed by signal 15")],
    )
    def test_exit_codes_that_mean_something(self, code: int, meaning: str) -> None:
        facts = job_facts(job(BACKOFF, failed=1), [ended(code)])
        assert f"ended with exit code {code}: {meaning}" in problem(facts).message

    def test_last_words_that_are_no_json(self) -> None:
        facts = job_facts(job(BACKOFF, failed=1), [ended(1, message="Traceback\n  File x\nKeyError: 'a'\n")])
        assert "its last words: KeyError: 'a'" in problem(facts).message

    def test_a_reason_that_no_condition_takes(self) -> None:
        facts = job_facts(job(BACKOFF, failed=1), [ended(1, message=said("not a reason!", "text"))])
        assert problem(facts).reason == "ContainerFailed"


class TestActive:
    def test_running_is_no_problem(self) -> None:
        facts = job_facts(job(), [pod(phase="Running")])
        assert (facts.state, facts.problem) == (JobState.ACTIVE, None)

    def test_between_two_tries(self) -> None:
        facts = job_facts(job(failed=1), [ended(5, message=said("StoreUnreachable", "no route to s3"))])
        assert problem(facts).message == "no route to s3 (try 1 of 3, tried again soon)"
        assert not problem(facts).fatal

    def test_the_next_try_runs(self) -> None:
        before = ended(1, created="2026-11-01T11:00:00Z")
        assert job_facts(job(failed=1), [before, pod("pod-2", phase="Running")]).problem is None

    @pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "InvalidImageName"])
    def test_an_image_that_cannot_be_had_recovers_by_itself(self, reason: str) -> None:
        found = problem(job_facts(job(), [waiting(reason, "not found")]))
        assert found.reason == "ImagePull"
        assert "image registry.example/triton:9 can't be pulled (not found)" in found.message
        assert (found.fatal, found.waiting) == (False, False)

    def test_no_gpu_is_waited_for(self) -> None:
        text = "0/3 nodes are available: 1 Insufficient memory, 3 Insufficient nvidia.com/gpu. preemption: no."
        found = problem(job_facts(job(), [unscheduled(text)]))
        assert (found.reason, found.waiting, found.what) == ("Unschedulable", True, "1 nvidia.com/gpu")
        assert "free nvidia.com/gpu or add a node" in found.message

    def test_a_secret_that_is_missing(self) -> None:
        found = problem(job_facts(job(), [waiting("CreateContainerConfigError", 'secret "s3" not found')]))
        assert found.reason == "ContainerConfig"
        assert 'secret "s3" not found' in found.message

    def test_an_unbound_claim_is_waited_for_a_missing_one_is_not(self) -> None:
        unbound = problem(job_facts(job(), [unscheduled("pod has unbound immediate PersistentVolumeClaims")]))
        missing = problem(job_facts(job(), [unscheduled('persistentvolumeclaim "artifacts" not found')]))
        assert (unbound.reason, unbound.waiting) == ("VolumeUnbound", True)
        assert (missing.reason, missing.waiting) == ("VolumeClaimMissing", False)

    def test_no_pod_because_of_a_quota(self) -> None:
        text = 'Error creating: pods "x" is forbidden: exceeded quota: team, requested: pods=1'
        events = [
            {"reason": "SuccessfulCreate", "note": "no", "metadata": {"name": "a"}},
            {"reason": "FailedCreate", "note": text, "metadata": {"name": "b"}},
        ]
        found = problem(job_facts(job(), [], events))
        assert (found.reason, found.waiting, found.what) == ("QuotaExceeded", True, "room in the ResourceQuota")
        assert "exceeded quota: team" in found.message

    def test_no_pod_yet_is_no_problem(self) -> None:
        assert job_facts(job(), []).problem is None
