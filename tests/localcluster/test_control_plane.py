"""The control plane is real: it authenticates, authorizes, records, survives crashes, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import api, cgroups, namespaces, parts
from localcluster.api import Cluster
from localcluster.errors import ClusterError
from localcluster.layout import Layout
from localcluster.progress import wait_until

pytestmark = pytest.mark.api


@pytest.fixture(scope="module")
def own() -> Iterator[Cluster]:
    """A cluster that these tests may break."""
    name = f"breakable-{os.getpid()}"
    yield api.ensure(name=name, size=parts.CONTROL_PLANE)
    api.take_down(name=name, purge=True)


@pytest.fixture
def cluster(own: Cluster) -> Cluster:
    """The breakable cluster, mended if the test before broke it."""
    return api.ensure(name=own.name, size=parts.CONTROL_PLANE)


def test_the_version_is_new_enough_and_the_gateway_api_is_served(control_plane: Cluster) -> None:
    version = json.loads(control_plane.kubectl("version", "-o", "json"))["serverVersion"]
    assert (int(version["major"]), int(version["minor"])) >= (1, 36)
    control_plane.kubectl("get", "httproutes,grpcroutes,gateways", "-A")


def test_a_service_account_has_no_rights_until_a_role_gives_them(control_plane: Cluster) -> None:
    control_plane.kubectl("create", "namespace", "rights")
    account = "--as=system:serviceaccount:rights:default"
    try:
        with pytest.raises(ClusterError, match="forbidden"):
            control_plane.kubectl("get", "configmaps", "-n", "rights", account)
        binding = ("rolebinding", "view", "--clusterrole=view", "--serviceaccount=rights:default", "-n", "rights")
        control_plane.kubectl("create", *binding)
        control_plane.kubectl("get", "configmaps", "-n", "rights", account)
    finally:
        control_plane.kubectl("delete", "namespace", "rights", "--wait=false")


def test_a_node_may_not_touch_another_node(control_plane: Cluster) -> None:
    node = ("--as=system:node:other", "--as-group=system:nodes", "--as-group=system:authenticated")
    with pytest.raises(ClusterError, match="forbidden"):
        control_plane.kubectl("get", "secrets", "-A", *node)


def test_plain_http_and_strangers_are_refused(control_plane: Cluster) -> None:
    host, port = control_plane.api_server.removeprefix("https://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as plain:
        plain.sendall(b"GET /api/v1/namespaces HTTP/1.0\r\n\r\n")
        assert b"400" in plain.recv(1000)
    anonymous = subprocess.run(
        ["curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", f"{control_plane.api_server}/api/v1/namespaces"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert anonymous.stdout == "403"


def test_the_audit_log_counts_writes_by_user_and_leaves_reads_out(control_plane: Cluster) -> None:
    user = f"counted-{os.getpid()}"
    admin = (f"--as={user}", "--as-group=system:masters")
    for verb in ("create", "get", "delete"):
        kind = ("configmap", user) if verb != "create" else ("configmap", user, "--from-literal=a=b")
        control_plane.kubectl(verb, *kind, *admin)

    def written() -> list[str]:
        entries = map(json.loads, control_plane.audit_log.read_text().splitlines())
        return [entry["verb"] for entry in entries if entry.get("impersonatedUser", {}).get("username") == user]

    wait_until(lambda: len(written()) >= 2, what="the audit log", timeout=10)
    assert written() == ["create", "delete"]


@pytest.mark.parametrize("part", ["etcd", "kube-apiserver", "kube-controller-manager", "door"])
def test_a_part_that_is_killed_comes_back_and_nothing_is_lost(cluster: Cluster, part: str) -> None:
    cluster.kubectl("create", "configmap", f"before-{part}")
    before = cluster.part(part)["starts"]
    cluster.kill(part)
    wait_until(lambda: cluster.part(part)["starts"] > before, what="a restart", timeout=20)
    with cluster.client() as client:
        wait_until(client.ready, what="the API server", timeout=60)
    assert f"before-{part}" in cluster.kubectl("get", "configmap", f"before-{part}", "-o", "name")


def test_a_part_stays_down_until_it_is_started(cluster: Cluster) -> None:
    cluster.stop("kube-controller-manager")
    assert not cluster.part("kube-controller-manager")["running"]
    assert not api.status(name=cluster.name)["up"]
    cluster.start("kube-controller-manager")
    assert cluster.part("kube-controller-manager")["ready"]


def test_up_starts_a_part_that_was_stopped(cluster: Cluster) -> None:
    cluster.stop("kube-controller-manager")
    api.ensure(name=cluster.name, size=parts.CONTROL_PLANE)
    assert cluster.part("kube-controller-manager")["ready"]


def test_an_unknown_part_is_named_with_those_that_exist(cluster: Cluster) -> None:
    with pytest.raises(ClusterError, match=r"no part 'kubelt'.*etcd"):
        cluster.kill("kubelt")


@pytest.mark.parametrize("victim", ["holder", "init"])
def test_up_after_the_whole_cluster_was_killed_keeps_data_and_address(cluster: Cluster, victim: str) -> None:
    cluster.kubectl("create", "configmap", f"survivor-{victim}")
    address = cluster.api_server
    _kill(cluster, victim)
    mended = api.ensure(name=cluster.name, size=parts.CONTROL_PLANE)
    assert mended.api_server == address
    mended.kubectl("get", "configmap", f"survivor-{victim}")


def test_up_replaces_a_cluster_whose_data_is_destroyed(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "doomed")
    _kill(cluster, "holder")
    for file in (cluster.state_dir / "etcd").rglob("db"):
        file.write_bytes(b"not a database" * 1000)
    fresh = api.ensure(name=cluster.name, size=parts.CONTROL_PLANE)
    with pytest.raises(ClusterError, match="not found"):
        fresh.kubectl("get", "configmap", "doomed")


def test_two_clusters_do_not_see_each_other(cluster: Cluster, control_plane: Cluster) -> None:
    cluster.kubectl("create", "namespace", "only-here")
    assert "only-here" not in control_plane.kubectl("get", "namespaces")
    assert cluster.api_server != control_plane.api_server


@pytest.mark.parametrize("victim", ["", "kube-apiserver", "init", "holder"])
def test_down_leaves_nothing_behind(victim: str) -> None:
    before = _traces()
    name = f"gone-{victim or 'whole'}-{os.getpid()}"
    cluster = api.ensure(name=name, size=parts.CONTROL_PLANE)
    running = namespaces.find(state=cluster.state_dir)
    assert running is not None
    inside = {(pid, _started(pid)) for pid in namespaces.members(running)}
    assert len(inside) >= 5
    port = cluster.record.ports["api"]
    if victim in {"init", "holder"}:
        _kill(cluster, victim)
    elif victim:
        cluster.kill(victim)
    api.take_down(name=name)
    assert not {(pid, _started(pid)) for pid, _ in inside} & inside
    assert namespaces.find(state=cluster.state_dir) is None
    assert not cluster.state_dir.exists()
    assert not cluster.layout.lock.exists()
    assert _traces() == before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)
    with pytest.raises(ClusterError, match="is not up"):
        api.attach(name=name)


def test_down_twice_and_down_of_nothing_are_fine() -> None:
    api.take_down(name="never-was", purge=True)
    assert not Layout.of(name="never-was").root.exists()


def _kill(cluster: Cluster, victim: str) -> None:
    running = namespaces.find(state=cluster.state_dir)
    assert running is not None
    os.kill(getattr(running, victim), signal.SIGKILL)
    wait_until(lambda: namespaces.find(state=cluster.state_dir) is None, what="the end", timeout=20)


def _started(pid: int) -> str:
    """When a process started: tells it from a later one of the same number. Empty when it is gone, or only unreaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _traces() -> tuple[list[str], list[str], list[Path]]:
    """What a cluster of these tests could leave on the host: mounts, network devices, cgroups."""
    mounts = [line for line in Path("/proc/self/mounts").read_text().splitlines() if "gone-" in line]
    groups = [path for tree in cgroups.trees() for path in tree.glob("modelrelease-gone*")]
    return mounts, sorted(os.listdir("/sys/class/net")), groups
