"""The operator's process on a real API server, under the rights that the manifests give it."""

from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

import pytest

from localcluster.api import Cluster
from tests.runtime.conftest import StartOperator
from tests.runtime.operators import ACCOUNT, ROOT, SYSTEM, OperatorProcess, eventually

pytestmark = pytest.mark.api

SAMPLE = ROOT / "manifests" / "samples" / "digits-minimal.yaml"
LED = "listed"


def holder(cluster: Cluster) -> str:
    said = cluster.kubectl("-n", SYSTEM, "get", "lease", "-o", "jsonpath={.items[*].spec.holderIdentity}")
    return said.strip()


def jobs(cluster: Cluster, namespace: str) -> list[str]:
    return cluster.kubectl("-n", namespace, "get", "jobs", "-o", "name").split()


def refusals(operator: OperatorProcess) -> list[str]:
    return [str(line) for line in operator.lines() if re.search("forbidden|unauthorized", str(line), re.IGNORECASE)]


def writes(cluster: Cluster) -> int:
    """Count what the operator's account wrote, renewals of its Lease apart."""
    count = 0
    for line in cluster.audit_log.read_text().splitlines():
        entry = json.loads(line)
        mine = entry["user"]["username"] == f"system:serviceaccount:{SYSTEM}:{ACCOUNT}"
        count += mine and entry["objectRef"]["resource"] != "leases"
    return count


def test_the_manifests_rights_suffice_for_a_release_and_nothing_is_written_at_rest(
    own_cluster: Cluster, namespace: str, start_operator: StartOperator
) -> None:
    operator = start_operator()
    operator.await_line(LED)
    eventually(lambda: operator.ask("/readyz")[0] == 200, what="ready")
    own_cluster.kubectl("-n", namespace, "apply", "-f", str(SAMPLE))
    eventually(lambda: jobs(own_cluster, namespace), what="a build Job")
    eventually(lambda: operator.said("build"), what="a line about the transition")
    assert operator.ask("/healthz") == (200, "ok\n")
    assert f'namespace="{namespace}",phase="Building",release="digits"' in operator.ask("/metrics")[1]
    eventually(lambda: _quiet(own_cluster), what="an operator that is done writing")
    before = writes(own_cluster)
    time.sleep(4)  # a stretch of rest has to be waited for
    assert writes(own_cluster) == before
    assert not refusals(operator)


def _quiet(cluster: Cluster) -> bool:
    before = writes(cluster)
    time.sleep(1)
    return writes(cluster) == before


def test_told_to_stop_it_hands_the_lease_over(own_cluster: Cluster, start_operator: StartOperator) -> None:
    leader = start_operator()
    leader.await_line(LED)
    standby = start_operator()
    standby.await_line("standing by")
    assert standby.ask("/readyz")[0] == 200, "a standby is ready: it is of use as it is"
    leader.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert leader.end(within=10) == 0
    assert leader.said("the Lease is released")
    standby.await_line(LED, within=8)
    assert time.monotonic() - began < 8, "without the release this takes 15 s"
    standby.process.send_signal(signal.SIGINT)
    assert standby.end(within=10) == 0
    assert holder(own_cluster) == ""


def test_after_a_crash_the_standby_takes_over(own_cluster: Cluster, start_operator: StartOperator) -> None:
    leader = start_operator()
    leader.await_line(LED)
    standby = start_operator()
    standby.await_line("standing by")
    leader.process.kill()
    standby.await_line(LED, within=25)


def test_a_lost_lease_ends_the_process_at_once(own_cluster: Cluster, start_operator: StartOperator) -> None:
    operator = start_operator()
    operator.await_line(LED)
    thief = '{"spec": {"holderIdentity": "thief"}}'
    own_cluster.kubectl("-n", SYSTEM, "patch", "lease", "model-release-operator", "--type=merge", "-p", thief)
    assert operator.end(within=5) == 75
    assert operator.said("the Lease is held by thief now")
    assert holder(own_cluster) == "thief"


def test_a_process_that_stands_still_is_ended_by_the_kernel(start_operator: StartOperator) -> None:
    operator = start_operator()
    operator.await_line(LED)
    operator.process.send_signal(signal.SIGSTOP)
    time.sleep(16)  # as long as a Lease lasts
    operator.process.send_signal(signal.SIGCONT)
    assert operator.end(within=2) == -signal.SIGALRM
    assert "most recent call first" in operator.log.read_text(), "it shows where it stood"


