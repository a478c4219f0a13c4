"""The bill of materials of an artifact: CycloneDX 1.6 with a machine-learning-model and its model card (ML-BOM).

Source: https://cyclonedx.org/docs/1.6/json/. It is the same for the same artifact, whenever it is written.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from model_builder import __version__
from model_builder.artifact import MANIFEST, hash_file
from model_builder.finished import Finished
from model_builder.metrics import SOURCE_SUFFIX, STABLE_SUFFIX
from model_builder.report import words

_MODEL, _DATA = "model", "data"
#: Names of properties begin with who says so.
_OWN = "model_builder:"


def render(artifact: Finished) -> str:
    """The BOM as JSON."""
    return json.dumps(document(artifact), indent=2) + "\n"


def document(artifact: Finished) -> dict[str, Any]:
    """The BOM."""
    told = artifact.manifest
    sealed = hash_file(artifact.directory / MANIFEST)
    libraries = [_library(name, version) for name, version in told["versions"].items() if name != "model_builder"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, f'{__version__}/{sealed}')}",
        "version": 1,
        "metadata": {
            "timestamp": _moment(told["createdAt"]),
            "lifecycles": [{"phase": "build"}],
            "tools": {
                "components": [
                    {"type": "application", "name": "model_builder", "version": told["versions"]["model_builder"]}
                ]
            },
            "component": _model(artifact, sealed=sealed),
        },
        "components": [_dataset(told["data"]), *libraries],
        "dependencies": [{"ref": _MODEL, "dependsOn": [_DATA]}, {"ref": _DATA}],
    }


def _model(artifact: Finished, *, sealed: str) -> dict[str, Any]:
    told = artifact.manifest
    entries = {file["path"]: file["sha256"] for file in told["files"]}
    served = artifact.model.relative_to(artifact.directory).as_posix()
    files = [
        {"type": "file", "bom-ref": f"file:{path}", "name": path, "hashes": _hashes(sha256)}
        for path, sha256 in {**entries, MANIFEST: sealed}.items()
    ]
    properties = {
        "digest": artifact.digest,
        "source.uri": told["source"]["uri"],
        "source.digest": told["source"]["digest"],
        "stable": told["stable"],
        "blocked": "true" if words.blocked(told["gates"]) else "false",
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        "name": told["model"]["name"],
        "version": told["model"]["version"],
        "hashes": _hashes(entries[served]),
        "modelCard": _card(artifact),
        "components": files,
        "properties": _properties(properties),
    }


def _card(artifact: Finished) -> dict[str, Any]:
    told, contract = artifact.manifest, artifact.contract
    parameters = {
        "approach": {"type": "supervised"},
        "task": told["data"]["task"],
        "modelArchitecture": told["source"]["architecture"],
        "datasets": [{"ref": _DATA}],
        "inputs": [_format(tensor) for tensor in contract.inputs],
        "outputs": [_format(tensor) for tensor in contract.outputs],
    }
    metrics = {**told["metrics"], **told["parts"]}
    return {
        "modelParameters": {name: value for name, value in parameters.items() if value is not None},
        "quantitativeAnalysis": {"performanceMetrics": [_metric(name, entry) for name, entry in metrics.items()]},
        "considerations": {"technicalLimitations": _limits(told)},
        "properties": _properties({"bounds": "confidence intervals are pairs of exact one-sided 95 % bounds"}),
    }


def _metric(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """One metric; its part (a class, a group) is the slice, and the model that it belongs to stays in its type."""
    suffix = next((s for s in (SOURCE_SUFFIX, STABLE_SUFFIX) if name.endswith(s)), "")
    base, _, part = name.removesuffix(suffix).partition(":")
    told: dict[str, Any] = {"type": base + suffix, "value": repr(entry["value"])}
    if part:
        told["slice"] = part
    sides = {"lowerBound": entry.get("lower"), "upperBound": entry.get("upper")}
    interval = {side: repr(value) for side, value in sides.items() if value is not None}
    return {**told, "confidenceInterval": interval} if interval else told


def _limits(told: Mapping[str, Any]) -> list[str]:
    """What a reader should know before use, in the build's own sentences."""
    audits = [f"{name}: {message}" for name, found in told["audits"].items() for message in found["messages"]]
    gates = [f"gate {gate['verdict']}: {gate['message']}" for gate in told["gates"] if gate["verdict"] != "Pass"]
    unasked = [] if told["audits"] else ["no audit of fairness, robustness or privacy was asked for"]
    return [*gates, *audits, *unasked, *map(str, told["data"]["notes"])]


def _dataset(data: Mapping[str, Any]) -> dict[str, Any]:
    section = data["section"]
    contents: dict[str, Any] = {"properties": _properties({"digest": data["digest"], "seed": data["seed"]})}
    if section.get("uri"):
        contents["url"] = words.reference(section["uri"])
    rows = ", ".join(f"{count} rows for {split}" for split, count in data["rows"].items())
    told = {
        "type": "dataset",
        "name": data["name"],
        "contents": contents,
        "description": f"{data['task']}; {rows}",
        "sensitiveData": [f"column {name}" for name in section.get("groups", [])],
    }
    return {"type": "data", "bom-ref": _DATA, "name": data["name"], "data": [told]}


def _library(name: str, version: str) -> dict[str, Any]:
    """A library of the build: what serves has its own."""
    known = {"name": name, "version": version, "scope": "excluded"}
    if name == "python":
        return {"type": "platform", "bom-ref": "platform:python", **known}
    purl = words.package(name, version)
    return {"type": "library", "bom-ref": purl, **known, "purl": purl}


def _hashes(sha256: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": sha256}]


def _format(tensor: Any) -> dict[str, str]:
    return {"format": f"{tensor.name}: {tensor.datatype} {list(tensor.shape)}"}


def _properties(values: Mapping[str, Any]) -> Sequence[dict[str, str]]:
    known: Iterable[tuple[str, Any]] = ((name, value) for name, value in values.items() if value is not None)
    return [{"name": _OWN + name, "value": str(value)} for name, value in known]


def _moment(text: str) -> str:
    return text.replace("+00:00", "Z")
