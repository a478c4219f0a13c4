"""One build: source, passes, export, passes on the graph, evaluation, checks, artifact."""

from __future__ import annotations

import contextlib
import datetime
import errno
import platform
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import __version__, checks, data, evaluate, export, gates, golden, graph, sources, stores, triton
from model_builder import artifact as artifacts
from model_builder.cache import Cache
from model_builder.contract import Contract, canonical_json
from model_builder.errors import BadSpec, GateFailed, OutOfMemory, StorageError
from model_builder.metrics import Metric
from model_builder.passes.base import Context, Stage
from model_builder.progress import Reporter
from model_builder.sources.base import SourceModel
from model_builder.spec import Plan, ResolvedPass

if TYPE_CHECKING:
    from torch import nn

_WORK = ".work"
_FLOAT_TOLERANCE = 1e-3
_LIBRARIES = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "scikit-learn")


@dataclass(frozen=True)
class Built:
    """What came out of the passes, before it is written down."""

    source: SourceModel
    network: nn.Module
    float_graph: Path
    final_graph: Path
    tolerance: float
    seconds: dict[str, float]


def build(*, plan: Plan, out: Path, store: str | None, reporter: Reporter) -> dict[str, Any]:
    """Build the artifact in `out`, put it into the store, and return the result for the operator."""
    started = time.monotonic()
    opened = stores.open_store(store) if store is not None else None
    if opened is not None:
        opened.check()
    workspace = _prepare(out)
    try:
        with _failures(out):
            reporter.phase("data")
            dataset = data.REGISTRY[plan.spec.data.name](plan.spec.data.seed)
            context = Context(
                data=dataset,
                seed=plan.spec.data.seed,
                reporter=reporter,
                workspace=workspace,
                cache=Cache.open(workspace / "cache", tell=lambda _: None),
                checkpoints=workspace,
            )
            built = _transform(plan=plan, context=context)
            reporter.phase("evaluate")
            metrics = evaluate.measure(source=built.float_graph, final=built.final_graph, test=dataset.test)
            reporter.phase("check")
            differences = checks.run(
                network=built.network,
                source=built.float_graph,
                final=built.final_graph,
                data=dataset,
                tolerance=built.tolerance,
            )
            verdicts = gates.judge(plan.spec.gates, metrics=metrics)
            reporter.phase("write")
            contract = _write_repository(plan=plan, built=built, context=context, out=out)
            digest = _write_manifest(
                plan=plan,
                built=built,
                context=context,
                out=out,
                metrics=metrics,
                verdicts=verdicts,
                checked=differences,
            )
    finally:
        shutil.rmtree(workspace, ignore_errors=True)
    failed = [verdict.message for verdict in verdicts if not verdict.passed]
    if failed:
        raise GateFailed("; ".join(failed) + ": improve the recipe, or change the gate")
    if opened is None:
        uri = out.resolve().as_uri()
    else:
        reporter.phase("store")
        uri = opened.put(artifact=out, digest=digest)
    return {
        "digest": digest,
        "uri": uri,
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        "inputs": [tensor.to_json() for tensor in contract.inputs],
        "outputs": [tensor.to_json() for tensor in contract.outputs],
        "batchable": contract.batchable,
        "seconds": round(time.monotonic() - started, 2),
    }


def _prepare(out: Path) -> Path:
    """Empty `out` of an earlier artifact; its manifest goes first, so that the rest does not look whole."""
    known = (artifacts.MANIFEST, artifacts.CONTRACT, artifacts.GOLDEN, artifacts.REPOSITORY, _WORK)
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
        (out / _WORK).mkdir()
    except OSError as error:
        raise StorageError(f"--out {out} can't be written: {error}", reason="StoreDenied") from error
    return out / _WORK


@contextlib.contextmanager
def _failures(out: Path) -> Iterator[None]:
    """Failures of the machine, as sentences."""
    try:
        yield
    except MemoryError as error:
        raise OutOfMemory("the build ran out of memory: raise the memory limit, or lower batchSize") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error) and "bad_alloc" not in str(error):
            raise
        raise OutOfMemory("the build ran out of memory: raise the memory limit, or lower batchSize") from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StorageError(f"the disk of {out} is full: free space or enlarge the volume", reason="DiskFull") from error


