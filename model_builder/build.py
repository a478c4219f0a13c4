"""One build: source, passes, export, passes on the graph, evaluation, checks, artifact."""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from model_builder import artifact as artifacts
from model_builder import identity, manifest, record, reference, stores, tracking
from model_builder.cache import Cache, key_of
from model_builder.contract import Contract, parse_contract
from model_builder.errors import BadSpec, GateFailed, StorageError
from model_builder.inputs import Inputs
from model_builder.pipeline import Pipeline
from model_builder.progress import Reporter
from model_builder.ranks import ALONE, Group
from model_builder.reference import Place, Reference
from model_builder.signing import Signer
from model_builder.spec import Plan
from model_builder.tracking.recorder import Recorder
from model_builder.trouble import translated

_WORK, _ARTIFACT = ".work", "artifact"
_DESCRIBED = "described"


@dataclass(frozen=True)
class Settings:
    """How a build is run; nothing of it changes what is built, but for the replayed choices.

    Attributes:
        store: where the artifact is put as well.
        cache: folder of what earlier builds did; without one, nothing is kept.
        replay: choices of an earlier build that are to be made again, see `choices.of_manifest`.
        stable: where the artifact is that serves now, for gates against it.
        group: the processes of this build; their number decides in which order passes that share rows add up.
        private_key: file of the key that signs the artifact; without one, nobody does.
    """

    store: str | None = None
    cache: Path | None = None
    replay: Mapping[str, str] = field(default_factory=dict)
    stable: Place | None = None
    group: Group = ALONE
    private_key: Path | None = None


def build(*, plan: Plan, out: Path, reporter: Reporter, settings: Settings | None = None) -> dict[str, Any]:
    """Build the artifact in `out`, put it into the store, and return the result for the operator.

    Raises:
        BuildError: any of its kinds; after a GateFailed the artifact lies in `out`, after any other one nothing does.
    """
    model = plan.spec.model
    with tracking.recording(plan.spec.log, model=model.name, version=model.version, reporter=reporter) as recorder:
        return _build(plan=plan, out=out, reporter=recorder, settings=settings or Settings())


def _build(*, plan: Plan, out: Path, reporter: Recorder, settings: Settings) -> dict[str, Any]:
    started = time.monotonic()
    opened = stores.open_store(settings.store) if settings.store is not None else None
    if opened is not None:
        opened.check()
    signer = Signer.open(settings.private_key) if settings.private_key is not None else None
    stable = reference.read(settings.stable) if settings.stable is not None else None
    workspace = _prepare(out)
    try:
        if settings.stable is not None and stable is None:
            stable = reference.fetch(settings.stable, scratch=workspace / "stable", reporter=reporter)
        with translated(out):
            cache = Cache.open(settings.cache or workspace / "cache", tell=reporter.note)
            inputs = Inputs(spec=plan.spec, reporter=reporter, workspace=workspace, cache=cache)
            pipeline = Pipeline(
                plan=plan,
                inputs=inputs,
                cache=cache,
                reporter=reporter,
                workspace=workspace,
                replayed=settings.replay,
                group=settings.group,
            )
            contract, described = _make(plan=plan, inputs=inputs, pipeline=pipeline, stable=stable)
            for part in (workspace / _ARTIFACT).iterdir():
                part.rename(out / part.name)
            digest = manifest.write(described, out=out, partial=workspace / artifacts.MANIFEST)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    reporter.finished(described, digest=digest)
    failed = _blocking(described)
    if failed:
        raise GateFailed("; ".join(failed) + ": improve the recipe, or change the gate")
    if signer is not None:
        reporter.phase("sign")
        signer.sign(out)
    if opened is None:
        uri = out.resolve().as_uri()
    else:
        reporter.phase("store")
        uri = opened.put(artifact=out, digest=digest)
    result = {
        "digest": digest,
        "uri": uri,
        "inputs": [tensor.to_json() for tensor in contract.inputs],
        "outputs": [tensor.to_json() for tensor in contract.outputs],
        "batchable": contract.batchable,
        "seconds": round(time.monotonic() - started, 2),
        **({"stable": described["stable"]} if described["stable"] else {}),
    }
    return record.recorded(result, described=described)


