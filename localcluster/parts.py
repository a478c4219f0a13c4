"""The command lines of all parts. Pure: from addresses and paths to a list, nothing is touched."""

import os
import sys
from collections.abc import Mapping

from localcluster import network
from localcluster.layout import INSIDE
from localcluster.namespaces import python_environment
from localcluster.plan import Part

CONTROL_PLANE = "control-plane"
FULL = "full"
SIZES = (CONTROL_PLANE, FULL)

_PKI = INSIDE / "pki"
_CONFIG = INSIDE / "config"
_BIN = INSIDE / "bin"
_ETCD = f"127.0.0.1:{network.ETCD_PORT}"
_API = f"127.0.0.1:{network.API_PORT}"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def parts(*, size: str, sockets: Mapping[str, int]) -> tuple[Part, ...]:
    """Return the parts of a cluster of that size, in the order in which ``status`` lists them."""
    control_plane = (_etcd(), _api_server(), _controller_manager(), _door(sockets))
    if size == CONTROL_PLANE:
        return control_plane
    node = (_scheduler(), _containerd(), _kubelet(), _kube_proxy())
    return (*control_plane, *node, _coredns(), _prometheus(), _provisioner())


def _etcd() -> Part:
    peers = "http://127.0.0.1:2380"
    argv = (
        f"{_BIN}/etcd",
        "--name=node",
        f"--data-dir={INSIDE}/etcd",
        f"--listen-client-urls=http://{_ETCD}",
        f"--advertise-client-urls=http://{_ETCD}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=node={peers}",
        # A development cluster may lose its data when the machine loses power; it may not wait for the disk.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )
    return Part(name="etcd", argv=argv, probe=_ETCD)


def _api_server() -> Part:
    argv = (
        f"{_BIN}/kube-apiserver",
        f"--advertise-address={network.NODE_ADDRESS}",
        f"--secure-port={network.API_PORT}",
        f"--etcd-servers=http://{_ETCD}",
        f"--service-cluster-ip-range={network.SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--client-ca-file={_PKI}/ca.crt",
        f"--tls-cert-file={_PKI}/apiserver.crt",
        f"--tls-private-key-file={_PKI}/apiserver.key",
        f"--kubelet-client-certificate={_PKI}/apiserver-kubelet.crt",
        f"--kubelet-client-key={_PKI}/apiserver-kubelet.key",
        # Otherwise logs and exec would look up the node's name, which no name server knows.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer=https://kubernetes.default.svc.{network.CLUSTER_DOMAIN}",
        f"--service-account-key-file={_PKI}/service-account.key",
        f"--service-account-signing-key-file={_PKI}/service-account.key",
        f"--audit-policy-file={_CONFIG}/audit-policy.json",
        f"--audit-log-path={INSIDE}/logs/audit.log",
        "--audit-log-maxsize=200",
        "--audit-log-maxbackup=2",
        "--profiling=false",
    )
    # Its port opens seconds before it answers; clients would find it unready, and sleep before they ask again.
    # At its start it allocates much and keeps little: collecting rarely saves a fifth of the time until it is ready.
    env = {"GOGC": "500", "GOMEMLIMIT": "800MiB"}
    return Part(name="kube-apiserver", argv=argv, env=env, after=("etcd",), probe=f"https://{_API}/readyz")


def _controller_manager() -> Part:
    argv = (
        f"{_BIN}/kube-controller-manager",
        f"--kubeconfig={_CONFIG}/kube-controller-manager.kubeconfig",
        f"--root-ca-file={_PKI}/ca.crt",
        f"--cluster-signing-cert-file={_PKI}/ca.crt",
        f"--cluster-signing-key-file={_PKI}/ca.key",
        f"--service-account-private-key-file={_PKI}/service-account.key",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        # It makes an account and a token per controller before it starts one: throttled, that takes 6 s.
        "--kube-api-qps=500",
        "--kube-api-burst=500",
    )
    return Part(name="kube-controller-manager", argv=argv, after=("kube-apiserver",), probe="127.0.0.1:10257")


def _scheduler() -> Part:
    argv = (
        f"{_BIN}/kube-scheduler",
        f"--kubeconfig={_CONFIG}/kube-scheduler.kubeconfig",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
    )
    return Part(name="kube-scheduler", argv=argv, after=("kube-apiserver",), probe="127.0.0.1:10259")


def _containerd() -> Part:
    argv = (f"{_BIN}/containerd", "--config", f"{_CONFIG}/containerd.toml")
    return Part(name="containerd", argv=argv, probe=CONTAINERD_SOCKET)


def _kubelet() -> Part:
    argv = (
        f"{_BIN}/kubelet",
        f"--config={_CONFIG}/kubelet.json",
        f"--kubeconfig={_CONFIG}/kubelet.kubeconfig",
        f"--root-dir={INSIDE}/kubelet",
        f"--cert-dir={_PKI}",
        f"--hostname-override={network.NODE_NAME}",
        f"--node-ip={network.NODE_ADDRESS}",
    )
    return Part(name="kubelet", argv=argv, after=("containerd", "kube-apiserver"), probe="127.0.0.1:10248")


def _kube_proxy() -> Part:
    argv = (
        f"{_BIN}/kube-proxy",
        f"--config={_CONFIG}/kube-proxy.json",
        f"--hostname-override={network.NODE_NAME}",
    )
    return Part(name="kube-proxy", argv=argv, after=("kube-apiserver",), probe="127.0.0.1:10256")


def _coredns() -> Part:
    argv = (f"{_BIN}/coredns", "-conf", f"{_CONFIG}/Corefile")
    return Part(name="coredns", argv=argv, after=("kube-apiserver",), probe=f"{network.NODE_ADDRESS}:53")


def _prometheus() -> Part:
    address = f"{network.NODE_ADDRESS}:{network.PROMETHEUS_PORT}"
    argv = (
        f"{_BIN}/prometheus",
        f"--config.file={_CONFIG}/prometheus.json",
        f"--storage.tsdb.path={INSIDE}/prometheus",
        "--storage.tsdb.retention.time=1d",
        f"--web.listen-address={address}",
        "--log.level=warn",
    )
    return Part(name="prometheus", argv=argv, after=("kube-apiserver",), probe=address)


def _provisioner() -> Part:
    argv = (sys.executable, "-m", "localcluster.inside.provisioner", str(_CONFIG / "provisioner.kubeconfig"))
    return Part(name="provisioner", argv=argv, env=python_environment(), after=("kube-apiserver",))


def _door(sockets: Mapping[str, int]) -> Part:
    """Return the forwarder from the host; where each socket leads is fixed by its name."""
    targets = {
        "api": _API,
        "gateway": f"{network.GATEWAY_ADDRESS}:{network.GATEWAY_PORT}",
        "prometheus": f"{network.NODE_ADDRESS}:{network.PROMETHEUS_PORT}",
    }
    doors = tuple(f"{descriptor}={targets[name]}" for name, descriptor in sockets.items())
    return Part(
        name="door",
        argv=(sys.executable, "-m", "localcluster.inside.door", *doors),
        env=python_environment(),
        keeps_sockets=True,
    )


def search_path() -> str:
    """Return the PATH inside the namespaces: the cluster's binaries, then the system's."""
    system = os.environ.get("PATH", "")
    return ":".join([str(_BIN), system, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
