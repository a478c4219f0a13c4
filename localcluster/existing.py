"""A cluster that exists already, seen through the same interface: for the end-to-end tests with ``--context``."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from localcluster import parts
from localcluster.api import Cluster
from localcluster.binaries import toolset
from localcluster.errors import ClusterError
from localcluster.layout import Layout
from localcluster.record import Options, Record


@dataclass(frozen=True, kw_only=True)
class ExistingCluster(Cluster):
    """Somebody's cluster: it can be used, but not loaded with images, entered, broken or taken down."""

    program: str
    gateway: str
    prometheus: str

    @property
    def api_server(self) -> str:
        """Address of the API server."""
        return str(json.loads(self.kubeconfig.read_text())["clusters"][0]["cluster"]["server"])

    @property
    def gateway_address(self) -> str:
        """``host:port`` of the gateway, as it was given."""
        return self.gateway

    @property
    def prometheus_url(self) -> str:
        """Address of Prometheus, as it was given."""
        return self.prometheus

    @property
    def audit_log(self) -> Path:
        """Raise: only a local cluster lets its audit log be read."""
        self._refuse("read the audit log")

    def kubectl_program(self) -> str:
        """Return where kubectl is."""
        return self.program

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Raise: nobody else's node is entered."""
        self._refuse(f"run {argv[0]} on the node")

    def load(self, image: str | Path) -> None:
        """Do nothing: images of such a cluster come from its registry."""

    def _operate(self, operation: str, part: str) -> None:
        self._refuse(f"{operation} {part}")

    def down(self, *, purge: bool = False) -> None:
        """Do nothing: what we did not start we do not end."""

    def _refuse(self, what: str) -> NoReturn:
        msg = f"can't {what} of {self.name}: it is not a local cluster"
        raise ClusterError(msg)


def attach(*, context: str, gateway: str, prometheus: str, folder: Path) -> ExistingCluster:
    """Return the cluster of a kubeconfig context; ``folder`` holds a kubeconfig with that context alone."""
    program = shutil.which("kubectl") or str(toolset.folder() / "bin" / "kubectl")
    view = [program, "config", "view", "--raw", "--minify", "--flatten", "--output=json", f"--context={context}"]
    try:
        done = subprocess.run(view, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", "") or str(error)
        msg = f"context {context!r} can't be used: {said.strip()}; see `kubectl config get-contexts`"
        raise ClusterError(msg) from error
    layout = Layout(name=context, root=folder)
    layout.kubeconfig.write_text(done.stdout)
    layout.kubeconfig.chmod(0o600)
    record = Record(options=Options(size=parts.FULL), ports={}, ready=True)
    return ExistingCluster(layout=layout, record=record, program=program, gateway=gateway, prometheus=prometheus)
