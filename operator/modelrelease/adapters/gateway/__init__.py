"""The Gateway API: what a gateway can do, and whether a release's Gateway can be trusted with it."""

from modelrelease.adapters.gateway.api import GatewayApi
from modelrelease.adapters.gateway.capabilities import ENVOY_GATEWAY, Capabilities, capabilities

__all__ = ["ENVOY_GATEWAY", "Capabilities", "GatewayApi", "capabilities"]
