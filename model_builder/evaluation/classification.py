"""Scores of a classifier: one label per row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
from numpy.typing import NDArray

from model_builder import evidence
from model_builder.evaluation import calibration
from model_builder.evaluation.scores import Scores, metrics_of
from model_builder.evidence import ClassF1, Combined, Evidence, Ranking, Rows, rounded
from model_builder.metrics import Metric


def score(*, probabilities: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]) -> Scores:
    """Every metric of a classifier.

    Args:
        probabilities: (n, classes).
        labels: (n,) numbers of classes.
        classes: their names.
    """
    predicted = probabilities.argmax(axis=1)
    right, confidence = predicted == labels, probabilities.max(axis=1)
    present = [int(c) for c in numpy.unique(numpy.concatenate([labels, predicted]))]
    recalls = {c: evidence.share(right[labels == c]) for c in present if (labels == c).any()}
    f1s = {c: _f1(predicted, labels, c) for c in present}
    table = calibration.reliability(confidence=confidence, right=right)
    found: dict[str, Evidence] = {
        "accuracy": evidence.share(right),
        "macroRecall": macro_recall(right=right, labels=labels),
        "macroF1": Combined(tuple(f1s.values()), evidence.average),
        "brier": evidence.mean(calibration.brier(probabilities=probabilities, labels=labels), low=0.0, high=2.0),
        "worstClassRecall": Combined(tuple(recalls.values()), min),
    }
    areas = tuple(ranking for c in recalls if len((ranking := _ranking(probabilities, labels, c)).negative))
    if areas:
        found["auroc"] = Combined(areas, evidence.average)
    parts: dict[str, Evidence] = {f"recall:{classes[c]}": part for c, part in recalls.items()}
    parts |= {f"precision:{classes[c]}": evidence.share(right[predicted == c]) for c in present}
    parts |= {f"f1:{classes[c]}": part for c, part in f1s.items()}
    return Scores(
        metrics=metrics_of(found, rows=len(labels))
        | {"ece": Metric(rounded(calibration.expected_error(table)), len(labels))},
        parts=metrics_of(parts),
        tables={
            **class_tables(predicted=predicted, labels=labels, classes=classes),
            "reliability": table,
        },
    )


def macro_recall(*, right: NDArray[Any], labels: NDArray[Any]) -> Rows:
    """Mean recall as a mean over rows, in which each row weighs what its class lacks in rows."""
    classes, place, counts = numpy.unique(labels, return_inverse=True, return_counts=True)
    weights = len(labels) / (len(classes) * counts)
    return evidence.mean(right * weights[place], low=0.0, high=float(weights.max()))


def class_tables(*, predicted: NDArray[Any], labels: NDArray[Any], classes: Sequence[str]) -> dict[str, Any]:
    """Precision, recall, F1 and support of each class, their averages, and the confusion matrix (rows: labels).

    A ratio without anything to divide by is 0. Macro and weighted averages are over the classes that occur as label
    or as answer.
    """
    size = len(classes)
    matrix = numpy.bincount(labels * size + predicted, minlength=size * size).reshape(size, size)
    hits, support, answered = matrix.diagonal(), matrix.sum(axis=1), matrix.sum(axis=0)
    figures = {
        "precision": hits / numpy.maximum(answered, 1),
        "recall": hits / numpy.maximum(support, 1),
        "f1": 2 * hits / numpy.maximum(support + answered, 1),
    }
    occurs = support + answered > 0
    shares = support / support.sum()
    return {
        "perClass": [
            {"class": name, **{f: rounded(v[i]) for f, v in figures.items()}, "support": int(support[i])}
            for i, name in enumerate(classes)
        ],
        "averages": {
            "macro": {f: rounded(v[occurs].mean()) for f, v in figures.items()},
            # One label and one answer per row: every false positive is a false negative of another class.
            "micro": dict.fromkeys(figures, rounded(hits.sum() / support.sum())),
            "weighted": {f: rounded((v * shares).sum()) for f, v in figures.items()},
        },
        "confusionMatrix": {"classes": list(classes), "counts": matrix.tolist()},
    }


def _f1(predicted: NDArray[Any], labels: NDArray[Any], c: int) -> ClassF1:
    taken, of_it = predicted == c, labels == c
    return ClassF1(hits=int((taken & of_it).sum()), involved=int((taken | of_it).sum()))


def _ranking(probabilities: NDArray[Any], labels: NDArray[Any], c: int) -> Ranking:
    return Ranking(positive=probabilities[labels == c, c], negative=probabilities[labels != c, c])
