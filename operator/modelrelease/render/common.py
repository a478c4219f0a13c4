"""The parts that several manifests share: metadata, the restricted security context, placement, artifact stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from modelrelease.domain import naming
from modelrelease.domain.observed import Meta
from modelrelease.domain.refs import SecretRef
from modelrelease.domain.spec import ArtifactStore, CaBundle, Placement, Signing, Verification

Manifest = dict[str, Any]

USER = 65532
ARTIFACTS = "/artifacts"
SIGNING, VERIFICATION, AUTHORITIES = "/signing", "/verification", "/authorities"
PRIVATE_KEY, PUBLIC_KEY, CA_CERTIFICATES = "private-key.pem", "public-key.pem", "ca.crt"
# A variable and not an argument: it is for every command of the builder, and for all of its processes.
CA_BUNDLE = "MODEL_CA_BUNDLE"
TMP = "/tmp"  # noqa: S108 - a volume of the pod, nobody else writes there
TERMINATION_LOG = "/dev/termination-log"
LABEL_VERSION = "app.kubernetes.io/version"


def metadata(*, meta: Meta, name: str, labels: Mapping[str, str] | None = None, intent: str | None = None) -> Manifest:
    """Return a child's metadata, owned by the release.

    `blockOwnerDeletion` stays false: true needs the right to set the owner's finalizers.
    """
    return {
        **({"annotations": {naming.ANNOTATION_INTENT: intent}} if intent else {}),
        "name": name,
        "namespace": meta.namespace,
        "labels": {**naming.labels(meta.name), **(labels or {})},
        "ownerReferences": [
            {
                "apiVersion": f"{naming.GROUP}/{naming.VERSION}",
                "kind": naming.KIND,
                "name": meta.name,
                "uid": meta.uid,
                "controller": True,
                "blockOwnerDeletion": False,
            }
        ],
    }


def selector(*, meta: Meta, revision: str) -> dict[str, str]:
    """Return the labels that select the pods of one revision, and no more than needed for that."""
    return {naming.LABEL_RELEASE: meta.name, naming.LABEL_REVISION: revision}


def literal(text: str) -> str:
    """Return `text` so that the kubelet leaves it alone.

    It would replace `$(NAME)` in arguments and values by a variable, a Secret's included, and
    what people write in a spec must not be able to print one.
    """
    return text.replace("$", "$$")


def pod_security() -> Manifest:
    """Return the pod's part of restricted Pod Security. A shared volume is not chowned again at each mount."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> Manifest:
    """Return the container's part of restricted Pod Security."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def placement(place: Placement) -> Manifest:
    """Return the pod fields of a placement; what is not wanted is left out. Resources belong to a container."""
    fields: Manifest = {"automountServiceAccountToken": False, "enableServiceLinks": False}
    if place.service_account_name:
        fields["serviceAccountName"] = place.service_account_name
    if place.image_pull_secrets:
        fields["imagePullSecrets"] = [{"name": secret.name} for secret in place.image_pull_secrets]
    if place.node_selector:
        fields["nodeSelector"] = dict(place.node_selector)
    if place.tolerations:
        fields["tolerations"] = [dict(toleration) for toleration in place.tolerations]
    return fields


def resources(place: Placement) -> Manifest:
    """Return the container fields that a placement asks for."""
    return {"resources": {key: dict(value) for key, value in place.resources.items()}} if place.resources else {}


def scratch(*, name: str, path: str) -> Manifest:
    """Return the mount of a volume that the container writes to; its root file system is read-only."""
    return {"name": name, "mountPath": path}


def home() -> Manifest:
    """Return the environment variable that sends the caches of libraries to a place that can be written."""
    return {"name": "HOME", "value": TMP}


def empty_volume(*, name: str, **source: str) -> Manifest:
    """Return a volume that lives and dies with the pod."""
    return {"name": name, "emptyDir": dict(source)}


def claim(store: ArtifactStore) -> str | None:
    """Return the PersistentVolumeClaim behind a store, None where it is not one."""
    url = urlsplit(store.uri)
    return url.netloc if url.scheme == "pvc" else None


def store_uri(store: ArtifactStore) -> str:
    """Return the store as a pod sees it: a claim is mounted at `ARTIFACTS`."""
    url = urlsplit(store.uri)
    return f"file://{ARTIFACTS}{url.path.rstrip('/')}" if url.scheme == "pvc" else store.uri


def store_access(
    store: ArtifactStore, *, read_only: bool, bundle: CaBundle | None, others: Sequence[SecretRef | None] = ()
) -> tuple[Manifest, list[Manifest]]:
    """Return what a container and its pod need to reach a store: (fields with `env` and mounts; volumes).

    `bundle` has the authorities that are trusted beside the system's. `others` hold the credentials of other places
    that the container reads; where several name a variable, the last one's counts, and the store's before all.
    """
    fields: Manifest = {"env": [home()], "volumeMounts": []}
    volumes: list[Manifest] = []
    if name := claim(store):
        mount: Manifest = {"name": "artifacts", "mountPath": ARTIFACTS}
        fields["volumeMounts"].append({**mount, "readOnly": True} if read_only else mount)
        volumes.append({"name": "artifacts", "persistentVolumeClaim": {"claimName": name}})
    if bundle:
        mount, volume = _file(AUTHORITIES, file=CA_CERTIFICATES, configMap={"name": bundle.config_map_ref.name})
        fields["env"].append({"name": CA_BUNDLE, "value": f"{AUTHORITIES}/{CA_CERTIFICATES}"})
        fields["volumeMounts"].append(mount)
        volumes.append(volume)
    secrets = [secret.name for secret in (store.secret_ref, *reversed(others)) if secret]
    if secrets:
        # Of several, Kubernetes takes the last one's value; one that is named twice stands where it counts most.
        fields["envFrom"] = [{"secretRef": {"name": name}} for name in reversed(dict.fromkeys(secrets))]
    return fields, volumes


def private_key(signing: Signing) -> tuple[Manifest, Manifest]:
    """Return mount and volume of the key that signs."""
    return _file(SIGNING, file=PRIVATE_KEY, secret={"secretName": signing.secret_ref.name, "defaultMode": 0o440})


def public_key(verification: Verification) -> tuple[Manifest, Manifest]:
    """Return mount and volume of the key that verifies."""
    return _file(VERIFICATION, file=PUBLIC_KEY, configMap={"name": verification.config_map_ref.name})


def _file(path: str, *, file: str, **source: Manifest) -> tuple[Manifest, Manifest]:
    """Return mount and volume of one file.

    Optional, since a pod whose volume is missing says nothing of it: the program that needs the file does, and fails.
    """
    name = path.strip("/")
    ((kind, fields),) = source.items()
    volume = {"name": name, kind: {**fields, "items": [{"key": file, "path": file}], "optional": True}}
    return {"name": name, "mountPath": path, "readOnly": True}, volume
