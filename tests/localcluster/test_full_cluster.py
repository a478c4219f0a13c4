"""The full size is a cluster like any other: pods, volumes, DNS, GPUs, a gateway and metrics."""

import json
import os
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from localcluster import api, cgroups, existing, namespaces
from localcluster.api import Cluster
from localcluster.errors import ClusterError
from localcluster.progress import wait_until

pytestmark = pytest.mark.e2e

_APPLICATION = Path(__file__).with_name("application.yaml")
_HOST = {"Host": "web.example"}


@pytest.fixture(scope="module")
def namespace(full_cluster: Cluster) -> Iterator[str]:
    """A namespace with a small web application behind the gateway, under restricted Pod Security."""
    name = f"web-{os.getpid()}"
    full_cluster.kubectl("create", "namespace", name)
    full_cluster.kubectl("label", "namespace", name, "pod-security.kubernetes.io/enforce=restricted")
    full_cluster.kubectl("apply", "-n", name, "-f", str(_APPLICATION))
    full_cluster.kubectl("rollout", "status", "-n", name, "deployment/web", "--timeout=60s")
    wait_until(lambda: _get(full_cluster) == "hello\n", what="the route to be served", timeout=30)
    yield name
    full_cluster.kubectl("delete", "namespace", name, "--wait=false")


def _get(cluster: Cluster) -> str:
    request = urllib.request.Request(f"http://{cluster.gateway_address}/", headers=_HOST)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        error.close()
        return str(error.code)


def _pod(cluster: Cluster, namespace: str) -> str:
    return cluster.kubectl("get", "pods", "-n", namespace, "-l", "app=web", "-o", "name").split()[0]


def _run(cluster: Cluster, namespace: str, script: str) -> str:
    return cluster.kubectl("exec", "-n", namespace, _pod(cluster, namespace), "--", "/bin/busybox", "sh", "-c", script)


def test_pods_reach_services_by_address_and_names_resolve(full_cluster: Cluster, namespace: str) -> None:
    looked_up = _run(full_cluster, namespace, f"/bin/busybox nslookup web.{namespace}.svc.cluster.local")
    address = full_cluster.kubectl("get", "service", "-n", namespace, "web", "-o", "jsonpath={.spec.clusterIP}")
    assert address in looked_up
    ask = r"printf 'GET / HTTP/1.0\r\n\r\n' | /bin/busybox nc {} 80"
    assert "hello" in _run(full_cluster, namespace, ask.format(address))


def test_prometheus_has_a_name_and_scrapes_envoy(full_cluster: Cluster, namespace: str) -> None:
    name = "prometheus.monitoring.svc.cluster.local"
    assert "Address" in _run(full_cluster, namespace, f"/bin/busybox nslookup {name}")
    query = urllib.parse.quote(f'envoy_cluster_upstream_rq_total{{envoy_cluster_name=~"httproute/{namespace}/.*"}}')

    def found() -> bool:
        with urllib.request.urlopen(f"{full_cluster.prometheus_url}/api/v1/query?query={query}", timeout=5) as answer:
            return bool(json.load(answer)["data"]["result"])

    wait_until(found, what="Envoy's counters in Prometheus", timeout=30)


def test_logs_come_from_the_node(full_cluster: Cluster, namespace: str) -> None:
    assert "serving" in full_cluster.kubectl("logs", "-n", namespace, _pod(full_cluster, namespace))


def test_an_unrestricted_pod_is_refused(full_cluster: Cluster, namespace: str) -> None:
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        full_cluster.kubectl("run", "-n", namespace, "root", "--image=localhost/modelrelease/sandbox:dev")


