"""What the full size has beyond the control plane: a node with GPUs, DNS, storage, the gateway and metrics."""

import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

from localcluster import network
from localcluster.binaries.gateway_files import NAMESPACE
from localcluster.bringup import base, manifests
from localcluster.bringup.images import load_own
from localcluster.kube import Api, Object, condition
from localcluster.layout import Layout
from localcluster.progress import Progress, wait_until
from localcluster.record import Record

_NODE = f"/api/v1/nodes/{network.NODE_NAME}"
_GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/gateway-system/gateways/modelrelease-gateway"
_TIMEOUT_S = 120


@contextmanager
def loading_images(*, layout: Layout, progress: Progress) -> Iterator[Future[None]]:
    """Load the cluster's images in the background: that needs containerd, but neither API server nor kubelet."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool.submit(load_own, layout=layout, progress=progress)


def install(*, api: Api, record: Record, since: datetime, images: Future[None], progress: Progress) -> None:
    """Install everything, then wait for each piece to be seen working."""
    with progress.stage("installing DNS, storage, gateway and metrics"):
        namespace: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        api.install_all([namespace, *base.manifests(record), *manifests.read("node")])
    with progress.stage("waiting for the node"):
        wait_until(lambda: _reported(api.get(_NODE), since=since), what="the node to be ready", timeout=_TIMEOUT_S)
        advertise_gpus(api=api, count=record.options.gpus)
    with progress.stage("waiting for images"):
        images.result()
    with progress.stage("waiting for the gateway"):
        api.install_all(manifests.read("gateway"))
        wait_until(
            lambda: condition(api.get(_GATEWAY), "Programmed"),
            what="the gateway to be programmed",
            timeout=_TIMEOUT_S,
            hint=lambda: _unready_pods(api),
        )
        wait_until(lambda: _answers(record.ports["gateway"], "/"), what="the gateway to answer", timeout=_TIMEOUT_S)
    with progress.stage("waiting for Prometheus"):
        ready = record.ports["prometheus"], "/-/ready"
        wait_until(lambda: _answers(*ready), what="Prometheus to answer", timeout=_TIMEOUT_S)


def _reported(node: Object | None, *, since: datetime) -> bool:
    """Return whether the node's present kubelet says that it is ready; an earlier one's word may still stand there.

    When a kubelet starts anew it forgets GPUs that it was told of: what is advertised has to come after its report.
    """
    conditions = ((node or {}).get("status") or {}).get("conditions") or []
    return any(
        entry["type"] == "Ready"
        and entry["status"] == "True"
        and datetime.fromisoformat(entry["lastHeartbeatTime"]) >= since.replace(microsecond=0)
        for entry in conditions
    )


def advertise_gpus(*, api: Api, count: int) -> None:
    """Let the node report GPUs: an extended resource, as a device plugin would."""
    sizes = {"nvidia.com/gpu": str(count)}
    body = {"status": {"capacity": sizes, "allocatable": sizes}}
    api.request("PATCH", f"{_NODE}/status", body=body, content="application/merge-patch+json")


def _answers(port: int, path: str) -> bool:
    """Return whether an HTTP server answers; 404 is what a gateway without routes says."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=2).close()
    except urllib.error.HTTPError as error:
        error.close()
        return error.code == 404
    except OSError:
        return False
    return True


def _unready_pods(api: Api) -> str:
    pods = (api.get("/api/v1/pods") or {}).get("items", [])
    waiting = [pod["metadata"]["name"] for pod in pods if not condition(pod, "Ready")]
    return f"pods not ready: {', '.join(waiting) or 'none'}"
