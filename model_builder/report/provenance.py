"""How an artifact came to be: an in-toto statement (v1) with the predicate of SLSA provenance (v1).

Sources: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, https://slsa.dev/spec/v1.0/provenance.
It is told by the builder itself and not signed: a platform that attests its builds wraps it and vouches for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from model_builder.artifact import MANIFEST, hash_file
from model_builder.finished import Finished
from model_builder.report import words

#: What `externalParameters` mean.
BUILD_TYPE = "https://modelrelease.dev/model-builder/v1"
#: Whoever ran the build: nobody who could prove it.
BUILDER = "https://modelrelease.dev/model-builder/unattested"
#: Digests of more than the bytes of one file: of an artifact (model_builder/artifact.py), of the rows of a data set.
_ARTIFACT, _ROWS = "modelreleaseArtifactV1", "modelreleaseRowsV1"
_SHA256 = "sha256:"


def render(artifact: Finished) -> str:
    """The statement as JSON."""
    return json.dumps(statement(artifact), indent=2) + "\n"


def statement(artifact: Finished) -> dict[str, Any]:
    """The statement. Its subjects are the artifact's files, each with its sha256, and the artifact itself."""
    told = artifact.manifest
    files = [{"name": file["path"], "digest": {"sha256": file["sha256"]}} for file in told["files"]]
    own = {"name": told["model"]["name"], "digest": {_ARTIFACT: artifact.digest.removeprefix(_SHA256)}}
    manifest = {"name": MANIFEST, "digest": {"sha256": hash_file(artifact.directory / MANIFEST)}}
    versions = {name: version for name, version in told["versions"].items() if name == "model_builder"}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [own, *files],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _asked(told),
                "internalParameters": {"choices": told["choices"], "machine": told["machine"]},
                "resolvedDependencies": _read(told),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": versions},
                "metadata": {"finishedOn": told["createdAt"].replace("+00:00", "Z")},
                "byproducts": [manifest],
            },
        },
    }


def _asked(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the spec said, as far as the manifest repeats it: no options of the export, no conditions of gates."""
    source = told["source"]
    return {
        "model": told["model"],
        "source": {name: value for name, value in source.items() if name != "digest"},
        "data": told["data"]["section"],
        "recipe": told["recipe"],
        "gates": [gate["metric"] for gate in told["gates"]],
        "audits": {name: found["parameters"] for name, found in told["audits"].items()},
    }


def _read(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that the build read, with its digest where one is known."""
    source, data = told["source"], told["data"]
    found: list[dict[str, Any]] = [{"name": "source", "uri": words.reference(source["uri"])}]
    if source["digest"]:
        found[0]["digest"] = {"sha256": source["digest"].removeprefix(_SHA256)}
    rows: dict[str, Any] = {"name": f"data {data['name']}", "digest": {_ROWS: data["digest"].removeprefix(_SHA256)}}
    if data["section"].get("uri"):
        rows["uri"] = words.reference(data["section"]["uri"])
    found.append(rows)
    if told["stable"]:
        found.append({"name": "stable artifact", "digest": {_ARTIFACT: told["stable"].removeprefix(_SHA256)}})
    versions = {name: version for name, version in told["versions"].items() if name not in ("model_builder", "python")}
    found += [{"name": name, "uri": words.package(name, version)} for name, version in versions.items()]
    return found
