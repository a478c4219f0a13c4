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
_SCRAPES = 4
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

    def window(self, protocol: Protocol, *, after: float) -> tuple[float, float, float]:
        """Wait for a window of scrapes in which every request may be copied: its begin, its end, and its copies.

        The first scrape of it is one that has counted copies made after `after`: the gateway has the mirror by then.
        """
        end = time.monotonic() + 60
        cluster = envoy_gateway_mirror(self.stand.namespace, NAME, protocol)
        while True:
            newest = max(_series(self.stand, cluster), key=lambda values: values[-1], default=[])
            began = next((count for at, count in reversed(newest) if at < after), 0.0)
            copying = [(at, count) for at, count in newest if at >= after and count > began]
            if len(copying) >= _SCRAPES:
                (first, less), (last, more) = copying[0], copying[-1]
                return first, last, more - less
            assert time.monotonic() < end, f"no copies of {protocol} requests are counted: {newest[-_SCRAPES:]}"
            time.sleep(LOOK_S)

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
    total = 0.0
    for values in _series(stand, envoy_gateway_mirror(namespace, name, protocol)):
        counts = [count for _, count in values]
        total += counts[0] + sum(now - last if now >= last else now for last, now in pairwise(counts))
    return total


def _series(stand: Stand, cluster: str) -> list[list[tuple[float, float]]]:
    """Return the scrapes of the copies' counters: seconds since the epoch, and requests so far."""
    selector = f'envoy_cluster_upstream_rq_total{{envoy_cluster_name="{cluster}"}}[1h]'
    query = urllib.parse.urlencode({"query": selector})
    with urllib.request.urlopen(f"{stand.cluster.prometheus_url}/api/v1/query?{query}", timeout=10) as answer:
        found = json.loads(answer.read())["data"]["result"]
    return [[(float(at), float(value)) for at, value in one["values"]] for one in found]


def _ownerless(manifest: dict[str, Any]) -> dict[str, Any]:
    """Leave out what would let the operator take an object for a release's."""
    manifest["metadata"].pop("ownerReferences", None)
    manifest["metadata"]["labels"] = {}
    return manifest
