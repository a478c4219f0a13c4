"""Where everything lies: the state of one cluster, and the cache that all clusters share.

Inside the namespaces the state directory is also mounted at ``INSIDE``: a short, fixed path, because unix
socket paths are limited to 107 bytes and because configuration files then do not depend on the machine.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ClusterError

PACKAGE = "modelrelease-localcluster"
INSIDE = Path("/run/cluster")
DEFAULT_NAME = "dev"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?")


def _home(*, override: str, xdg: str, fallback: str) -> Path:
    given = os.environ.get(override)
    if given:
        return Path(given).absolute()
    return Path(os.environ.get(xdg) or Path.home() / fallback).absolute() / PACKAGE


def cache_dir() -> Path:
    """Folder of binaries, charts and images: shared by all clusters, survives ``down``."""
    return _home(override="MODELRELEASE_CACHE", xdg="XDG_CACHE_HOME", fallback=".cache")


def states_dir() -> Path:
    """Folder that holds one state directory per cluster."""
    return _home(override="MODELRELEASE_STATE", xdg="XDG_STATE_HOME", fallback=".local/state")


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The files of one cluster, as seen from the host."""

    name: str
    root: Path

    @classmethod
    def of(cls, *, name: str) -> "Layout":
        """Return the layout of the cluster called ``name``."""
        if not _NAME.fullmatch(name):
            msg = (
                f"cluster name {name!r} is not allowed: use 1 to 32 lower-case letters, digits and dashes, "
                "beginning and ending with a letter or digit"
            )
            raise ClusterError(msg)
        return cls(name=name, root=states_dir() / name)

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.root / "pki"

    @property
    def config(self) -> Path:
        """Configuration files of the parts."""
        return self.root / "config"

    @property
    def logs(self) -> Path:
        """One log file per part, and the audit log."""
        return self.root / "logs"

    @property
    def bin(self) -> Path:
        """Links to the binaries that this cluster runs."""
        return self.root / "bin"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig, for use on the host."""
        return self.root / "kubeconfig"

    @property
    def audit_log(self) -> Path:
        """Every write request to the API server, one JSON object a line."""
        return self.logs / "audit.log"

    @property
    def record(self) -> Path:
        """What was started: size, options, host ports."""
        return self.root / "cluster.json"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor inside the namespaces listens."""
        return self.root / "control.sock"

    @property
    def lock(self) -> Path:
        """Held while ``up`` or ``down`` changes the cluster; outside the state so that ``down`` may remove that."""
        return self.root.parent / f".{self.name}.lock"

    @property
    def cgroup(self) -> str:
        """Name of the cluster's cgroup, in every hierarchy."""
        return f"modelrelease-{self.name}"
