"""Writes a finished build down: the served repository, the contract, the golden requests, and last the manifest."""

from __future__ import annotations

import datetime
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import __version__, golden, graph, graph_file, identity, sources, triton
from model_builder import artifact as artifacts
from model_builder.contract import Contract
from model_builder.data.text import Tokens
from model_builder.decode import encode

if TYPE_CHECKING:
    from model_builder.data.base import Dataset
    from model_builder.judged import Findings
    from model_builder.spec import Plan


def write_repository(*, plan: Plan, final: Path, data: Dataset, tolerance: float, out: Path) -> Contract:
    """Write everything that the digest covers."""
    name = plan.spec.model.name
    folder = out / artifacts.REPOSITORY / name
    version = folder / artifacts.MODEL_VERSION
    version.mkdir(parents=True)
    for file in graph_file.files(final):
        shutil.copyfile(file, version / file.name)
    shutil.copyfile(Path(triton.__file__).with_name("triton_model.py"), version / "model.py")
    if data.vocabulary:  # clients send numbers: without this list they could make none
        words = Tokens(vocabulary=data.vocabulary, parameters=plan.spec.data.text)
        (folder / artifacts.VOCABULARY).write_text(words.write(task=data.task))
    golden_file = out / artifacts.GOLDEN
    golden_file.write_text(golden.render(model=final, data=data, tolerance=tolerance))
    inputs, outputs, batchable = graph.interface(final)
    opset, ir_version = graph.versions(final)
    contract = Contract(
        inputs=inputs,
        outputs=outputs,
        batchable=batchable,
        opset=opset,
        ir_version=ir_version,
        golden_sha256=artifacts.hash_file(golden_file),
    )
    (out / artifacts.CONTRACT).write_text(contract.dump())
    serving = plan.spec.export.serving
    config = triton.render_config(contract=contract, model=name, backend="onnxruntime", serving=serving)
    (folder / "config.pbtxt").write_text(config)
    return contract


@dataclass(frozen=True)
class Outcome:
    """What was found out about a build, as plain data for the manifest."""

    findings: Findings
    checks: Mapping[str, Any]
    steps: list[Any]
    choices: Mapping[str, str]
    #: Digest of the stable artifact that the model was measured against.
    stable: str | None


def describe(*, plan: Plan, data: Dataset, source_digest: str | None, outcome: Outcome) -> dict[str, Any]:
    """The manifest without what depends on the written files and on the moment."""
    spec = plan.spec
    return {
        "schemaVersion": 1,
        "model": {"name": spec.model.name, "version": spec.model.version},
        "source": {**sources.describe(spec.source), "digest": source_digest},
        "data": {
            "name": data.name,
            "digest": data.digest,
            "seed": spec.data.seed,
            "section": encode(spec.data),
            "task": data.task.value,
            "classes": list(data.classes),
            "rows": {name: len(split.rows) for name, split in data.splits.items()},
            "balance": data.balance,
            "schema": data.schema.to_json(),
            "normalization": None if data.normalization is None else data.normalization.to_json(),
            "notes": list(data.notes),
        },
        "recipe": [{"pass": step.pass_, "parameters": dict(step.parameters)} for step in spec.recipe],
        "steps": outcome.steps,
        "choices": dict(outcome.choices),
        "metrics": dict(outcome.findings.metrics),
        "evidence": dict(outcome.findings.evidence),
        "parts": dict(outcome.findings.parts),
        "tables": dict(outcome.findings.tables),
        "checks": dict(outcome.checks),
        "gates": outcome.findings.gates,
        "audits": dict(outcome.findings.audits),
        "stable": outcome.stable,
        "versions": {"model_builder": __version__, **identity.versions()},
        "machine": {"platform": platform.platform(), **identity.machine()},
    }


def write(described: Mapping[str, Any], *, out: Path, partial: Path) -> str:
    """Write the manifest of a complete artifact by a rename, so that it is never half there; return the digest."""
    files = artifacts.scan(out)
    digest = artifacts.digest_of(files)
    manifest = {
        **described,
        "digest": digest,
        "createdAt": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": [file.to_json() for file in files],
    }
    partial.write_text(artifacts.seal(manifest))
    partial.rename(out / artifacts.MANIFEST)
    return digest
