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

    """

    controller: str
    scale: int = PPM
    floor: int = FLOOR_PPM
    filters: bool = False
    cluster: ClusterName | None = None

    @property
    def tells_slots_apart(self) -> bool:
        """Whether the gateway's metrics count stable and candidate separately."""
        return self.cluster is not None


def envoy_gateway_cluster(namespace: str, route: str, protocol: Protocol, slot: Slot) -> str:
    """Return the cluster of a slot: Envoy Gateway gives each backend that has a filter one of its own."""
    return f"{protocol}route/{namespace}/{route}/rule/0/backend/{_BACKENDS.index(slot)}"


ENVOY_GATEWAY = Capabilities(
    controller="gateway.envoyproxy.io/gatewayclass-controller", filters=True, cluster=envoy_gateway_cluster
)
_KNOWN = {ENVOY_GATEWAY.controller: ENVOY_GATEWAY}
_UNKNOWN = Capabilities(controller="")


def capabilities(controller: str) -> Capabilities:
    """Return what is known of the gateway with this controllerName."""
    return _KNOWN.get(controller, _UNKNOWN)
