"""What every size has: the definitions of the Gateway API, and a namespace that accepts pods."""

import json
from pathlib import Path

from localcluster.kube import Api, Object
from localcluster.progress import Progress, wait_until
from localcluster.record import Record

_TIMEOUT_S = 30
_DEFINITION = "CustomResourceDefinition"
# The part of the Gateway API that releases use; the control plane alone needs no more of it.
SERVED = ("gatewayclasses", "gateways", "httproutes", "grpcroutes", "referencegrants")


def manifests(record: Record) -> list[Object]:
    """Return all objects of the gateway's chart."""
    objects: list[Object] = json.loads(Path(record.gateway_manifests).read_text())
    return objects


def install(*, api: Api, record: Record, progress: Progress) -> None:
    """Install the Gateway API, and wait until the default namespace has its service account."""
    names = {f"{plural}.gateway.networking.k8s.io" for plural in SERVED}
    chosen = [o for o in manifests(record) if o["kind"] == _DEFINITION and o["metadata"]["name"] in names]
    with progress.stage("installing the Gateway API, waiting for the controllers"):
        api.install_all(chosen)
        wait_until(
            lambda: api.get("/api/v1/namespaces/default/serviceaccounts/default") is not None,
            what="the controller manager to make the default service account",
            timeout=_TIMEOUT_S,
        )
