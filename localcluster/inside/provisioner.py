"""Volumes on the node's disk for claims of the class ``local-path``, made when a pod wants them.

A small provisioner of the usual kind: the scheduler writes the chosen node on a claim, this makes a folder and a
PersistentVolume bound to that claim; a released volume is deleted with its folder.

    python -m localcluster.inside.provisioner KUBECONFIG
"""

import shutil
import sys
import time
from pathlib import Path

from localcluster.kube import Api, ApiError, Object
from localcluster.layout import INSIDE

PROVISIONER = "modelrelease.dev/local-path"
_STORAGE_CLASS = "local-path"
_CLAIMS = "/api/v1/persistentvolumeclaims"
_VOLUMES = "/api/v1/persistentvolumes"
_MADE_BY = "pv.kubernetes.io/provisioned-by"
_NODE_CHOSEN = "volume.kubernetes.io/selected-node"
_EVERY_S = 0.5


class Provisioner:
    """Makes and removes the volumes of one cluster."""

    def __init__(self, *, api: Api, folder: Path) -> None:
        self._api = api
        self._folder = folder

    def run_once(self) -> None:
        """Bring volumes in line with claims."""
        volumes = {volume["metadata"]["name"]: volume for volume in self._api.request("GET", _VOLUMES)["items"]}
        for claim in self._api.request("GET", _CLAIMS)["items"]:
            if _wants_volume(claim) and _name(claim) not in volumes:
                self._make(claim)
        for volume in volumes.values():
            if _is_released(volume):
                self._remove(volume)

    def _make(self, claim: Object) -> None:
        folder = self._folder / _name(claim)
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # whichever user the pod runs as has to be able to write
        self._api.request("POST", _VOLUMES, body=volume_for(claim, folder=folder))

    def _remove(self, volume: Object) -> None:
        name = volume["metadata"]["name"]
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._api.request("DELETE", f"{_VOLUMES}/{name}")


def volume_for(claim: Object, *, folder: Path) -> Object:
    """Return the PersistentVolume for a claim."""
    meta, spec = claim["metadata"], claim["spec"]
    node = meta["annotations"][_NODE_CHOSEN]
    term = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": _name(claim), "annotations": {_MADE_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": _STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": str(folder), "type": "Directory"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [term]}]}},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }


def _name(claim: Object) -> str:
    return f"pvc-{claim['metadata']['uid']}"


def _wants_volume(claim: Object) -> bool:
    ours = claim["spec"].get("storageClassName") == _STORAGE_CLASS and not claim["spec"].get("volumeName")
    return ours and _NODE_CHOSEN in claim["metadata"].get("annotations", {})


def _is_released(volume: Object) -> bool:
    ours = volume["metadata"].get("annotations", {}).get(_MADE_BY) == PROVISIONER
    return ours and volume["status"].get("phase") in {"Released", "Failed"}


def main(kubeconfig: Path) -> None:
    """Provision for ever."""
    with Api(kubeconfig=kubeconfig) as api:
        provisioner = Provisioner(api=api, folder=INSIDE / "volumes")
        while True:
            try:
                provisioner.run_once()
            except (OSError, ApiError) as error:  # the API server restarts, or its roles are not there yet
                sys.stderr.write(f"{error}\n")
            time.sleep(_EVERY_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
