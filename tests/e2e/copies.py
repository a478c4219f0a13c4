"""Routes whose mirror a test turns on and off itself, as the operator writes them, beside a release that is served."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from modelrelease import render
from modelrelease.adapters.gateway.capabilities import envoy_gateway_mirror
from modelrelease.domain import naming
from modelrelease.domain.observed import FLOOR_PPM, Meta, Mirror, Protocol, Slot
from modelrelease.domain.spec import GatewayTraffic, Hosts, Spec, Traffic

from tests.e2e.releases import grpc_host, http_host
from tests.e2e.stand import LOOK_S, Stand, accepted

NAME = "copies"
_ROUTES = (("httproutes", render.http_route), ("grpcroutes", render.grpc_route))


@dataclass(frozen=True, kw_only=True)
class Copies:
    """Slots and routes of no release: `serving` answers, and `candidate` gets the copies."""

    stand: Stand
    spec: Spec
    serving: tuple[str, str]  # release and revision
    candidate: tuple[str, str]

    def create(self) -> None:
        """Make the Services and routes, without a mirror, and wait until they are served."""
        for slot, (release, revision) in (
            (Slot.STABLE, self.serving),
            (Slot.CANDIDATE, self.serving),
            (Slot.PREVIEW, self.candidate),
        ):
            service = render.service(meta=self._meta, slot=slot, revision=revision)
            service["spec"]["selector"][naming.LABEL_RELEASE] = release
            self.stand.apply(_ownerless(service))
        self.turn(None)
        self.stand.served(NAME)

    def turn(self, mirror: Mirror | None) -> None:
        """Write both routes with this mirror, and wait until the gateway has accepted them."""
        for _, make in _ROUTES:
            route = make(
                meta=self._meta,
                spec=self._routed,
                gateway_filters=True,
                stable_revision=self.serving[1],
                candidate_revision=self.serving[1],
                candidate_ppm=FLOOR_PPM,
                mirror=mirror,
            )
            self.stand.apply(_ownerless(route))
        end = time.monotonic() + 30
        for kind, _ in _ROUTES:
            while not accepted(self.stand.route(kind, NAME)):
                assert time.monotonic() < end, f"the {kind} are not accepted"
                time.sleep(LOOK_S)

    def counted(self, protocol: Protocol, *, namespace: str = "", name: str = NAME) -> float:
        """Return how many copies the gateway has counted so far in all."""
        return counted(self.stand, protocol, namespace=namespace or self.stand.namespace, name=name)

    @property
    def _meta(self) -> Meta:
        return Meta(name=NAME, namespace=self.stand.namespace, uid="none", generation=1, resource_version="")

    @property
    def _routed(self) -> Spec:
        gateway = GatewayTraffic(
            parent_refs=self.spec.traffic.gateway.parent_refs,
            http=Hosts(hostnames=(http_host(NAME),)),
            grpc=Hosts(hostnames=(grpc_host(NAME),)),
        )
        return replace(self.spec, traffic=Traffic(gateway=gateway))


def counted(stand: Stand, protocol: Protocol, *, namespace: str, name: str) -> float:
    """Return how many copies of a route's requests the gateway has counted, however often it began anew."""
    cluster = envoy_gateway_mirror(namespace, name, protocol)
    series = f'envoy_cluster_upstream_rq_total{{envoy_cluster_name="{cluster}"}}[1h]'
    query = urllib.parse.urlencode({"query": series})
    with urllib.request.urlopen(f"{stand.cluster.prometheus_url}/api/v1/query?{query}", timeout=10) as answer:
        found = json.loads(answer.read())["data"]["result"]
    total = 0.0
    for one in found:
        values = [float(value) for _, value in one["values"]]
        total += values[0] + sum(now - last if now >= last else now for last, now in pairwise(values))
    return total


def _ownerless(manifest: dict[str, Any]) -> dict[str, Any]:
    """Leave out what would let the operator take an object for a release's."""
    manifest["metadata"].pop("ownerReferences", None)
    manifest["metadata"]["labels"] = {}
    return manifest
