"""The slots' Services and the two routes.

A route has one rule with exactly two backends, stable and candidate in that order, for good:
gateways count by the place in the list, and lose requests when a backend comes or goes. So
no weight is ever below the floor. A mirror is a filter of the rule: it makes no backend, and
comes and goes without a lost request.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, Meta, Mirror, Slot
from modelrelease.domain.spec import Hosts, Spec
from modelrelease.render import common
from modelrelease.render.common import Manifest
from modelrelease.render.serving import GRPC_PORT, HTTP_PORT, METRICS_PORT

_API = "gateway.networking.k8s.io"
_GRPC_SERVICE = "inference.GRPCInferenceService"

# Who may get copies: the candidate before it has traffic, and the old version after promotion. The candidate's slot
# never does: idle, it selects the stable pods.
_MIRRORED_TO = (Slot.PREVIEW, Slot.STABLE)
_MIRROR = "RequestMirror"
_PERCENT = range(1, 101)

# Inference, metadata and health; whatever administers the server is not reachable from outside, nor the model's
# configuration: it carries the golden requests, which are rows of somebody's data.
_SERVER_PATHS = ("/v2", "/v2/health/live", "/v2/health/ready")
_MODEL_READS = ("", "/ready")
_MODEL_CALLS = ("/infer", "/generate", "/generate_stream")
_GRPC_METHODS = (
    "ModelInfer",
    "ModelStreamInfer",
    "ServerLive",
    "ServerReady",
    "ServerMetadata",
    "ModelReady",
    "ModelMetadata",
)


def service(*, meta: Meta, slot: Slot, revision: str) -> Manifest:
    """Return a slot's Service, selecting one revision. Its EndpointSlices inherit the slot's label."""
    ports: list[Manifest] = [
        {"name": "http", "port": HTTP_PORT, "targetPort": "http", "protocol": "TCP"},
        # gRPC needs HTTP/2 without TLS, which the gateway can't guess.
        {
            "name": "grpc",
            "port": GRPC_PORT,
            "targetPort": "grpc",
            "protocol": "TCP",
            "appProtocol": "kubernetes.io/h2c",
        },
    ]
    if slot is Slot.PREVIEW:
        ports.append({"name": "metrics", "port": METRICS_PORT, "targetPort": "metrics", "protocol": "TCP"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": common.metadata(
            meta=meta, name=naming.service(meta.name, slot), labels={naming.LABEL_SLOT: str(slot)}
        ),
        "spec": {"type": "ClusterIP", "selector": common.selector(meta=meta, revision=revision), "ports": ports},
    }


def http_route(
    *,
    meta: Meta,
    spec: Spec,
    gateway_filters: bool,
    stable_revision: str,
    candidate_revision: str,
    candidate_ppm: int,
    mirror: Mirror | None = None,
    intent: str | None = None,
) -> Manifest:
    """Return the HTTPRoute.

    Raises:
        ValueError: a weight would be below the floor, a mirror has no such slot or percentage, or the spec has
            no HTTP hostnames.

    """
    model = f"/v2/models/{spec.model.name}"
    models = (model, f"{model}/versions/1")
    calls = [("POST", base + call) for base in models for call in _MODEL_CALLS]
    reads = [("GET", path) for path in _SERVER_PATHS] + [
        ("GET", base + read) for base in models for read in _MODEL_READS
    ]
    return _route(
        kind="HTTPRoute",
        meta=meta,
        spec=spec,
        hosts=spec.traffic.gateway.http,
        matches=[{"path": {"type": "Exact", "value": path}, "method": method} for method, path in calls + reads],
        backends=_backends(
            meta=meta,
            port=HTTP_PORT,
            revisions=(stable_revision, candidate_revision) if gateway_filters else None,
            candidate_ppm=candidate_ppm,
        ),
        filters=_mirror_filter(meta=meta, port=HTTP_PORT, mirror=mirror),
        intent=intent,
    )


def grpc_route(
    *,
    meta: Meta,
    spec: Spec,
    gateway_filters: bool,
    stable_revision: str,
    candidate_revision: str,
    candidate_ppm: int,
    mirror: Mirror | None = None,
    intent: str | None = None,
) -> Manifest:
    """Return the GRPCRoute.

    Raises:
        ValueError: a weight would be below the floor, a mirror has no such slot or percentage, or the spec has
            no gRPC hostnames.

    """
    return _route(
        kind="GRPCRoute",
        meta=meta,
        spec=spec,
        hosts=spec.traffic.gateway.grpc,
        matches=[{"method": {"type": "Exact", "service": _GRPC_SERVICE, "method": method}} for method in _GRPC_METHODS],
        backends=[
            *_backends(
                meta=meta,
                port=GRPC_PORT,
                revisions=(stable_revision, candidate_revision) if gateway_filters else None,
                candidate_ppm=candidate_ppm,
            ),
            *_mirrored_to(meta=meta, port=GRPC_PORT, mirror=mirror),
        ],
        filters=_mirror_filter(meta=meta, port=GRPC_PORT, mirror=mirror),
        intent=intent,
    )


def candidate_ppm(route: Mapping[str, Any]) -> int | None:
    """Return the candidate slot's share of a live route, in parts per million, rounded up.

    None where the rules were edited so that they no longer are one rule with our two backends,
    and at most a mirror of ours with the backend without weight that goes with it.
    """
    name, namespace = route["metadata"]["name"], route["metadata"]["namespace"]
    rules = route["spec"].get("rules") or []
    if len(rules) != 1 or (rules[0].get("filters") and mirror(route) is None):
        return None
    backends = rules[0].get("backendRefs") or []
    found = [
        (backend.get("kind", "Service"), backend.get("namespace", namespace), backend["name"]) for backend in backends
    ]
    slots = (Slot.STABLE, Slot.CANDIDATE, *((Slot.PREVIEW,) if len(backends) > 2 else ()))
    if found != [("Service", namespace, naming.service(name, slot)) for slot in slots]:
        return None
    stable, candidate, *rest = (backend.get("weight", 1) for backend in backends)
    if any(rest):
        return None
    total = stable + candidate
    return -(-candidate * PPM // total) if total else None


def mirror(route: Mapping[str, Any]) -> Mirror | None:
    """Return where a live route sends copies of its requests; None where it makes none, or not as we would."""
    rules = route["spec"].get("rules") or []
    filters = rules[0].get("filters") or [] if len(rules) == 1 else []
    if len(filters) != 1 or filters[0].get("type") != _MIRROR:
        return None
    wanted = filters[0].get("requestMirror") or {}
    backend = wanted.get("backendRef") or {}
    name, namespace = route["metadata"]["name"], route["metadata"]["namespace"]
    found = (backend.get("kind", "Service"), backend.get("namespace", namespace), backend.get("name"))
    slots = {("Service", namespace, naming.service(name, slot)): slot for slot in _MIRRORED_TO}
    percent = wanted.get("percent", 100)
    if found not in slots or "fraction" in wanted or percent not in _PERCENT:
        return None
    return Mirror(slot=slots[found], percent=percent)


def _route(
    *,
    kind: str,
    meta: Meta,
    spec: Spec,
    hosts: Hosts | None,
    matches: list[Manifest],
    backends: list[Manifest],
    filters: list[Manifest],
    intent: str | None,
) -> Manifest:
    """The lists of a route are atomic, so that defaults are spelled out: an element is as rendered, or edited."""
    if hosts is None:
        raise ValueError(f"no {kind} is wanted: spec.traffic.gateway has no hostnames for it")
    rule: Manifest = {"matches": matches, "backendRefs": backends}
    if filters:
        rule["filters"] = filters
    return {
        "apiVersion": f"{_API}/v1",
        "kind": kind,
        "metadata": common.metadata(meta=meta, name=meta.name, intent=intent),
        "spec": {
            "parentRefs": [
                _parent(ref.name, ref.namespace, ref.section_name) for ref in spec.traffic.gateway.parent_refs
            ],
            "hostnames": list(hosts.hostnames),
            "rules": [rule],
        },
    }


def _parent(name: str, namespace: str | None, section: str | None) -> Manifest:
    optional = {"namespace": namespace, "sectionName": section}
    return {"group": _API, "kind": "Gateway", "name": name} | {key: value for key, value in optional.items() if value}


def _backends(*, meta: Meta, port: int, revisions: tuple[str, str] | None, candidate_ppm: int) -> list[Manifest]:
    weights = (PPM - candidate_ppm, candidate_ppm)
    if min(weights) < FLOOR_PPM:
        raise ValueError(
            f"a candidate weight of {candidate_ppm} parts per million is not possible: "
            f"each slot keeps at least {FLOOR_PPM}, so it is {FLOOR_PPM} to {PPM - FLOOR_PPM}"
        )
    backends: list[Manifest] = []
    for place, slot in enumerate((Slot.STABLE, Slot.CANDIDATE)):
        backend: Manifest = {
            "group": "",
            "kind": "Service",
            "name": naming.service(meta.name, slot),
            "port": port,
            "weight": weights[place],
        }
        if revisions:
            header = {"name": naming.HEADER_REVISION, "value": revisions[place]}
            backend["filters"] = [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": [header]}}]
        backends.append(backend)
    return backends


def _mirror_filter(*, meta: Meta, port: int, mirror: Mirror | None) -> list[Manifest]:
    if mirror is None:
        return []
    if mirror.slot not in _MIRRORED_TO or mirror.percent not in _PERCENT:
        raise ValueError(
            f"a mirror of {mirror.percent} percent to the {mirror.slot} slot is not possible: "
            f"it takes 1 to 100 percent, to {' or '.join(_MIRRORED_TO)}"
        )
    backend = {"group": "", "kind": "Service", "name": naming.service(meta.name, mirror.slot), "port": port}
    return [{"type": _MIRROR, "requestMirror": {"backendRef": backend, "percent": mirror.percent}}]


def _mirrored_to(*, meta: Meta, port: int, mirror: Mirror | None) -> list[Manifest]:
    """Return the preview slot as a backend without any weight, where copies go there.

    Envoy Gateway up to 1.9.1 looks for the Services of a GRPCRoute among backends only: a mirror to
    another one is an error to it, and every call is answered with 500. A backend without weight has
    no cluster, so that nothing is made or removed.
    """
    if mirror is None or mirror.slot is not Slot.PREVIEW:
        return []
    name = naming.service(meta.name, Slot.PREVIEW)
    return [{"group": "", "kind": "Service", "name": name, "port": port, "weight": 0}]
