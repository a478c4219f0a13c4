"""Deployments, slots and routes as facts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from modelrelease.adapters.facts import deployment_facts, job_facts, route_facts, slot_facts
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import PPM, Meta, Mirror, Slot
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Spec
from modelrelease.render import http_route, service

from tests.adapters.pods import Object, deployment, ended, job, pod, said, unscheduled, waiting
from tests.fakes.samples import SPEC

A, B = "aaaaaaaaaa", "bbbbbbbbbb"
META = Meta(name="digits", namespace="vision", uid="u", generation=1, resource_version="1")


def problem(live: Object, *pods: Object) -> Problem:
    found = deployment_facts(live, pods).problem
    assert found is not None
    return found


class TestDeployment:
    def test_settled_when_the_controller_saw_it_and_all_are_ready(self) -> None:
        facts = deployment_facts(deployment(ready=2), [])
        assert (facts.revision, facts.replicas, facts.ready, facts.settled) == ("0123456789", 2, 2, True)
        assert (facts.uid, facts.resource_version, facts.problem) == ("u2", "8", None)

    @pytest.mark.parametrize(
        "live",
        [
            deployment(ready=1),
            deployment(ready=2, generation=2),
            deployment(ready=2, updatedReplicas=1),
            deployment(ready=2) | {"status": {"observedGeneration": 1, "replicas": 3, "readyReplicas": 2}},
            {**deployment(), "status": {}},
        ],
        ids=["one-not-ready", "unseen-generation", "old-pods", "surplus", "no-status"],
    )
    def test_not_settled(self, live: Object) -> None:
        assert not deployment_facts(live, []).settled

    def test_scaled_to_nothing_has_no_problem(self) -> None:
        live = deployment(replicas=0, seen=0)
        assert deployment_facts(live, [unscheduled("Insufficient nvidia.com/gpu")]).problem is None

    def test_no_gpu(self) -> None:
        found = problem(deployment(), unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu."))
        assert (found.waiting, found.what) == (True, "1 nvidia.com/gpu")

    def test_a_wrong_digest_is_final_a_store_that_is_away_is_not(self) -> None:
        def pulling(reason: str) -> Object:
            last = {"exitCode": 4, "message": said(reason, "told")}
            return waiting("CrashLoopBackOff", container="pull", last=last)

        assert problem(deployment(), pulling("ArtifactCorrupt")) == Problem(
            reason="ArtifactCorrupt", message="told", fatal=True
        )
        assert problem(deployment(), pulling("ArtifactMissing")).fatal
        assert problem(deployment(), pulling("StoreUnreachable")) == Problem(reason="StoreUnreachable", message="told")
        # Nobody vouches for it: no retry changes that. A key that is not there yet may still come.
        assert problem(deployment(), pulling("SignatureMissing")).fatal
        assert problem(deployment(), pulling("SignatureMismatch")).fatal
        assert not problem(deployment(), pulling("KeyMissing")).fatal

    def test_triton_crashes(self) -> None:
        last = {
            "exitCode": 1,
            "reason": "Error",
            "message": "failed to load 'digits' version 1: Internal: bad protobuf",
        }
        found = problem(deployment(), waiting("CrashLoopBackOff", last=last))
        assert found.reason == "ContainerFailed"
        assert "bad protobuf" in found.message
        assert "(restarted 4 times, not ready yet)" in found.message

    def test_a_model_that_never_loads_is_seen_between_two_restarts(self) -> None:
        status = {
            "name": "triton",
            "ready": False,
            "restartCount": 1,
            "state": {"running": {"startedAt": "2026-11-01T12:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "Error"}},
        }
        found = problem(deployment(), pod(phase="Running", containerStatuses=[status]))
        assert "exit code 137: killed by signal 9 (restarted once, not ready yet)" in found.message
        ready = {**status, "ready": True}
        assert deployment_facts(deployment(ready=1), [pod(phase="Running", containerStatuses=[ready])]).problem is None

    def test_pods_that_are_ready_or_leave_are_no_problem(self) -> None:
        leaving = unscheduled("Insufficient cpu")
        leaving["metadata"]["deletionTimestamp"] = "2026-11-01T12:00:00Z"
        fine = ended(1)
        fine["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        assert deployment_facts(deployment(ready=1), [leaving, fine]).problem is None

    def test_quota(self) -> None:
        text = 'pods "x" is forbidden: exceeded quota: team, requested: requests.nvidia.com/gpu=1'
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text}
        found = problem(deployment(conditions=[condition]))
        assert (found.reason, found.waiting) == ("QuotaExceeded", True)

    def test_pod_security(self) -> None:
        text = 'pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text}
        found = problem(deployment(conditions=[condition]))
        assert (found.reason, found.waiting) == ("PodsRefused", False)
        assert "violates PodSecurity" in found.message


def endpoint(name: str, *, ready: bool | None = True, terminating: bool = False) -> Object:
    conditions: dict[str, Any] = {"terminating": terminating}
    if ready is not None:
        conditions["ready"] = ready
    return {"conditions": conditions, "targetRef": {"kind": "Pod", "name": name}}


def piece(*endpoints: Object, of: str = "digits-stable") -> Object:
    return {"metadata": {"labels": {"kubernetes.io/service-name": of}}, "endpoints": list(endpoints)}


def slot(slot_name: Slot = Slot.STABLE) -> Object:
    made = service(meta=META, slot=slot_name, revision=A)
    made["metadata"]["resourceVersion"] = "9"
    return made


class TestSlot:
    def test_ready_endpoints_by_revision(self) -> None:
        slices = [
            piece(endpoint(f"digits-{A}-x-1"), endpoint(f"digits-{A}-x-2"), endpoint(f"digits-{B}-x-1")),
            piece(endpoint("digits-cccccccccc-x-1"), of="digits-candidate"),
        ]
        facts = slot_facts(slot(), slices, {})
        assert (facts.revision, facts.resource_version) == (A, "9")
        assert facts.ready == {A: 2, B: 1}
        assert not facts.serves(A), "another revision answers there, too"

    def test_terminating_and_unready_ones_are_none(self) -> None:
        slices = [piece(endpoint("digits-a-x-1", ready=False), endpoint("digits-a-x-2", terminating=True))]
        assert slot_facts(slot(), slices, {}).ready == {}

    def test_unknown_readiness_is_ready_as_the_api_says(self) -> None:
        slices = [piece(endpoint(f"digits-{A}-x-1", ready=None))]
        assert slot_facts(slot(), slices, {}).ready == {A: 1}

    def test_a_pod_counts_once_in_two_address_families(self) -> None:
        slices = [piece(endpoint(f"digits-{A}-x-1")), piece(endpoint(f"digits-{A}-x-1"))]
        assert slot_facts(slot(), slices, {}).ready == {A: 1}

    def test_the_pods_label_knows_better_than_its_name(self) -> None:
        labelled = pod("digits-odd")
        labelled["metadata"]["labels"] = {naming.LABEL_REVISION: B}
        assert slot_facts(slot(), [piece(endpoint("digits-odd"))], {"digits-odd": labelled}).ready == {B: 1}

    def test_a_stranger_behind_the_slot_is_not_the_revision(self) -> None:
        facts = slot_facts(slot(), [piece(endpoint("stranger"), endpoint(f"digits-{A}-x-1"))], {})
        assert facts.ready == {"": 1, A: 1}
        assert not facts.serves(A)


def route(*, generation: int = 3, weight: int = 50_000, mirror: Mirror | None = None, **answers: Any) -> Object:
    spec = codec.decode(Spec, SPEC, "spec")
    made = http_route(
        meta=META,
        spec=spec,
        gateway_filters=True,
        stable_revision=A,
        candidate_revision=B,
        candidate_ppm=weight,
        mirror=mirror,
    )
    made["metadata"] |= {"generation": generation, "resourceVersion": "11"}
    ref = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "gateways"}
    made["status"] = {"parents": [{"parentRef": answers.get("ref", ref), "conditions": answers.get("said", [])}]}
    return made


def says(kind: str, status: str = "True", *, seen: int = 3, reason: str = "Reason", message: str = "") -> Object:
    return {"type": kind, "status": status, "observedGeneration": seen, "reason": reason, "message": message}


class TestRoute:
    def test_accepted(self) -> None:
        facts = route_facts(route(said=[says("Accepted"), says("ResolvedRefs")]))
        assert (facts.candidate_ppm, facts.accepted, facts.problem) == (50_000, True, None)
        assert facts.resource_version == "11"

    @pytest.mark.parametrize(
        "said",
        [
            [],
            [says("Accepted")],
            [says("ResolvedRefs")],
            [says("Accepted", seen=2), says("ResolvedRefs")],
            [says("Accepted"), says("ResolvedRefs", seen=2)],
        ],
        ids=["silent", "no-refs", "no-accepted", "stale-accepted", "stale-refs"],
    )
    def test_not_accepted_yet_is_no_problem(self, said: list[Object]) -> None:
        facts = route_facts(route(said=said))
        assert (facts.accepted, facts.problem) == (False, None)

    def test_refused(self) -> None:
        refusal = says("Accepted", "False", reason="NotAllowedByListeners", message="no listener takes the host.")
        facts = route_facts(route(said=[refusal, says("ResolvedRefs")]))
        assert not facts.accepted
        assert facts.problem is not None
        assert facts.problem.message == (
            "the gateway does not take the route (NotAllowedByListeners): no listener takes the host"
        )

    def test_a_refusal_of_an_older_generation_is_history(self) -> None:
        assert route_facts(route(said=[says("Accepted", "False", seen=2)])).problem is None

    def test_the_answer_of_another_parent_does_not_count(self) -> None:
        other = {"name": "public", "namespace": "elsewhere"}
        assert not route_facts(route(ref=other, said=[says("Accepted"), says("ResolvedRefs")])).accepted

    def test_edited_rules_have_no_weight(self) -> None:
        live = route(said=[says("Accepted"), says("ResolvedRefs")])
        live["spec"]["rules"][0]["backendRefs"].pop()
        assert route_facts(live).candidate_ppm is None

    def test_the_mirror_is_told_as_written(self) -> None:
        control = Mirror(slot=Slot.STABLE, percent=25)
        facts = route_facts(route(mirror=control, said=[says("Accepted"), says("ResolvedRefs")]))
        assert (facts.mirror, facts.candidate_ppm, facts.accepted) == (control, 50_000, True)
        assert route_facts(route()).mirror is None

    def test_a_foreign_filter_is_an_edited_rule(self) -> None:
        live = route(mirror=Mirror(slot=Slot.PREVIEW, percent=100))
        live["spec"]["rules"][0]["filters"][0]["requestMirror"]["backendRef"]["name"] = "mine"
        facts = route_facts(live)
        assert (facts.mirror, facts.candidate_ppm) == (None, None)

    def test_the_whole_scale(self) -> None:
        assert route_facts(route(weight=PPM - 1)).candidate_ppm == PPM - 1


@given(status=st.dictionaries(st.sampled_from(["phase", "reason", "message"]), st.text(max_size=8)))
def test_any_text_in_a_pods_status_is_read(status: dict[str, str]) -> None:
    """What nodes and runtimes write there is theirs: no text of it may end the operator."""
    odd = pod()
    odd["status"] = status
    deployment_facts(deployment(), [odd])
    job_facts(job(), [odd])
