"""Scores of a token classifier: one label per token, and where the labels are BIO tags, whole entities.

Tokens of a row are no independent draws, so the row is the unit of every bound.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from model_builder.data.base import IGNORED_LABEL
from model_builder.evaluation.classification import class_tables
from model_builder.evaluation.scores import Scores, metrics_of
from model_builder.evidence import Evidence, Rows, rounded

Span = tuple[int, int, str]


def score(*, probabilities: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]) -> Scores:
    """Every metric of a token classifier.

    Args:
        probabilities: (n, length, classes).
        labels: (n, length), `IGNORED_LABEL` where nothing is judged.
        classes: names; tags like B-place, I-place and O give scores of entities as well.
    """
    predicted, judged = probabilities.argmax(axis=2), labels != IGNORED_LABEL
    found: dict[str, Evidence] = {"accuracy": right_tokens(predicted=predicted, labels=labels)}
    tables = class_tables(predicted=predicted[judged], labels=labels[judged], classes=classes)
    if all(name == "O" or name[:2] in ("B-", "I-") for name in classes):
        true, answered = (
            [spans([classes[t] for t in row[mask]]) for row, mask in zip(tags, judged, strict=True)]
            for tags in (labels, predicted)
        )
        found["entityF1"] = _entity_f1(true, answered, length=labels.shape[1])
        tables["perEntity"] = _entity_table(true, answered)
    return Scores(metrics=metrics_of(found), tables=tables)


def right_tokens(*, predicted: NDArray[Any], labels: NDArray[Any]) -> Rows:
    """Right tokens of all judged ones, row by row."""
    judged = labels != IGNORED_LABEL
    return Rows(
        numerators=((predicted == labels) & judged).sum(axis=1).astype(float),
        denominators=judged.sum(axis=1).astype(float),
        largest=float(labels.shape[1]),
    )


def spans(tags: Sequence[str]) -> set[Span]:
    """Entities as (first token, token after the last, type).

    An entity begins at B-, and, as the CoNLL tasks count, at an I- that continues no entity of its type.
    """
    found: set[Span] = set()
    begin, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        continues = tag[:2] == "I-" and tag[2:] == kind
        if kind and not continues:
            found.add((begin, place, kind))
            kind = ""
        if tag != "O" and not continues:
            begin, kind = place, tag[2:]
    return found


def _entity_f1(true: list[set[Span]], answered: list[set[Span]], *, length: int) -> Rows:
    pairs = list(zip(true, answered, strict=True))
    return Rows(
        numerators=numpy.array([2.0 * len(t & a) for t, a in pairs]),
        denominators=numpy.array([float(len(t) + len(a)) for t, a in pairs]),
        largest=2.0 * length,
    )


def _entity_table(true: list[set[Span]], answered: list[set[Span]]) -> list[dict[str, Any]]:
    table = []
    for kind in sorted({span[2] for spans in (*true, *answered) for span in spans}):
        hits = sum(len({s for s in t & a if s[2] == kind}) for t, a in zip(true, answered, strict=True))
        support, taken = (sum(s[2] == kind for spans in side for s in spans) for side in (true, answered))
        table.append(
            {
                "class": kind,
                "precision": rounded(hits / max(taken, 1)),
                "recall": rounded(hits / max(support, 1)),
                "f1": rounded(2 * hits / (taken + support)),
                "support": support,
            }
        )
    return table
