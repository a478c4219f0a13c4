"""What rendering needs to know of the operator's own configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RenderConfig:
    """Operator configuration: `puller_image` fetches and verifies artifacts on serving nodes."""

    puller_image: str