def _transform(*, plan: Plan, context: Context) -> Built:
    import torch

    # Sums depend on how they are cut over threads: one thread gives one digest on any number of cores.
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    seconds: dict[str, float] = {}
    context.reporter.phase("source")
    source = sources.load(
        uri=plan.spec.source.uri,
        architecture=plan.spec.source.architecture,
        seed=plan.spec.data.seed,
        workspace=context.workspace,
    )
    network = source.architecture.network
    for step in plan.of_stage(Stage.NETWORK):
        with _timed(step, context=context, seconds=seconds):
            network = step.implementation.apply(network=network, parameters=step.parameters, context=context)
    network = network.eval()
    context.reporter.phase("export")
    float_graph = final_graph = export.export(architecture=source.architecture, network=network, context=context)
    tolerance = _FLOAT_TOLERANCE
    for step in plan.of_stage(Stage.GRAPH):
        with _timed(step, context=context, seconds=seconds):
            raw = step.implementation.apply(graph=final_graph, parameters=step.parameters, context=context)
            final_graph = context.workspace / f"after-{len(seconds)}.onnx"
            graph.clean(raw, to=final_graph)
            tolerance = max(tolerance, step.implementation.tolerance)
    return Built(
        source=source,
        network=network,
        float_graph=float_graph,
        final_graph=final_graph,
        tolerance=tolerance,
        seconds=seconds,
    )


@contextlib.contextmanager
def _timed(step: ResolvedPass, *, context: Context, seconds: dict[str, float]) -> Iterator[None]:
    name = step.implementation.name
    context.reporter.phase(name)
    started = time.monotonic()
    yield
    seconds[f"{len(seconds)}.{name}"] = round(time.monotonic() - started, 3)


def _write_repository(*, plan: Plan, built: Built, context: Context, out: Path) -> Contract:
    name = plan.spec.model.name
    folder = out / artifacts.REPOSITORY / name
    version = folder / artifacts.MODEL_VERSION
    version.mkdir(parents=True)
    shutil.copyfile(built.final_graph, version / "model.onnx")
    shutil.copyfile(Path(triton.__file__).with_name("triton_model.py"), version / "model.py")
    golden_file = out / artifacts.GOLDEN
    golden_file.write_text(golden.render(model=built.final_graph, data=context.data, tolerance=built.tolerance))
    inputs, outputs, batchable = graph.interface(built.final_graph)
    opset, ir_version = graph.versions(built.final_graph)
    contract = Contract(
        inputs=inputs,
        outputs=outputs,
        batchable=batchable,
        opset=opset,
        ir_version=ir_version,
        golden_sha256=artifacts.hash_file(golden_file),
    )
    (out / artifacts.CONTRACT).write_text(contract.dump())
    config = triton.render_config(contract=contract, model=name, backend="onnxruntime", serving=triton.Serving())
    (folder / "config.pbtxt").write_text(config)
    return contract


def _write_manifest(
    *,
    plan: Plan,
    built: Built,
    context: Context,
    out: Path,
    metrics: dict[str, Metric],
    verdicts: list[gates.Verdict],
    checked: dict[str, float],
) -> str:
    files = artifacts.scan(out)
    digest = artifacts.digest_of(files)
    spec, dataset = plan.spec, context.data
    manifest = {
        "schemaVersion": 1,
        "digest": digest,
        "model": {"name": spec.model.name, "version": spec.model.version},
        "source": {"uri": spec.source.uri, "architecture": spec.source.architecture, "digest": built.source.digest},
        "data": {
            "name": dataset.name,
            "digest": dataset.digest,
            "seed": spec.data.seed,
            "rows": {name: len(getattr(dataset, name).rows) for name in ("train", "validation", "test")},
        },
        "recipe": [{"pass": step.pass_, "parameters": dict(step.parameters)} for step in spec.recipe],
        "metrics": {name: metric.to_json() for name, metric in metrics.items()},
        "checks": checked,
        "gates": [verdict.to_json() for verdict in verdicts],
        "seconds": built.seconds,
        "versions": {
            "model_builder": __version__,
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in _LIBRARIES},
        },
        "machine": {"system": platform.platform(), "processor": platform.machine()},
        "createdAt": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": [file.to_json() for file in files],
    }
    partial = out / _WORK / artifacts.MANIFEST
    partial.write_text(canonical_json(manifest))
    partial.rename(out / artifacts.MANIFEST)
    return digest
