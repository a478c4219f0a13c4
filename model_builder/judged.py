"""Evaluates and audits the models of a build, and holds what was measured against the gates."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import audit, contract, evaluation, gates, graph
from model_builder.audit.base import subject_of
from model_builder.errors import GateFailed
from model_builder.gates import Gate
from model_builder.metrics import SOURCE_SUFFIX, STABLE_SUFFIX, Metric

if TYPE_CHECKING:
    from torch import nn

    from model_builder.data.base import Dataset
    from model_builder.finished import Finished
    from model_builder.progress import Reporter
    from model_builder.spec import Plan


@dataclass(frozen=True)
class Models:
    """The graphs that are measured on the same rows in the same process."""

    final: Path
    source: Path
    stable: Path | None

    def by_suffix(self) -> dict[str, Path]:
        """As metrics name them."""
        known = {"": self.final, SOURCE_SUFFIX: self.source, STABLE_SUFFIX: self.stable}
        return {suffix: path for suffix, path in known.items() if path is not None}


@dataclass
class Findings:
    """What was found out, as plain data for the manifest."""

    metrics: dict[str, Any]
    parts: dict[str, Any]
    tables: dict[str, Any]
    gates: list[Any] = field(default_factory=list)
    audits: dict[str, Any] = field(default_factory=dict)


def hold_contract(final: Path, *, stable: Finished) -> None:
    """Hold the graph that is to be served to what clients of the stable artifact rely on.

    Raises:
        GateFailed: one of them would be broken; how is in the sentence.
    """
    told = contract.broken(stable.contract, graph.interface(final))
    if told:
        raise GateFailed(
            f"clients of the stable artifact {stable.digest[:19]}... can't use this model: {'; '.join(told)}: keep "
            "names, types and shapes, or release it as another model"
        )


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
    found = evaluation.evaluate(models=models.by_suffix(), test=data.test, task=data.task, classes=data.classes)
    findings = Findings(metrics=_plain(found.metrics), parts=_plain(found.parts), tables=found.tables)
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
    asked = gates.DEFAULTS[data.task] if plan.spec.gates is None else plan.spec.gates
    named = {gate.metric for gate in asked}
    held = [*asked, *(gate for gate in standing if gate.metric not in named)]
    findings.gates = [verdict.to_json() for verdict in gates.judge(held, metrics=measured)]
    return findings


def _plain(metrics: Mapping[str, Metric]) -> dict[str, Any]:
    return {name: metric.to_json() for name, metric in metrics.items()}
