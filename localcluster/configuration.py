"""The configuration files of the parts, rendered from constants. JSON wherever the reader takes YAML."""

import json

from localcluster import certs, network, parts
from localcluster.layout import INSIDE, Layout

_CONFIG = INSIDE / "config"
_PKI = INSIDE / "pki"
SANDBOX_IMAGE = "localhost/modelrelease/sandbox:dev"
_INNER_SERVER = f"https://127.0.0.1:{network.API_PORT}"
_USERS = (
    "admin",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "coredns",
    "prometheus",
    "provisioner",
)


def write(*, layout: Layout, size: str, runc: str, scrape_interval: str) -> None:
    """Write every file that the parts of a cluster of this size read."""
    layout.config.mkdir(parents=True, exist_ok=True)
    files = {"audit-policy.json": _audit_policy()}
    for user in _USERS:
        text = certs.kubeconfig(pki=layout.pki, identity=user, server=_INNER_SERVER, name=layout.name)
        files[f"{user}.kubeconfig"] = text
    resolv = layout.config / "resolv.conf"
    resolv.unlink(missing_ok=True)
    if size == parts.FULL:
        files |= {
            "resolv.conf": f"nameserver {network.NODE_ADDRESS}\n",
            "containerd.toml": _containerd(runc=runc),
            "kubelet.json": _kubelet(cgroup=layout.cgroup),
            "kube-proxy.json": _kube_proxy(),
            "cni/10-ptp.conflist": _cni(),
            "Corefile": _corefile(),
        }
        write_prometheus(layout=layout, scrape_interval=scrape_interval)
    for name, text in files.items():
        path = layout.config / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)


def write_prometheus(*, layout: Layout, scrape_interval: str) -> None:
    """Write the configuration of Prometheus."""
    (layout.config / "prometheus.json").write_text(_prometheus(interval=scrape_interval))


def _json(document: object) -> str:
    return json.dumps(document, indent=1) + "\n"


def _audit_policy() -> str:
    """Log who wrote what, once per request; reads would be most of the volume and nobody counts them."""
    rules = [{"level": "None", "verbs": ["get", "list", "watch"]}, {"level": "Metadata"}]
    stages = ["RequestReceived"]
    return _json({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": stages, "rules": rules})


def _kubelet(*, cgroup: str) -> str:
    return _json(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{_PKI}/ca.crt"},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": f"{_PKI}/kubelet-server.crt",
            "tlsPrivateKeyFile": f"{_PKI}/kubelet-server.key",
            "containerRuntimeEndpoint": f"unix://{parts.CONTAINERD_SOCKET}",
            "cgroupDriver": "cgroupfs",
            # Two kubelets under one root would remove each other's pods' cgroups.
            "cgroupRoot": f"/{cgroup}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [network.DNS_ADDRESS],
            "clusterDomain": network.CLUSTER_DOMAIN,
            "resolvConf": f"{_CONFIG}/resolv.conf",
            "podLogsDir": f"{INSIDE}/pod-logs",
            "volumePluginDir": f"{INSIDE}/kubelet/volume-plugins",
            "serializeImagePulls": False,
            "localStorageCapacityIsolation": False,
            # A developer's disk is often nearly full, and images can't be pulled again: evict and collect late.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
        }
    )


def _kube_proxy() -> str:
    return _json(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": f"{_CONFIG}/kube-proxy.kubeconfig"},
            "mode": "iptables",
            "clusterCIDR": network.POD_CIDR,
            # The table of tracked connections is sized by the host; a namespace may not change it.
            "conntrack": {"maxPerCore": 0, "min": 0},
        }
    )


def _cni() -> str:
    local = {
        "type": "host-local",
        "dataDir": "/run/cni-addresses",
        "ranges": [[{"subnet": network.POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": local}]
    return _json({"cniVersion": "1.0.0", "name": "pods", "plugins": plugins})


def _containerd(*, runc: str) -> str:
    return f"""version = 3
root = "{INSIDE}/containerd"
state = "/run/containerd"

[grpc]
address = "{parts.CONTAINERD_SOCKET}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{SANDBOX_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{INSIDE}/bin"]
conf_dir = "{_CONFIG}/cni"
[plugins."io.containerd.cri.v1.runtime".containerd]
default_runtime_name = "runc"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"""


def _corefile() -> str:
    """Answer for the cluster alone: any other name is refused at once, since nothing outside can be reached."""
    return f""".:53 {{
    errors
    ready {network.NODE_ADDRESS}:8181
    kubernetes {network.CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig {_CONFIG}/coredns.kubeconfig
        ttl 5
    }}
    cache 5
}}
"""


def _prometheus(*, interval: str) -> str:
    pods = {"role": "pod", "kubeconfig_file": f"{_CONFIG}/prometheus.kubeconfig"}
    jobs = [
        {"job_name": "pods", "kubernetes_sd_configs": [pods], "relabel_configs": _annotated_pods() + _POD_LABELS},
        {
            "job_name": "envoy",
            "metrics_path": "/stats/prometheus",
            "kubernetes_sd_configs": [pods],
            "relabel_configs": _envoy_pods() + _POD_LABELS,
        },
    ]
    timing = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    return _json({"global": timing, "scrape_configs": jobs})


_META = "__meta_kubernetes_pod"
_ANNOTATION = f"{_META}_annotation_prometheus_io"
_ENVOY = f"{_META}_label_app_kubernetes_io_managed_by", f"{_META}_label_app_kubernetes_io_component"
_POD_LABELS: list[dict[str, object]] = [
    {"source_labels": [f"{_META}_phase"], "regex": "Succeeded|Failed", "action": "drop"},
    {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
    {"source_labels": [f"{_META}_name"], "target_label": "pod"},
]


def _annotated_pods() -> list[dict[str, object]]:
    """Select pods annotated ``prometheus.io/scrape: "true"``, at the annotated port and path."""
    address: dict[str, object] = {
        "source_labels": [f"{_META}_ip", f"{_ANNOTATION}_port"],
        "regex": "(.+);([0-9]+)",
        "replacement": "$1:$2",
        "target_label": "__address__",
    }
    path: dict[str, object] = {
        "source_labels": [f"{_ANNOTATION}_path"],
        "regex": "(.+)",
        "target_label": "__metrics_path__",
    }
    return [
        {"source_labels": [f"{_ANNOTATION}_scrape"], "regex": "true", "action": "keep"},
        # Envoy has a job of its own; counted twice, every rate would double.
        {"source_labels": list(_ENVOY), "regex": "envoy-gateway;proxy", "action": "drop"},
        # A pod with several ports is discovered once per port.
        {"source_labels": [f"{_META}_container_init"], "regex": "true", "action": "drop"},
        address,
        path,
    ]


def _envoy_pods() -> list[dict[str, object]]:
    return [
        {"source_labels": list(_ENVOY), "regex": "envoy-gateway;proxy", "action": "keep"},
        {"source_labels": [f"{_META}_container_name"], "regex": "envoy", "action": "keep"},
        {"source_labels": [f"{_META}_ip"], "replacement": "$1:19001", "target_label": "__address__"},
    ]
