"""Envoy Gateway: Envoys whose clusters are named after the route, the rule and the backend's place in it."""

from modelrelease.adapters.gateway.capabilities import ENVOY_GATEWAY, envoy_gateway_cluster
from modelrelease.adapters.prometheus.presets.envoy import Envoy

PRESET = Envoy(
    cluster=envoy_gateway_cluster,
    mirror=ENVOY_GATEWAY.mirror,
    mirrored_errors=ENVOY_GATEWAY.counts_mirrored_errors,
)