def _prepare(out: Path) -> Path:
    """Empty `out` of an earlier artifact; its manifest goes first, so that the rest does not look whole."""
    served = (artifacts.CONTRACT, artifacts.GOLDEN, artifacts.REPOSITORY)
    known = (artifacts.MANIFEST, artifacts.SIGNATURE, *served, _WORK)
    try:
        out.mkdir(parents=True, exist_ok=True)
        strangers = sorted(path.name for path in out.iterdir() if path.name not in (*known, "lost+found"))
        if strangers:
            raise BadSpec(f"--out {out} holds {strangers[0]!r}, which no artifact has: give an empty directory")
        for name in known:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        (out / _WORK / _ARTIFACT).mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"--out {out} can't be written: {error}", reason="StoreDenied") from error
    return out / _WORK


def _make(
    *, plan: Plan, inputs: Inputs, pipeline: Pipeline, stable: Reference | None
) -> tuple[Contract, Mapping[str, Any]]:
    """Lay the artifact out in the workspace, all but its manifest, whose content is returned."""
    cache, reporter, artifact = pipeline.cache, pipeline.reporter, pipeline.workspace / _ARTIFACT
    compared = (stable.artifact.digest, stable.required) if stable else None
    asked = dataclasses.replace(plan.spec, log=tracking.Log())
    key = key_of(pipeline.key, identity.folder_digest(), dataclasses.asdict(asked), compared)
    found = cache.fetch(key, to=artifact)
    if found is not None:
        reporter.phase("cache")
        return parse_contract((artifact / artifacts.CONTRACT).read_text()), found[_DESCRIBED]
    contract, described = _produce(
        plan=plan, inputs=inputs, pipeline=pipeline, stable=stable, artifact=artifact, reporter=reporter
    )
    if not _blocking(described):
        cache.store(key, files=artifact, figures={_DESCRIBED: described})
    return contract, described


def _produce(
    *, plan: Plan, inputs: Inputs, pipeline: Pipeline, stable: Reference | None, artifact: Path, reporter: Reporter
) -> tuple[Contract, Mapping[str, Any]]:
    # Here, since it needs numpy and more: a rebuild that changes nothing does not.
    from model_builder import checks, judged, torch_script

    source, final, data = pipeline.source_graph(), pipeline.final_graph(), inputs.dataset
    pipeline.release()
    reporter.phase("check")
    if stable is not None and not judged.comparable(final, stable=stable, reporter=reporter):
        stable = None
    # First, since nothing else that is said about a broken model means anything.
    exported = pipeline.exported_graph()
    checked = checks.run(
        parity=pipeline.parity(), exported=exported, final=final, data=data, tolerance=pipeline.tolerance
    )
    further = [pipeline.workspace / torch_script.NAME for _ in plan.spec.export.formats]
    for path in further:
        torch_script.write(pipeline.network(), data=data, to=path)
        pipeline.release()
        checked.append(torch_script.check(path, final=final, data=data))
    checks.judge(checked)
    findings = judged.examine(
        plan=plan,
        models=judged.Models(final=final, source=source, stable=stable),
        network=pipeline.network,
        data=data,
        reporter=reporter,
    )
    findings.gates += checks.as_gates(checked)
    pipeline.release()
    reporter.phase("write")
    contract = manifest.write_repository(plan=plan, final=final, data=data, tolerance=pipeline.tolerance, out=artifact)
    for path in further:
        path.rename(artifact / artifacts.REPOSITORY / plan.spec.model.name / artifacts.MODEL_VERSION / path.name)
    outcome = manifest.Outcome(
        findings=findings,
        checks={check.name: check.to_json() for check in checked},
        steps=pipeline.report(),
        choices=pipeline.choices(),
        stable=findings.stable,
    )
    return contract, manifest.describe(plan=plan, data=data, source_digest=inputs.source_digest, outcome=outcome)


def _blocking(described: Mapping[str, Any]) -> list[str]:
    return [str(gate["message"]) for gate in described["gates"] if gate["blocks"]]
