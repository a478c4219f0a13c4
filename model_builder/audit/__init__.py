"""The audits: name -> parameters -> function. A new one is a new file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model_builder.audit.attention import AUDIT as ATTENTION
from model_builder.audit.base import Audit, AuditResult, Subject, not_run
from model_builder.audit.counterfactual import AUDIT as COUNTERFACTUAL
from model_builder.audit.energy import AUDIT as ENERGY
from model_builder.audit.explain import AUDIT as EXPLAIN
from model_builder.audit.fairness import AUDIT as FAIRNESS
from model_builder.audit.individual import AUDIT as INDIVIDUAL
from model_builder.audit.personal import AUDIT as PERSONAL
from model_builder.audit.privacy import AUDIT as PRIVACY
from model_builder.audit.robustness import AUDIT as ROBUSTNESS
from model_builder.audit.shap import AUDIT as SHAP
from model_builder.audit.surrogate import AUDIT as SURROGATE
from model_builder.gates import Gate

REGISTRY: Mapping[str, Audit] = {
    audit.name: audit
    for audit in (
        FAIRNESS,
        INDIVIDUAL,
        COUNTERFACTUAL,
        ROBUSTNESS,
        PRIVACY,
        PERSONAL,
        EXPLAIN,
        SHAP,
        ATTENTION,
        SURROGATE,
        ENERGY,
    )
}


def run(audit: Audit, *, subject: Subject, parameters: Any) -> AuditResult:
    """Run one audit, on one thread so that it finds the same on any machine."""
    task = subject.data.task
    if task not in audit.tasks:
        known = ", ".join(sorted(audit.tasks))
        return not_run(f"{audit.name} was not run: it is about {known}, and the task of the data is {task}")
    if subject.network is not None:
        import torch

        torch.set_num_threads(1)
        subject.network.eval()
    result: AuditResult = audit.run(subject=subject, parameters=parameters)
    return result


def standing_gates(audit: Audit, result: AuditResult) -> tuple[Gate, ...]:
    """The audit's own gates on what it could measure; a gate of the spec holds in any case."""
    return tuple(gate for gate in audit.gates if gate.metric in result.metrics)
