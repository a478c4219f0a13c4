"""The kinds that the operator reads or writes, and where the API server keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelrelease.domain import naming

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of object."""

    name: str
    group: str
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """Return what manifests of this kind carry as `apiVersion`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, *, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of an object, or of a collection."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if self.namespaced and namespace is not None:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part is not None]
        return "/" + "/".join(parts)


def _kind(name: str, group: str, version: str, plural: str, *, namespaced: bool = True) -> tuple[str, Kind]:
    return name, Kind(name=name, group=group, version=version, plural=plural, namespaced=namespaced)


KINDS = dict(
    [
        _kind(naming.KIND, naming.GROUP, naming.VERSION, naming.PLURAL),
        _kind("Job", "batch", "v1", "jobs"),
        _kind("Pod", "", "v1", "pods"),
        _kind("Deployment", "apps", "v1", "deployments"),
        _kind("ControllerRevision", "apps", "v1", "controllerrevisions"),
        _kind("Service", "", "v1", "services"),
        _kind("EndpointSlice", "discovery.k8s.io", "v1", "endpointslices"),
        _kind("PodDisruptionBudget", "policy", "v1", "poddisruptionbudgets"),
        _kind("HTTPRoute", "gateway.networking.k8s.io", "v1", "httproutes"),
        _kind("GRPCRoute", "gateway.networking.k8s.io", "v1", "grpcroutes"),
        _kind("Gateway", "gateway.networking.k8s.io", "v1", "gateways"),
        _kind("GatewayClass", "gateway.networking.k8s.io", "v1", "gatewayclasses", namespaced=False),
        _kind("Event", "events.k8s.io", "v1", "events"),
        _kind("Lease", "coordination.k8s.io", "v1", "leases"),
    ]
)

# What the operator keeps in memory, in the order in which it is listed at start-up: the
# releases last, so that none is looked at before its children are known.
CHILDREN = (
    "Job",
    "Pod",
    "Deployment",
    "ControllerRevision",
    "Service",
    "EndpointSlice",
    "PodDisruptionBudget",
    "HTTPRoute",
    "GRPCRoute",
)
CACHED = (*CHILDREN, naming.KIND)
