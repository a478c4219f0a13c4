"""What the gateways differ in, chosen by the `controllerName` of their GatewayClass.

The Gateway API leaves open whether a backend may carry a filter, and says nothing of
metrics. What is here has been seen to work with the gateway in question; a gateway that is
not here gets plain weights, and no release is judged by its metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from modelrelease.domain.observed import FLOOR_PPM, PPM, Protocol, Slot

ClusterName = Callable[[str, str, Protocol, Slot], str]
MirrorName = Callable[[str, str, Protocol], str]

_BACKENDS = (Slot.STABLE, Slot.CANDIDATE)  # their fixed places in the route's backend list


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """One gateway implementation.

    Attributes:
        controller: the GatewayClass's controllerName; empty for any other.
        scale: what the weights of a rule add up to.
        floor: the least weight a slot ever has.
        filters: whether a backend may set a response header.
        cluster: the name under which the metrics count a slot, by the route's namespace and
            name, protocol and slot; None where slots can't be told apart.
        mirror: the name under which they count the copies that a route sends, whichever slot gets
            them; None where copies can't be made, or can't be told from answered requests.
        counts_mirrored_errors: the protocols whose failed copies those metrics show. Of the others
            only the number and the latency are known: no failure there is not a success.

    """

    controller: str
    scale: int = PPM
    floor: int = FLOOR_PPM
    filters: bool = False
    cluster: ClusterName | None = None
    mirror: MirrorName | None = None
    counts_mirrored_errors: frozenset[Protocol] = frozenset()

    @property
    def tells_slots_apart(self) -> bool:
        """Whether the gateway's metrics count stable and candidate separately."""
        return self.cluster is not None


def envoy_gateway_cluster(namespace: str, route: str, protocol: Protocol, slot: Slot) -> str:
    """Return the cluster of a slot: Envoy Gateway gives each backend that has a filter one of its own."""
    return f"{protocol}route/{namespace}/{route}/rule/0/backend/{_BACKENDS.index(slot)}"


def envoy_gateway_mirror(namespace: str, route: str, protocol: Protocol) -> str:
    """Return the cluster of the copies: one for the first filter of the first rule, while the route has it."""
    return f"{protocol}route/{namespace}/{route}/rule/0-mirror-0"


ENVOY_GATEWAY = Capabilities(
    controller="gateway.envoyproxy.io/gatewayclass-controller",
    filters=True,
    cluster=envoy_gateway_cluster,
    mirror=envoy_gateway_mirror,
    # A gRPC call that fails is HTTP 200, and Envoy counts calls by method only where it answers the client.
    counts_mirrored_errors=frozenset({Protocol.HTTP}),
)
_KNOWN = {ENVOY_GATEWAY.controller: ENVOY_GATEWAY}
_UNKNOWN = Capabilities(controller="")


def capabilities(controller: str) -> Capabilities:
    """Return what is known of the gateway with this controllerName."""
    return _KNOWN.get(controller, _UNKNOWN)
