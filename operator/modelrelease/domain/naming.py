"""Names, labels and content hashes. Deterministic, so that a replayed write is the same write."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from modelrelease.domain import codec
from modelrelease.domain.observed import Protocol, Slot
from modelrelease.domain.spec import Gate, OnInconclusive, Spec

GROUP = "modelrelease.dev"
VERSION = "v1alpha1"
KIND = "ModelRelease"
PLURAL = "modelreleases"

MANAGED_BY = "model-release-operator"
MANAGER = MANAGED_BY  # field manager of children
MANAGER_STATUS = f"{MANAGED_BY}-status"
MANAGER_ROUTE = f"{MANAGED_BY}-route"

LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_RELEASE = f"{GROUP}/release"
LABEL_REVISION = f"{GROUP}/revision"
LABEL_SLOT = f"{GROUP}/slot"
LABEL_ARTIFACT = f"{GROUP}/artifact"
LABEL_ATTEMPT = f"{GROUP}/attempt"
ANNOTATION_INTENT = f"{GROUP}/intent"  # what an object was last written for
HEADER_REVISION = "x-model-revision"

ROUTE_KINDS = {Protocol.HTTP: "HTTPRoute", Protocol.GRPC: "GRPCRoute"}

# Part of every hash: a change of what is hashed must not look like a change of every model.
_HASHING = "1"


def digest(value: Any, length: int = 10) -> str:
    """Return a short lower-case hash of JSON, fit for a Kubernetes name."""
    text = json.dumps([_HASHING, value], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def artifact_key(spec: Spec) -> str:
    """Return the key of what is built: source, builder image, recipe, data, audits, export, and who signs it.

    It decides whether anything is built; the artifact itself is addressed by its digest. Credentials of source and
    data are not in it. Another signer is: the same artifact is built again, and its new signature goes into the store.
    So are the audits, which change no artifact: their metrics are what gates judge, and only a build measures them.

    What a spec does not say is not in the key, so that a field which is new to the API changes no key of before.
    """
    build = spec.build
    more = {"audit": codec.encode(build.audit), "export": codec.encode(build.export)}
    said = {name: value for name, value in more.items() if value}
    return digest(
        [
            spec.model.name,
            codec.encode(replace(spec.model.source, secret_ref=None)),
            build.image,
            codec.encode(build.recipe),
            codec.encode(replace(build.evaluation.data, secret_ref=None)),
            *([codec.encode(build.signing)] if build.signing else []),
            *([said] if said else []),
        ]
    )


def revision(spec: Spec) -> str:
    """Return the revision: the artifact key and what changes the serving pod.

    Replicas, credentials, rollout and analysis are not in it.
    """
    serving = codec.encode(spec.serving)
    for scale_or_credential in ("replicas", "serviceAccountName", "imagePullSecrets"):
        serving.pop(scale_or_credential, None)
    return digest([artifact_key(spec), serving])


def gates_hash(gates: tuple[Gate, ...]) -> str:
    """Return the hash of the gates, so that a rejection by other gates is judged anew.

    What a gate says by default is not in it: rejections of before there was that field stay what they are.
    """
    encoded = codec.encode(gates)
    for gate in encoded:
        if gate["onInconclusive"] == OnInconclusive.BLOCK:
            del gate["onInconclusive"]
    return digest(encoded)


def service(release: str, slot: Slot) -> str:
    """Return the name of a slot's Service."""
    return f"{release}-{slot}"


def deployment(release: str, rev: str) -> str:
    """Return the name of a revision's Deployment, PodDisruptionBudget and ControllerRevision."""
    return f"{release}-{rev}"


def job(release: str, key: str, attempt: int) -> str:
    """Return the name of a build Job."""
    return f"{release}-build-{key}-{attempt}"


def labels(release: str) -> dict[str, str]:
    """Return the labels of every child."""
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_RELEASE: release,
        "app.kubernetes.io/name": "model-server",
        "app.kubernetes.io/instance": release,
    }
