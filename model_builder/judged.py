"""Evaluates and audits the models of a build, and holds what was measured against the gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import audit, compared, contract, evaluation, gates, graph
from model_builder.audit.base import subject_of
from model_builder.errors import GateFailed
from model_builder.gates import Gate
from model_builder.metrics import SOURCE_SUFFIX, STABLE_SUFFIX, Metric
from model_builder.reference import not_compared

if TYPE_CHECKING:
    from torch import nn

    from model_builder.data.base import Dataset
    from model_builder.evaluation import Evaluation
    from model_builder.progress import Reporter
    from model_builder.reference import Reference
    from model_builder.spec import Plan


@dataclass(frozen=True)
class Models:
    """The graphs that are measured on the same rows in the same process."""

    final: Path
    source: Path
    stable: Reference | None

    def by_suffix(self) -> dict[str, Path]:
        """As metrics name them."""
        stable = {STABLE_SUFFIX: self.stable.artifact.model} if self.stable is not None else {}
        return {"": self.final, SOURCE_SUFFIX: self.source, **stable}


@dataclass
class Findings:
    """What was found out, as plain data for the manifest; `stable` is the digest of what was compared with."""

    metrics: dict[str, Any]
    evidence: dict[str, Any]
    parts: dict[str, Any]
    tables: dict[str, Any]
    gates: list[Any] = field(default_factory=list)
    audits: dict[str, Any] = field(default_factory=dict)
    stable: str | None = None


def comparable(final: Path, *, stable: Reference, reporter: Reporter) -> bool:
    """Hold the graph that is to be served to what clients of the stable artifact rely on.

    Returns:
        Whether they can use it. Of an artifact that is not required a note says why they can't.

    Raises:
        GateFailed: one of them would be broken; how is in the sentence.
    """
    told = "; ".join(contract.broken(stable.artifact.contract, graph.interface(final)))
    if told and stable.required:
        raise GateFailed(
            f"clients of the stable artifact {stable.artifact.digest[:19]}... can't use this model: {told}: keep "
            "names, types and shapes, or release it as another model"
        )
    if told:
        reporter.note(not_compared(stable.artifact.digest, why=told))
    return not told


def examine(
    *, plan: Plan, models: Models, network: Callable[[], nn.Module | None], data: Dataset, reporter: Reporter
) -> Findings:
    """Measure, audit and judge.

    Args:
        plan: which audits and gates.
        models: the graphs.
        network: the torch twin of the final graph, if it has one; only asked for if there are audits.
        data: the splits; metrics and gates read `test`.
        reporter: is told the phases.
    """
    reporter.phase("evaluate")
    found = _evaluated(models, data=data, reporter=reporter)
    findings = Findings(metrics=_plain(found.metrics), evidence={}, parts=_plain(found.parts), tables=found.tables)
    if models.stable is not None and any(name.endswith(STABLE_SUFFIX) for name in found.metrics):
        findings.stable = models.stable.artifact.digest
    measured, standing = dict(found.judged), list[Gate]()
    if plan.audits:
        subject = subject_of(
            network=network(), model=models.final, data=data, seed=plan.spec.data.seed, reporter=reporter
        )
        for step in plan.audits:
            reporter.phase(step.implementation.name)
            result = audit.run(step.implementation, subject=subject, parameters=step.parameters)
            measured |= result.metrics
            standing += audit.standing_gates(step.implementation, result)
            findings.metrics |= _plain(result.metrics)
            findings.audits[step.implementation.name] = {
                "parameters": dataclasses.asdict(step.parameters),
                "tables": dict(result.tables),
                "messages": list(result.messages),
            }
    findings.evidence = compared.evidence_of({name: measured[name] for name in findings.metrics})
    asked = gates.DEFAULTS[data.task] if plan.spec.gates is None else plan.spec.gates
    named = {gate.metric for gate in asked}
    held = [*asked, *(gate for gate in standing if gate.metric not in named)]
    findings.gates = [verdict.to_json() for verdict in gates.judge(held, metrics=measured)]
    return findings


def _evaluated(models: Models, *, data: Dataset, reporter: Reporter) -> Evaluation:
    """Measure all models; a stable artifact that is not required and can't be measured is left out, with a note."""

    def evaluate(compared: Models) -> Evaluation:
        return evaluation.evaluate(models=compared.by_suffix(), test=data.test, task=data.task, classes=data.classes)

    if models.stable is None or models.stable.required:
        return evaluate(models)
    try:
        return evaluate(models)
    except Exception as error:  # noqa: BLE001 - whatever a runtime throws; if it is not about stable, it comes again
        reporter.note(not_compared(models.stable.artifact.digest, why=" ".join(str(error).split())))
    return evaluate(dataclasses.replace(models, stable=None))


def _plain(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric.to_json() for name, metric in metrics.items()}
