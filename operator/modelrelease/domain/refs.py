"""What a spec names beside itself: objects in the release's namespace."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SecretRef:
    """A Secret in the release's namespace; its keys become environment variables."""

    name: str


@dataclass(frozen=True, kw_only=True)
class ConfigMapRef:
    """A ConfigMap in the release's namespace."""

    name: str
