"""Which version of everything, and where each program comes from."""

from dataclasses import dataclass

KUBERNETES = "1.37.2"
ETCD = "3.7.3"
CONTAINERD = "2.4.2"
CNI = "1.9.1"
COREDNS = "1.15.0"
ENVOY_GATEWAY = "1.9.1"
PROMETHEUS = "3.16.0"

BUILD_TAGS = ("no_btrfs", "no_devmapper", "no_zfs", "remove_all_sd", "enable_kubernetes_sd")
ENVOY_GATEWAY_MODULE = "github.com/envoyproxy/gateway"


@dataclass(frozen=True, kw_only=True)
class Program:
    """One binary: its file name here, and the Go package that it is compiled from."""

    name: str
    package: str
    node_only: bool = True

    @property
    def built_name(self) -> str:
        """File name that ``go build`` gives it: the last element of the path that is not a version."""
        parts = self.package.rstrip("/").split("/")
        last = parts[-1]
        return parts[-2] if last[:1] == "v" and last[1:].isdigit() else last


def _kubernetes(name: str, *, node_only: bool = True) -> Program:
    return Program(name=name, package=f"k8s.io/kubernetes/cmd/{name}", node_only=node_only)


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
_CNI = "github.com/containernetworking/plugins/plugins"

PROGRAMS = (
    _kubernetes("kube-apiserver", node_only=False),
    _kubernetes("kube-controller-manager", node_only=False),
    _kubernetes("kube-scheduler"),
    _kubernetes("kubectl", node_only=False),
    _kubernetes("kubelet"),
    _kubernetes("kube-proxy"),
    Program(name="etcd", package="go.etcd.io/etcd/server/v3", node_only=False),
    Program(name="containerd", package=f"{_CONTAINERD}/containerd"),
    Program(name="containerd-shim-runc-v2", package=f"{_CONTAINERD}/containerd-shim-runc-v2"),
    Program(name="ctr", package=f"{_CONTAINERD}/ctr"),
    Program(name="ptp", package=f"{_CNI}/main/ptp"),
    Program(name="loopback", package=f"{_CNI}/main/loopback"),
    Program(name="host-local", package=f"{_CNI}/ipam/host-local"),
    Program(name="coredns", package="./coredns"),
    Program(name="envoy-gateway", package="github.com/envoyproxy/gateway/cmd/envoy-gateway"),
    Program(name="prometheus", package="github.com/prometheus/prometheus/cmd/prometheus"),
    Program(name="charttemplate", package="./charttemplate", node_only=False),
)