def test_an_image_that_nobody_built_fails_within_seconds(full_cluster: Cluster, namespace: str) -> None:
    pod = next(o for o in yaml.safe_load_all(_APPLICATION.read_text()) if o["kind"] == "Deployment")["spec"]["template"]
    pod["spec"]["volumes"], pod["spec"]["containers"][0]["volumeMounts"] = [], []
    for image in ("registry.example/nobody/nothing:1", "localhost/modelrelease/nothing:dev"):
        pod["spec"]["containers"][0]["image"] = image
        name = f"unknown-{abs(hash(image)) % 10000}"
        document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod["spec"]}
        full_cluster.kubectl("apply", "-n", namespace, "-f", "-", stdin=json.dumps(document))
        path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"

        def reason(name: str = name, path: str = path) -> str:
            return full_cluster.kubectl("get", "pod", "-n", namespace, name, "-o", path)

        wait_until(lambda: "ImagePull" in reason(), what="ErrImagePull", timeout=15)
        full_cluster.kubectl("delete", "pod", "-n", namespace, name, "--wait=false")


def test_a_volume_is_made_for_a_claim_and_removed_with_it(full_cluster: Cluster, namespace: str) -> None:
    volume = full_cluster.kubectl("get", "pvc", "-n", namespace, "data", "-o", "jsonpath={.spec.volumeName}")
    folder = full_cluster.state_dir / "volumes" / volume
    assert (folder / "index.html").read_text() == "hello\n"
    other = "other-" + namespace
    full_cluster.kubectl("create", "namespace", other)
    full_cluster.kubectl("apply", "-n", other, "-f", str(_APPLICATION))
    full_cluster.kubectl("rollout", "status", "-n", other, "deployment/web", "--timeout=60s")
    volume = full_cluster.kubectl("get", "pvc", "-n", other, "data", "-o", "jsonpath={.spec.volumeName}")
    assert (full_cluster.state_dir / "volumes" / volume).is_dir()
    full_cluster.kubectl("delete", "namespace", other, "--wait=false")
    wait_until(
        lambda: not (full_cluster.state_dir / "volumes" / volume).exists(), what="the folder to be removed", timeout=90
    )


def test_gpus_are_scheduled_and_survive_a_kubelet_restart(full_cluster: Cluster, namespace: str) -> None:
    def pods() -> list[tuple[str, int]]:
        items = json.loads(full_cluster.kubectl("get", "pods", "-n", namespace, "-l", "app=web", "-o", "json"))["items"]
        return sorted((p["metadata"]["uid"], p["status"]["containerStatuses"][0]["restartCount"]) for p in items)

    path = r"jsonpath={.items[0].status.allocatable.nvidia\.com/gpu}"
    assert full_cluster.kubectl("get", "nodes", "-o", path) == "8"
    before, heartbeat = pods(), _heartbeat(full_cluster)
    full_cluster.restart("kubelet")
    wait_until(lambda: _heartbeat(full_cluster) > heartbeat, what="the new kubelet's report", timeout=60)
    assert full_cluster.kubectl("get", "nodes", "-o", path) == "8"
    assert pods() == before
    assert _get(full_cluster) == "hello\n"


def _heartbeat(cluster: Cluster) -> str:
    return cluster.kubectl(
        "get", "nodes", "-o", 'jsonpath={.items[0].status.conditions[?(@.type=="Ready")].lastHeartbeatTime}'
    )


def test_more_gpus_than_there_are_stay_pending(full_cluster: Cluster, namespace: str) -> None:
    full_cluster.kubectl("scale", "-n", namespace, "deployment/web", "--replicas=9")

    def told() -> bool:
        events = full_cluster.kubectl("get", "events", "-n", namespace, "--field-selector=reason=FailedScheduling")
        return "Insufficient nvidia.com/gpu" in events

    wait_until(told, what="the scheduler to say what is missing", timeout=30)
    full_cluster.kubectl("scale", "-n", namespace, "deployment/web", "--replicas=2")
    # The little web server breaks off what it is answering when it is ended: be done with that before the next test.
    names = ("get", "pods", "-n", namespace, "-l", "app=web", "-o", "name")
    wait_until(lambda: len(full_cluster.kubectl(*names).split()) == 2, what="surplus pods to end", timeout=60)


