"""Which parts of a row an answer rests on: Integrated Gradients on the torch twin, occlusion on the exported bytes.

Integrated Gradients (Sundararajan et al., ICML 2017) add up to the answer less that of a baseline; what is missing of
that is the completeness error, and a large one means that gradients do not describe the model. Occlusion (Zeiler and
Fergus, ECCV 2014) needs no gradients; that the two agree is a check of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder.audit import gradients
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject, not_run
from model_builder.decode import Range
from model_builder.evidence import rounded
from model_builder.gates import Gate
from model_builder.metrics import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

_PICTURES, _MOST_VALUES = 4, 4096


@dataclass(frozen=True)
class Parameters:
    """How much is looked at, and how finely."""

    rows: Annotated[int, Range(2, 1000), "test rows that are explained"] = 24
    steps: Annotated[int, Range(4, 1000), "points on the way from the baseline to a row"] = 64


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """Explain some test rows against the mean of the training rows."""
    data = subject.data
    if not gradients.differentiable(data.test.rows):
        return not_run("explain was not run: rows of whole numbers (tokens) have no gradients; see attention")
    chosen = numpy.random.default_rng(subject.seed).permutation(len(data.test.rows))[: parameters.rows]
    rows = data.test.rows[chosen]
    baseline = data.train.rows.mean(axis=0, dtype=float).astype(rows.dtype)
    classes = subject.classes(rows)
    hidden = occlusion(subject, rows, classes, baseline=baseline) if rows[0].size <= _MOST_VALUES else None
    strength = None if hidden is None else numpy.abs(hidden).mean(axis=0)
    tables: dict[str, Any] = {"occlusion": None if strength is None else _plain(strength)}
    if subject.network is None:
        return AuditResult(tables=tables, messages=("gradients were not used: there is no torch twin",))
    parts = integrated_gradients(subject.network, rows, classes, baseline=baseline, steps=parameters.steps)
    error = completeness_error(subject.network, rows, classes, baseline=baseline, parts=parts)
    metrics = {"completenessError": Metric(rounded(error), len(rows))}
    if hidden is not None:
        metrics["attributionAgreement"] = Metric(rounded(rank_correlation(parts, hidden)), len(rows))
    tables["integratedGradients"] = {
        "mean": _plain(numpy.abs(parts).mean(axis=0)),
        "rows": [
            {"class": data.classes[int(c)], "row": _plain(row), "parts": _plain(part)}
            for row, part, c in zip(rows[:_PICTURES], parts[:_PICTURES], classes[:_PICTURES], strict=True)
        ],
    }
    return AuditResult(metrics=metrics, tables=tables)


def integrated_gradients(
    network: nn.Module, rows: NDArray[Any], classes: NDArray[Any], *, baseline: NDArray[Any], steps: int
) -> NDArray[Any]:
    """(n, ...) what each value adds to the logit of the row's class, by the midpoint rule along a straight way."""
    total = numpy.zeros(rows.shape)
    for step in range(steps):
        between = baseline + (step + 0.5) / steps * (rows - baseline)
        total += gradients.of_answer(network, between.astype(rows.dtype), classes)
    parts: NDArray[Any] = total / steps * (rows - baseline)
    return parts


def completeness_error(
    network: nn.Module, rows: NDArray[Any], classes: NDArray[Any], *, baseline: NDArray[Any], parts: NDArray[Any]
) -> float:
    """Mean |sum of parts - (logit of the row - logit of the baseline)|, relative to the mean of that difference."""
    import torch

    with torch.inference_mode():
        ends = network(torch.from_numpy(rows)).numpy()
        start = network(torch.from_numpy(baseline[None])).numpy()[0]
    risen = ends[numpy.arange(len(rows)), classes].astype(float) - start[classes]
    missing = numpy.abs(parts.reshape(len(rows), -1).sum(axis=1) - risen)
    return float(missing.mean() / max(float(numpy.abs(risen).mean()), 1e-12))


def occlusion(subject: Subject, rows: NDArray[Any], classes: NDArray[Any], *, baseline: NDArray[Any]) -> NDArray[Any]:
    """(n, ...) how far the probability of the row's class falls when one value becomes that of the baseline."""
    everyone = numpy.arange(len(rows))
    before = subject.predict(rows)[everyone, classes]
    flat, plain = rows.reshape(len(rows), -1), baseline.reshape(-1)
    falls = numpy.zeros(flat.shape)
    for place in range(flat.shape[1]):
        changed = flat.copy()
        changed[:, place] = plain[place]
        falls[:, place] = before - subject.predict(changed.reshape(rows.shape))[everyone, classes]
    return falls.reshape(rows.shape)


def rank_correlation(left: NDArray[Any], right: NDArray[Any]) -> float:
    """Spearman's correlation of how strong the values are on the average, whatever their sign."""
    from scipy import stats  # type: ignore[import-untyped]

    strengths = [numpy.abs(part).mean(axis=0).ravel() for part in (left, right)]
    if any(numpy.ptp(strength) == 0 for strength in strengths):
        return 0.0
    return float(stats.spearmanr(*strengths).statistic)


def _plain(values: NDArray[Any]) -> Any:
    return numpy.round(values.astype(float), 6).tolist()


AUDIT = Audit(
    name="explain",
    summary="tells what answers rest on: Integrated Gradients with their completeness error, occlusion",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="completenessError", threshold=0.05),),
    tasks=CLASSES,
)
