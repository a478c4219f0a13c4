"""The rules of the API on a typed spec, as sentences. Pure; the CRD has the same ones for the API server.

The objects of `tests/api/crd_cases.py` go through both, so that neither knows a rule alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields

from modelrelease.cli import build_rules
from modelrelease.cli.rollout_rules import rollout
from modelrelease.domain import codec
from modelrelease.domain.spec import (
    ArtifactStore,
    Build,
    Gate,
    GatewayTraffic,
    Placement,
    Spec,
    Triton,
)

_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_NAME_LENGTH = 40
_WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_STORE = re.compile(rf"(pvc|s3|gs|az)://[a-z0-9][a-z0-9._-]*(/[A-Za-z0-9._-]+)*/?|{build_rules.REPOSITORY}")
_HOSTNAME = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_BOUNDS = ("threshold", "maxDegradation", "percentMaxDegradation", "minImprovement", "percentMinImprovement")
_RATIOS = ("accuracy", "agreement")


def name(text: str) -> Iterator[str]:
    """Yield what is wrong with a release's name."""
    if len(text) > _NAME_LENGTH:
        yield f"metadata.name: has {len(text)} characters, allowed are {_NAME_LENGTH}: choose a shorter one"
    if not _NAME.fullmatch(text):
        yield f"metadata.name: {text!r} can not name a Service: use lower-case letters, digits and '-', a letter first"


def check(spec: Spec) -> Iterator[str]:
    """Yield every rule that a spec breaks."""
    for field, text in (("name", spec.model.name), ("version", spec.model.version)):
        if not _WORD.fullmatch(text):
            yield f"spec.model.{field}: {text!r} must be letters, digits, '.', '_' and '-', with no sign at an end"
    yield from build_rules.check(spec)
    yield from _build(spec.build)
    yield from _triton(spec.serving.triton)
    for where, placement in (("spec.build", spec.build), ("spec.serving", spec.serving)):
        yield from _quantities(where, placement)
    yield from _gateway(spec.traffic.gateway)
    yield from rollout(spec.rollout)


def _image(where: str, image: str) -> Iterator[str]:
    if not image or re.search(r"\s", image):
        yield f"{where}: {image!r} is empty or has white space: write REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST"


def _build(build: Build) -> Iterator[str]:
    yield from _image("spec.build.image", build.image)
    for index, step in enumerate(build.recipe):
        if not build_rules.NAME.fullmatch(step.name):
            yield f"spec.build.recipe[{index}].pass: {step.name!r} is not a name: use letters, digits, '_' and '-'"
    gates = build.evaluation.gates
    for index, gate in enumerate(gates):
        yield from _gate(f"spec.build.evaluation.gates[{index}]", gate)
        if gate in gates[:index]:
            yield f"spec.build.evaluation.gates[{index}]: the gate on {gate.metric} is listed twice: remove one"
    yield from _store(build.artifact_store)


def _gate(where: str, gate: Gate) -> Iterator[str]:
    given = [codec.key(field) for field in fields(gate) if getattr(gate, field.name) is not None]
    bounds = [name for name in given if name in _BOUNDS]
    if len(bounds) != 1:
        yield f"{where}: has {_listed(bounds) or 'none'} of {_listed(_BOUNDS)}: set exactly one (two are two gates)"
    if gate.threshold is not None and gate.metric in _RATIOS and not 0 <= gate.threshold <= 1:
        yield f"{where}.threshold: {gate.threshold:g} can not judge {gate.metric}, a ratio: write 0.95 for 95 %"


def _store(store: ArtifactStore) -> Iterator[str]:
    where = "spec.build.artifactStore"
    if not _STORE.fullmatch(store.uri):
        yield (
            f"{where}.uri: {store.uri!r} is not supported: write pvc://CLAIM/PATH, s3://BUCKET/PREFIX (gs, az likewise)"
            " or oci://HOST/REPOSITORY"
        )
    if ".." in store.uri.split("/"):
        yield f"{where}.uri: {store.uri!r} leaves its own directory: remove '..'"
    if store.secret_ref is not None and store.uri.startswith("pvc://"):
        yield f"{where}.secretRef: has no effect on {store.uri}, which takes no credentials: remove it"


def _triton(triton: Triton) -> Iterator[str]:
    yield from _image("spec.serving.triton.image", triton.image)
    if triton.dynamic_batching is None:
        return
    where = "spec.serving.triton.dynamicBatching"
    if triton.max_batch_size == 0:
        yield f"{where}: needs batches: set maxBatchSize above 0 or remove dynamicBatching"
    too_large = [size for size in triton.dynamic_batching.preferred_batch_sizes if size > triton.max_batch_size]
    if too_large:
        most = triton.max_batch_size
        yield f"{where}.preferredBatchSizes: {_listed(too_large)} can never be reached with maxBatchSize {most}"


def _quantities(where: str, placement: Placement) -> Iterator[str]:
    for kind, amounts in placement.resources.items():
        if kind not in ("requests", "limits") or not isinstance(amounts, Mapping):
            yield f"{where}.resources.{kind}: no such field; there are limits and requests"
            continue
        for resource, amount in amounts.items():
            if not _QUANTITY.fullmatch(str(amount)):
                yield f"{where}.resources.{kind}.{resource}: {amount!r} is not a quantity: write 2, 500m or 4Gi"


def _gateway(gateway: GatewayTraffic) -> Iterator[str]:
    where = "spec.traffic.gateway"
    if len(set(gateway.parent_refs)) != len(gateway.parent_refs):
        yield f"{where}.parentRefs: a Gateway is listed twice: remove one"
    if gateway.http is None and gateway.grpc is None:
        yield f"{where}: needs http, grpc or both: without a hostname no request reaches the model"
    http = gateway.http.hostnames if gateway.http else ()
    grpc = gateway.grpc.hostnames if gateway.grpc else ()
    for protocol, hostnames in (("http", http), ("grpc", grpc)):
        yield from _hostnames(f"{where}.{protocol}.hostnames", hostnames)
    if shared := sorted(set(http) & set(grpc)):
        yield f"{where}: {_listed(shared)} is listed under http and grpc, but a hostname belongs to one kind of route"


def _hostnames(where: str, hostnames: Sequence[str]) -> Iterator[str]:
    for index, hostname in enumerate(hostnames):
        if not _HOSTNAME.fullmatch(hostname):
            yield f"{where}[{index}]: {hostname!r} is not a DNS name: lower case, without scheme, port or path"
        if hostname in hostnames[:index]:
            yield f"{where}[{index}]: {hostname} is listed twice: remove one"


def _listed(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)
