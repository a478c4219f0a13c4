"""The plan: what the supervisor inside the namespaces has to start. Written by ``up``, read by process 1."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Part:
    """One process of the cluster."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    """Names of parts that must accept connections before this one starts."""
    probe: str = ""
    """Where this part answers: ``host:port``, the path of a unix socket, or a URL. Empty: running is enough."""
    keeps_sockets: bool = False
    """True for the door, which inherits the sockets that listen on the host."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that process 1 needs to know."""

    parts: tuple[Part, ...]
    sockets: Mapping[str, int] = field(default_factory=dict)
    """File descriptors of the sockets that listen on the host, by the name of the door they belong to."""

    def write(self, path: Path) -> None:
        """Store the plan as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> "Plan":
        """Load what ``write`` stored."""
        raw = json.loads(path.read_text())
        parts = tuple(
            Part(**{**part, "argv": tuple(part["argv"]), "after": tuple(part["after"])}) for part in raw["parts"]
        )
        return cls(parts=parts, sockets=raw["sockets"])
