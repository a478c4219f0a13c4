"""A known revision as a ControllerRevision, there and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrelease.domain import codec, measured, naming
from modelrelease.domain.observed import BuildResult, Contract, Meta, Record
from modelrelease.domain.plan import WantRecord
from modelrelease.domain.status import Artifact
from modelrelease.render import common
from modelrelease.render.common import Manifest


def record(*, meta: Meta, want: WantRecord, template: Mapping[str, Any]) -> Manifest:
    """Return the ControllerRevision of a built revision.

    The template is kept as text, so that no API server reorders or completes it.
    """
    labels = {
        naming.LABEL_REVISION: want.revision,
        naming.LABEL_ARTIFACT: want.artifact_key,
        common.LABEL_VERSION: want.version,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": common.metadata(meta=meta, name=naming.deployment(meta.name, want.revision), labels=labels),
        "revision": want.number,
        "data": {
            "revision": want.revision,
            "artifactKey": want.artifact_key,
            "version": want.version,
            "artifact": codec.encode(want.result.artifact),
            "contract": codec.encode(want.result.contract),
            "metrics": codec.encode(want.result.metrics),
            **({"compared": want.result.compared} if want.result.compared else {}),
            "template": canonical(template),
        },
    }


def canonical(template: Mapping[str, Any]) -> str:
    """Return a template as JSON text: equal templates give equal text."""
    return json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class _Data:
    revision: str
    artifact_key: str
    version: str
    artifact: Artifact
    contract: Contract
    template: str
    compared: str | None = None


def parse_record(manifest: Mapping[str, Any]) -> Record:
    """Return the revision that a ControllerRevision of ours holds.

    Raises:
        Malformed: the object is not one that `record` made.

    """
    meta = manifest["metadata"]
    where = f"ControllerRevision {meta['name']}: data"
    data = codec.decode(_Data, manifest.get("data"), where)
    return Record(
        revision=data.revision,
        artifact_key=data.artifact_key,
        version=data.version,
        result=BuildResult(
            artifact=data.artifact,
            contract=data.contract,
            metrics=measured.metrics(manifest["data"].get("metrics"), f"{where}.metrics"),
            compared=data.compared,
        ),
        template=data.template,
        created=codec.parse_time(meta["creationTimestamp"]),
        number=manifest["revision"],
        uid=meta["uid"],
        resource_version=meta["resourceVersion"],
    )
