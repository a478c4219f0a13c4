"""The cluster as the demo sees it: kubectl for what is applied and looked up now and then."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.errors import ClusterError

Object = dict[str, Any]
FIELD_MANAGER = "modelrelease-demo"
_TIMEOUT_S = 60


@dataclass(frozen=True, kw_only=True)
class Kube:
    """One cluster."""

    kubectl: str
    kubeconfig: Path

    def apply(self, objects: Sequence[Object]) -> None:
        """Apply objects, server-side, as a Git tool would."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.run(
            "apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-f", "-", text=text
        )

    def apply_folder(self, folder: Path) -> None:
        """Apply a kustomization as it lies there."""
        self.run("apply", "--server-side", "--force-conflicts", f"--field-manager={FIELD_MANAGER}", "-k", str(folder))

    def get(self, *arguments: str) -> Object:
        """Return what `kubectl get` finds; an empty object where there is nothing."""
        text = self.run("get", "--ignore-not-found", "-o", "json", *arguments)
        found: Object = json.loads(text) if text.strip() else {}
        return found

    def items(self, *arguments: str) -> list[Object]:
        """Return the items of a list."""
        return list(self.get(*arguments).get("items", []))

    def run(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl; a failure is an error in its own words."""
        try:
            done = subprocess.run(
                [self.kubectl, "--kubeconfig", str(self.kubeconfig), *arguments],
                input=text,
                capture_output=True,
                text=True,
                check=False,
                timeout=_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            msg = f"kubectl {arguments[0]} gave no answer in {_TIMEOUT_S} s: is the API server well?"
            raise ClusterError(msg) from error
        if done.returncode != 0:
            msg = f"kubectl {' '.join(arguments[:2])}: {done.stderr.strip()}"
            raise ClusterError(msg)
        return done.stdout