def test_without_the_api_server_it_ends_within_the_renew_deadline(
    own_cluster: Cluster, start_operator: StartOperator
) -> None:
    operator = start_operator()
    operator.await_line(LED)
    own_cluster.stop("kube-apiserver")
    try:
        assert operator.end(within=15) == 75
        assert operator.said("could not be renewed for 10 s")
    finally:
        own_cluster.start("kube-apiserver")


def test_a_standby_outlives_an_api_server_outage(own_cluster: Cluster, start_operator: StartOperator) -> None:
    own_cluster.stop("kube-apiserver")
    try:
        operator = start_operator()
        operator.await_line("leader election")
        assert operator.ask("/healthz")[0] == 200
    finally:
        own_cluster.start("kube-apiserver")
    operator.await_line(LED)


def test_kinds_that_are_installed_later_are_watched_after_a_start_anew(
    own_cluster: Cluster, namespace: str, start_operator: StartOperator, tmp_path: Path
) -> None:
    kinds = ("httproutes.gateway.networking.k8s.io", "grpcroutes.gateway.networking.k8s.io")
    saved = tmp_path / "crds.json"
    saved.write_text(_as_new(own_cluster.kubectl("get", "crd", *kinds, "-o", "json")))
    operator = start_operator()
    operator.await_line(LED)
    own_cluster.kubectl("delete", "crd", *kinds)
    try:
        assert operator.end(within=30) == 1, "a kind that goes away under a watch ends the process"
        without = start_operator()
        without.await_line("not installed: GRPCRoute, HTTPRoute", within=15)
        assert without.ask("/readyz")[0] == 200
    finally:
        own_cluster.kubectl("create", "-f", str(saved))
    assert without.end(within=20) == 0
    assert without.said("starting anew")
    again = start_operator()
    again.await_line(LED)
    eventually(lambda: again.ask("/readyz")[0] == 200, what="ready")
    before = _decisions(again)
    own_cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(_ROUTE))
    eventually(lambda: _decisions(again) > before, what="a look at the release that the route is labelled with")


def test_an_operator_of_one_namespace_needs_rights_there_only(
    own_cluster: Cluster, namespace: str, start_operator: StartOperator
) -> None:
    overlay = own_cluster.kubectl("kustomize", str(ROOT / "manifests" / "overlays" / "namespaced"))
    own_cluster.kubectl("delete", "clusterrolebinding", ACCOUNT)
    try:
        own_cluster.kubectl("apply", "--server-side", "-f", "-", stdin=_binding(overlay).replace("models", namespace))
        operator = start_operator("--namespace", namespace)
        operator.await_line(LED)
        own_cluster.kubectl("-n", namespace, "apply", "-f", str(SAMPLE))
        eventually(lambda: jobs(own_cluster, namespace), what="a build Job")
        assert not refusals(operator)
    finally:
        own_cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "overlays" / "local"))


def test_overlays_render_and_are_admitted(own_cluster: Cluster) -> None:
    own_cluster.kubectl("create", "namespace", "models")
    for overlay in ("base", "overlays/local", "overlays/namespaced"):
        folder = str(ROOT / "manifests" / overlay)
        own_cluster.kubectl("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-k", folder)


def test_the_operators_pods_are_admitted_under_the_restricted_standard(own_cluster: Cluster) -> None:
    def pods() -> list[str]:
        return own_cluster.kubectl("-n", SYSTEM, "get", "pods", "-o", "name").split()

    eventually(lambda: len(pods()) == 2, what="two pods of the operator")


@pytest.mark.parametrize(
    "what", ["get secrets", "list secrets", "create pods", "update modelreleases", "delete services"]
)
def test_the_operator_may_not(own_cluster: Cluster, what: str) -> None:
    verb, resource = what.split()
    account = f"--as=system:serviceaccount:{SYSTEM}:{ACCOUNT}"
    assert own_cluster.kubectl("auth", "can-i", verb, resource, account, "-A", check=False).strip() == "no"


def _as_new(listed: str) -> str:
    """Return objects as they can be created anew."""
    found = json.loads(listed)
    for item in found["items"]:
        meta = item["metadata"]
        item["metadata"] = {key: meta[key] for key in ("name", "annotations", "labels") if key in meta}
        item.pop("status", None)
    return json.dumps(found)


def _binding(rendered: str) -> str:
    (found,) = (d for d in rendered.split("\n---\n") if "kind: RoleBinding" in d and "namespace: models" in d)
    return found


def _decisions(operator: OperatorProcess) -> float:
    text = operator.ask("/metrics")[1]
    return sum(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith("modelrelease_reconciles_total")
    )


_ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {
        "name": "digits",
        "labels": {"app.kubernetes.io/managed-by": "model-release-operator", "modelrelease.dev/release": "digits"},
    },
    "spec": {"hostnames": ["digits.example.com"]},
}
