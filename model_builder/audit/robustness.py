"""Robustness: how much accuracy is left under attack, and under what happens to data by itself.

Attacks are made with gradients of the torch twin and tried on the exported bytes. An attack by gradients says nothing
about a model that hides them, so what can't be true of honest gradients is looked for (Athalye et al., ICML 2018).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import numpy

from model_builder import bounds, evidence
from model_builder.audit import corruptions, gradients
from model_builder.audit.base import CLASSES, Audit, AuditResult, Subject, not_run
from model_builder.decode import Range
from model_builder.evaluation.scores import metrics_of
from model_builder.evidence import Evidence
from model_builder.gates import Gate
from model_builder.metrics import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

#: The share of right answers whose gradient may be zero before that counts as a sign.
_MOST_FLAT = 0.5


@dataclass(frozen=True)
class Parameters:
    """How strong the attacks are."""

    shares: Annotated[tuple[float, ...], Range(1, 8), "strengths of the attacks, as shares of the values' range"] = (
        field(default=(0.05, 0.1, 0.2))
    )
    rows: Annotated[int, Range(10, 100_000), "test rows that are attacked"] = 500


def run(*, subject: Subject, parameters: Parameters) -> AuditResult:
    """FGSM, PGD, noise of the same size, corruptions, and the signs of hidden gradients."""
    data = subject.data
    if not gradients.differentiable(data.test.rows):
        return not_run("robustness was not run: rows of whole numbers (tokens) can't be changed a little")
    random = numpy.random.default_rng(subject.seed)
    chosen = random.permutation(len(data.test.rows))[: parameters.rows]
    rows, labels = data.test.rows[chosen], data.test.labels[chosen]
    low, high = gradients.limits(data.train.rows)
    right = subject.classes(rows) == labels
    found, table = _corrupted(subject, rows, labels, low=low, high=high, random=random)
    tables: dict[str, Any] = {"corruptions": table, "clean": evidence.rounded(right.mean())}
    if subject.network is None:
        why = "gradients were not used: there is no torch twin of the exported model"
        return AuditResult(metrics=metrics_of(found), tables=tables, messages=(why,))
    attacks = _Attacks(subject, subject.network, rows, labels, low, high, random)
    curve, messages = [], []
    for share in parameters.shares:
        kept = {name: attacks.right(name, share=share) for name in ("fgsm", "pgd", "noise")}
        found[f"fgsmAccuracy:{share:g}"] = evidence.share(kept["fgsm"])
        found[f"pgdAccuracy:{share:g}"] = evidence.share(kept["pgd"])
        curve.append({"share": share, **{name: evidence.rounded(values.mean()) for name, values in kept.items()}})
        messages += _signs(kept, share=share)
    messages += attacks.flat_or_endless(right)
    signs = Metric(len(messages), len(rows))
    return AuditResult(
        metrics=metrics_of(found) | {"gradientMaskingSigns": signs},
        tables=tables | {"curve": curve},
        messages=tuple(messages),
    )


@dataclass(frozen=True)
class _Attacks:
    """One set of rows, attacked in several ways."""

    subject: Subject
    network: nn.Module
    rows: NDArray[Any]
    labels: NDArray[Any]
    low: NDArray[Any]
    high: NDArray[Any]
    random: numpy.random.Generator

    def right(self, name: str, *, share: float) -> NDArray[Any]:
        """(n,) which rows the exported model still answers rightly."""
        if name == "noise":
            moved = gradients.noise(self.rows, share=share, low=self.low, high=self.high, random=self.random)
        else:
            attack = gradients.fgsm if name == "fgsm" else gradients.pgd
            moved = attack(self.network, self.rows, self.labels, share=share, low=self.low, high=self.high)
        kept: NDArray[Any] = self.subject.classes(moved) == self.labels
        return kept

    def flat_or_endless(self, right: NDArray[Any]) -> list[str]:
        """Signs that need no strength: no gradient at all, and rows that hold out against any change."""
        slopes = gradients.of_loss(self.network, self.rows[right], self.labels[right]) if right.any() else self.rows[:0]
        flat = (slopes.reshape(len(slopes), -1) == 0).all(axis=1)
        signs = []
        if len(flat) and flat.mean() > _MOST_FLAT:
            signs.append(
                f"{flat.mean():.0%} of the rightly answered rows have no gradient: attacks by it prove nothing"
            )
        left = self.right("pgd", share=1.0)
        lower, _ = bounds.share(hits=int(left.sum()), rows=len(left))
        if lower > 1 / self.subject.data.num_classes:
            signs.append(
                f"{left.mean():.0%} of the rows withstand an attack that may change them to anything: its gradients "
                "lead nowhere"
            )
        return signs


def _signs(kept: dict[str, NDArray[Any]], *, share: float) -> list[str]:
    """Ten steps must do at least the harm of one, and of chance: what the paired rows disprove is a sign."""
    names = {"fgsm": "a single step", "noise": "noise of the same size"}
    return [
        f"at {share:g} of the range ten gradient steps leave {kept['pgd'].mean():.1%} right, and {what} only "
        f"{kept[name].mean():.1%}: gradients are hidden"
        for name, what in names.items()
        if _proven_better(kept["pgd"], kept[name])
    ]


def _proven_better(left: NDArray[Any], right: NDArray[Any]) -> bool:
    change = evidence.paired(left, right)
    return bounds.drop_is_below(rows=change.rows, better=change.better, worse=change.worse, margin=0.0)


def _corrupted(
    subject: Subject,
    rows: NDArray[Any],
    labels: NDArray[Any],
    *,
    low: NDArray[Any],
    high: NDArray[Any],
    random: numpy.random.Generator,
) -> tuple[dict[str, Evidence], list[dict[str, Any]]]:
    found: dict[str, Evidence] = {}
    table, every = [], []
    for name in corruptions.names_for(rows):
        kept = [
            subject.classes(corruptions.corrupt(rows, name=name, severity=s, low=low, high=high, random=random))
            == labels
            for s in corruptions.SEVERITIES
        ]
        every += kept
        found[f"corruptionAccuracy:{name}"] = evidence.mean(numpy.mean(kept, axis=0), low=0.0, high=1.0)
        table.append({"corruption": name, "accuracy": [evidence.rounded(values.mean()) for values in kept]})
    found["corruptionAccuracy"] = evidence.mean(numpy.mean(every, axis=0), low=0.0, high=1.0)
    return found, table


AUDIT = Audit(
    name="robustness",
    summary="attacks with FGSM and PGD, corrupts rows, and looks for hidden gradients",
    parameters=Parameters,
    run=run,
    gates=(Gate(metric="gradientMaskingSigns", threshold=0), Gate(metric="corruptionAccuracy", threshold=0.6)),
    tasks=CLASSES,
)
