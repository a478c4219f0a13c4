"""An interpretable stand-in: a small decision tree that learns the model's answers, and how often it gives the same.

Its rules explain the model only as far as it is faithful to it, so the fidelity stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy

from model_builder import evidence
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject
from model_builder.decode import Range
from model_builder.evaluation.scores import metrics_of

_MOST_ROWS, _MOST_NAMED = 20_000, 10


@dataclass(frozen=True)
class Parameters:
    """How much a person can read."""

    depth: Annotated[int, Range(1, 12), "questions that the tree may ask one after another"] = 5


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Fit the tree on the training rows, compare on the test rows."""
    from sklearn.tree import DecisionTreeClassifier, export_text  # type: ignore[import-untyped]

    data = subject.data
    train, test = data.train.rows[:_MOST_ROWS], data.test.rows
    features, asked = (rows.reshape(len(rows), -1) for rows in (train, test))
    size = features.shape[1]
    names = list(data.columns) if len(data.columns) == size else [f"value {i}" for i in range(size)]
    tree = DecisionTreeClassifier(max_depth=parameters.depth, random_state=subject.seed)
    tree.fit(features, subject.classes(train))
    same = tree.predict(asked) == subject.classes(test)
    order = numpy.argsort(-tree.feature_importances_, kind="stable")[:_MOST_NAMED]
    tables: dict[str, Any] = {
        "importance": [
            {"feature": names[i], "share": evidence.rounded(tree.feature_importances_[i])}
            for i in order
            if tree.feature_importances_[i] > 0
        ],
        "rules": export_text(tree, feature_names=names, class_names=[data.classes[int(c)] for c in tree.classes_]),
    }
    return AuditResult(metrics=metrics_of({"surrogateFidelity": evidence.share(same)}), tables=tables)


AUDIT = Audit(
    name="surrogate",
    summary="fits a small decision tree to the model's answers and tells how faithful it is",
    parameters=Parameters,
    run=run,
    gates=(),
    tasks=CLASSES,
)