def test_the_door_carries_many_requests_without_loss(full_cluster: Cluster, namespace: str) -> None:
    began, count = time.monotonic(), 2000
    with ThreadPoolExecutor(max_workers=16) as pool:
        answers = list(pool.map(lambda _: _get(full_cluster), range(count)))
    assert answers == ["hello\n"] * count
    assert count / (time.monotonic() - began) > 50  # each on a connection of its own; a busy machine may be slow


def test_restarting_prometheus_and_the_gateway_controller_loses_no_request(
    full_cluster: Cluster, namespace: str
) -> None:
    full_cluster.restart("prometheus")
    full_cluster.kubectl("delete", "pods", "-n", "envoy-gateway-system", "-l", "control-plane=envoy-gateway")
    assert {_get(full_cluster) for _ in range(200)} == {"hello\n"}
    full_cluster.kubectl("rollout", "status", "-n", "envoy-gateway-system", "deployment/envoy-gateway", "--timeout=90s")


def test_programs_run_on_the_node(full_cluster: Cluster) -> None:
    assert "node0" in full_cluster.exec_in_namespaces("ip", "-brief", "address")
    assert "node" in full_cluster.exec_in_namespaces("kubectl", "get", "nodes")


def test_an_image_is_imported_once_and_bad_ones_are_named(full_cluster: Cluster, tmp_path: Path) -> None:
    full_cluster.load("sandbox")
    with pytest.raises(ClusterError, match="neither an OCI archive nor an image of this project"):
        full_cluster.load("no-such-image")
    (tmp_path / "bad.tar").write_bytes(b"not a tar")
    with pytest.raises(ClusterError, match="is not an image archive"):
        full_cluster.load(tmp_path / "bad.tar")


def test_a_cluster_that_exists_is_used_by_its_context_and_left_alone(
    full_cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(full_cluster.kubeconfig))
    with pytest.raises(ClusterError, match="context 'nowhere' can't be used"):
        existing.attach(context="nowhere", gateway="", prometheus="", folder=tmp_path)
    same = existing.attach(
        context=full_cluster.name, gateway=full_cluster.gateway_address, prometheus="", folder=tmp_path
    )
    assert same.api_server == full_cluster.api_server
    assert namespace in same.kubectl("get", "namespaces")
    assert _get(same) == "hello\n"
    same.down()
    with pytest.raises(ClusterError, match="not a local cluster"):
        same.kill("kubelet")
    full_cluster.kubectl("get", "nodes")


def test_a_second_cluster_comes_dies_returns_and_goes_beside_the_first(full_cluster: Cluster, namespace: str) -> None:
    name = f"second-{os.getpid()}"
    second = api.ensure(name=name, gpus=2)
    try:
        assert second.kubectl("get", "nodes", "-o", r"jsonpath={.items[0].status.allocatable.nvidia\.com/gpu}") == "2"
        assert _get(second) == "404"
        assert [tree for tree in cgroups.trees() if (tree / second.layout.cgroup).exists()]
        assert (
            second.exec_in_namespaces("ip", "link")
            != subprocess.run(["ip", "link"], capture_output=True, text=True, check=True).stdout
        )
        running = namespaces.find(state=second.state_dir)
        assert running is not None
        os.kill(running.holder, signal.SIGKILL)
        second = api.ensure(name=name)  # as after a power cut: pods come back, and the node has its GPUs again
        assert second.kubectl("get", "nodes", "-o", r"jsonpath={.items[0].status.allocatable.nvidia\.com/gpu}") == "2"
        assert _get(second) == "404"
    finally:
        second.down(purge=True)
    assert not cgroups.leftovers(name=second.layout.cgroup)
    assert "second-" not in Path("/proc/self/mounts").read_text()
    assert _get(full_cluster) == "hello\n"
