"""Measures models on the test split, in one process, on the same rows: how good they are, and what they cost."""

from __future__ import annotations

import filecmp
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_builder import graph, graph_file
from model_builder.data.base import Split, Task
from model_builder.errors import BadData
from model_builder.meter import give_back
from model_builder.metrics import SOURCE_SUFFIX, STABLE_SUFFIX, Metric

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]
    from numpy.typing import NDArray

    from model_builder.evaluation.scores import Scores

#: The final model, the source model, the stable artifact: suffix of the metric -> what people call it.
NAMES: Mapping[str, str] = {"": "final", SOURCE_SUFFIX: "source", STABLE_SUFFIX: "stable"}


@dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        metrics: of whole models, for the result, the manifest and the gates.
        parts: of classes, for the manifest and the gates.
        tables: model -> table -> plain data for the report; `tradeOff` is about all models.
    """

    metrics: dict[str, Metric]
    parts: dict[str, Metric]
    tables: dict[str, Any]

    @property
    def judged(self) -> dict[str, Metric]:
        """All that a gate can be put on."""
        return self.parts | self.metrics


def evaluate(
    *,
    models: Mapping[str, Path],
    test: Split,
    task: Task,
    classes: Sequence[str],
    largest_error: float | None = None,
) -> Evaluation:
    """Every metric of every model.

    Args:
        models: suffix of the metric ("" for the final model, see `NAMES`) -> graph. The final one must be among them.
        test: rows and labels.
        task: what the labels are.
        classes: names of the classes; none for a regression.
        largest_error: for a regression, what no absolute error can exceed, where that is known.

    Raises:
        BadData: a model does not answer in the form that the labels need.
    """
    from model_builder.evaluation import speed

    answers: dict[str, NDArray[Any]] = {}
    scores: dict[str, Scores] = {}
    sessions: dict[str, onnxruntime.InferenceSession] = {}
    for suffix, path in models.items():
        twin = next((known for known in scores if same_bytes(models[known], path)), None)
        if twin is not None:  # the same bytes: comparing them leaves nothing to chance
            answers[suffix], scores[suffix], sessions[suffix] = answers[twin], scores[twin], sessions[twin]
            continue
        sessions[suffix] = graph.open_session(path)
        give_back()  # opening a model takes twice the memory that having it open does
        found = graph.predict(sessions[suffix], test.rows)
        answers[suffix] = _checked(found, test=test, task=task, classes=classes, model=NAMES[suffix])
        scores[suffix] = _score(answers[suffix], test=test, task=task, classes=classes, largest_error=largest_error)
    metrics = {name + suffix: m for suffix, found in scores.items() for name, m in found.metrics.items()}
    times = speed.times(sessions, test.rows)
    sessions.clear()  # before other processes open the same models once more
    give_back()
    for suffix, path in models.items():
        costs = times[suffix] | speed.loading(path, test.rows)
        metrics |= {name + suffix: Metric(value) for name, value in costs.items()}
    if SOURCE_SUFFIX in answers and task is not Task.REGRESSION:
        metrics |= against_source(answers[""], answers[SOURCE_SUFFIX], labels=test.labels, task=task)
    tables: dict[str, Any] = {NAMES[suffix]: found.tables for suffix, found in scores.items()}
    return Evaluation(
        metrics=metrics,
        parts={name + suffix: m for suffix, found in scores.items() for name, m in found.parts.items()},
        tables=tables | {"tradeOff": _trade_off(metrics, models=models, task=task)},
    )


def measure(*, source: Path, final: Path, test: Split) -> dict[str, Metric]:
    """The metrics of a model and of its source, where nothing but graphs and rows is at hand.

    What the labels are is told by their form, and the number of classes by the graph; classes have no names then.
    """
    import numpy

    if numpy.issubdtype(test.labels.dtype, numpy.floating):
        task, size = Task.REGRESSION, 0
    else:
        task = Task.CLASSIFICATION if test.labels.ndim == 1 else Task.TOKEN_CLASSIFICATION
        size = graph.interface(final)[1][0].shape[-1]
    classes = [str(number) for number in range(size)]
    return evaluate(models={"": final, SOURCE_SUFFIX: source}, test=test, task=task, classes=classes).metrics


def same_bytes(left: Path, right: Path) -> bool:
    """Whether two graphs are the same, files of data beside them included."""
    ours, theirs = graph_file.files(left), graph_file.files(right)
    pairs = zip(ours, theirs, strict=len(ours) == len(theirs))
    return len(ours) == len(theirs) and all(filecmp.cmp(a, b, shallow=False) for a, b in pairs)


def differences(evaluation: Evaluation, *, against: str) -> dict[str, dict[str, float | None]]:
    """Final model less the one with the suffix `against`, metric by metric, with exact 95 % bounds where there are any.

    Bounds of shares are those of the paired test; each bound is one-sided.
    """
    from model_builder import bounds
    from model_builder.evidence import difference, rounded

    table: dict[str, dict[str, float | None]] = {}
    for name, own in evaluation.metrics.items():
        other = evaluation.metrics.get(name + against)
        if other is None:
            continue
        table[name] = {"difference": rounded(own.value - other.value), "lower": None, "upper": None}
        if own.evidence is not None and other.evidence is not None:
            lower, upper = difference(own.evidence, other.evidence).bounds(bounds.ALPHA)
            table[name] |= {"lower": lower, "upper": upper}
    return table


def _checked(found: NDArray[Any], *, test: Split, task: Task, classes: Sequence[str], model: str) -> NDArray[Any]:
    """The answers in the shape of the labels, with one more dimension for probabilities."""
    import numpy

    if task is Task.REGRESSION and found.size == len(test.labels):
        found = found.reshape(len(test.labels))
    expected = test.labels.shape if task is Task.REGRESSION else (*test.labels.shape, len(classes))
    if found.shape != expected:
        raise BadData(
            f"the {model} model answers {len(test.labels)} test rows with an array of shape {found.shape}, but data of "
            f"the task {task} with {len(classes)} classes needs {expected}: model and data do not belong together"
        )
    if not numpy.isfinite(found).all():
        raise BadData(f"the {model} model answers test rows with NaN or infinite numbers: look at its last pass")
    return found


def _score(
    answers: NDArray[Any], *, test: Split, task: Task, classes: Sequence[str], largest_error: float | None
) -> Scores:
    from model_builder.evaluation import classification, regression, tokens

    if task is Task.REGRESSION:
        return regression.score(answers=answers, labels=test.labels, largest_error=largest_error)
    score = classification.score if task is Task.CLASSIFICATION else tokens.score
    return score(probabilities=answers, labels=test.labels, classes=classes)


def against_source(final: NDArray[Any], source: NDArray[Any], *, labels: NDArray[Any], task: Task) -> dict[str, Metric]:
    """How far the final model answers as the source does: agreement, and the largest fall of a class's recall.

    Args:
        final: probabilities, (n, classes) or (n, length, classes).
        source: likewise, of the same rows.
        labels: (n,) or (n, length).
        task: classification of rows or of tokens.
    """
    import numpy

    from model_builder import evidence
    from model_builder.evaluation import tokens
    from model_builder.evaluation.scores import metrics_of
    from model_builder.evidence import Evidence

    now, before = final.argmax(axis=-1), source.argmax(axis=-1)
    if task is Task.TOKEN_CLASSIFICATION:
        judged = numpy.where(labels < 0, labels, before)
        return metrics_of({"agreement": tokens.right_tokens(predicted=now, labels=judged)})
    right, was_right = now == labels, before == labels
    drops = tuple(evidence.paired(right[labels == c], was_right[labels == c]) for c in numpy.unique(labels))
    found: dict[str, Evidence] = {
        "agreement": evidence.share(now == before),
        "classRecallDrop": evidence.Combined(drops, max),
    }
    return metrics_of(found, rows=len(labels))


def _trade_off(metrics: Mapping[str, Metric], *, models: Mapping[str, Path], task: Task) -> list[dict[str, Any]]:
    """Quality, time and size of each model, for one picture."""
    quality = "rmse" if task is Task.REGRESSION else "accuracy"
    names = (quality, "latencyP50Ms", "rowsPerSecond", "sizeBytes")
    return [{"model": NAMES[s], **{name: metrics[name + s].value for name in names}} for s in models]
