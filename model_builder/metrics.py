"""The metrics a build reports: their names, their direction, what a gate on them means, and the value of each.

`NAME.source` is the same metric of the source model and `NAME.stable` that of the stable artifact, on the same rows.
`NAME:PART` is the metric of one part: a class (`recall:3`), a group (`groupAccuracy:sex=F`), an attack
(`pgdAccuracy:0.1`). Standard library only.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model_builder.evidence import Evidence

SOURCE_SUFFIX, STABLE_SUFFIX = ".source", ".stable"


class Role(enum.Enum):
    """What a gate on a metric asks for."""

    #: Pass only if the bound clears what the gate asks for.
    HEADLINE = "Headline"
    #: Fail only if harm is proven.
    TRIPWIRE = "Tripwire"
    #: Not a matter of test rows: the number is what was measured, and is judged as it is.
    MEASURED = "Measured"


class Better(enum.Enum):
    """Direction of a metric."""

    MORE = "More"
    LESS = "Less"


@dataclass(frozen=True)
class Kind:
    """What a metric is.

    Attributes:
        better: direction.
        role: what a gate on it means.
        summary: what it says.
    """

    better: Better
    role: Role
    summary: str

    @property
    def higher_is_better(self) -> bool:
        """True if a rise is good news."""
        return self.better is Better.MORE


_MORE, _LESS = Better.MORE, Better.LESS
_H, _T, _M = Role.HEADLINE, Role.TRIPWIRE, Role.MEASURED

METRICS: Mapping[str, Kind] = {
    # classification, and tokens
    "accuracy": Kind(
        _MORE, _H, "share of test rows (of tokens, where those have the labels) that are answered rightly"
    ),
    "macroRecall": Kind(_MORE, _H, "mean of the classes' recalls"),
    "macroF1": Kind(_MORE, _H, "mean of the classes' F1 scores"),
    "auroc": Kind(_MORE, _H, "mean over the classes of the area under the ROC curve, each class against the rest"),
    "brier": Kind(_LESS, _H, "mean squared distance between probabilities and truth, 0 to 2"),
    "entityF1": Kind(_MORE, _H, "F1 score of whole entities: first token, last token and type must be right"),
    "agreement": Kind(
        _MORE, _H, "share of test rows on which the final model names the same class as the source model"
    ),
    "ece": Kind(_LESS, _M, "expected calibration error: how far confidence is from being right, in ten bins"),
    "recall": Kind(_MORE, _T, "share of the rows of a class that are recognised"),
    "precision": Kind(_MORE, _T, "share of the rows taken for a class that are of it"),
    "f1": Kind(_MORE, _T, "harmonic mean of precision and recall of a class"),
    "worstClassRecall": Kind(_MORE, _T, "recall of the class that is recognised least often on the test rows"),
    "classRecallDrop": Kind(_LESS, _T, "largest fall of a class's recall against the source model"),
    # regression
    "rmse": Kind(_LESS, _H, "root of the mean squared error"),
    "mae": Kind(_LESS, _H, "mean absolute error"),
    "r2": Kind(_MORE, _H, "share of the variance of the labels that is explained"),
    "absoluteErrorP50": Kind(_LESS, _H, "what half of the absolute errors stay below"),
    "absoluteErrorP90": Kind(_LESS, _H, "what nine tenths of the absolute errors stay below"),
    # cost
    "sizeBytes": Kind(_LESS, _M, "size of model.onnx"),
    "latencyP50Ms": Kind(_LESS, _M, "median time of one row in ONNX Runtime on one CPU thread, in milliseconds"),
    "latencyP95Ms": Kind(_LESS, _M, "95th percentile of the time of one row, in milliseconds"),
    "batchLatencyP50Ms": Kind(_LESS, _M, "median time of a batch of 32 rows, in milliseconds"),
    "batchLatencyP95Ms": Kind(_LESS, _M, "95th percentile of the time of a batch of 32 rows, in milliseconds"),
    "rowsPerSecond": Kind(_MORE, _M, "rows answered per second in batches of 32, on one CPU thread"),
    "coldLoadMs": Kind(_LESS, _M, "from opening the model in a new process to its first answer, in milliseconds"),
    "peakMemoryBytes": Kind(_LESS, _M, "memory that a new process needs for the model and a batch of 32 rows"),
    # audits
    "demographicParityGap": Kind(_LESS, _T, "largest gap between groups in how often they get an answer"),
    "equalisedOddsGap": Kind(_LESS, _T, "largest gap between groups in true or false positive rates"),
    "groupAccuracyGap": Kind(_LESS, _T, "accuracy of the best group less that of the worst one"),
    "groupAccuracy": Kind(_MORE, _T, "accuracy on the rows of a group"),
    "worstGroupAccuracy": Kind(_MORE, _T, "accuracy on the group that is served worst"),
    "consistency": Kind(_MORE, _T, "share of the nearest training rows that get the same answer as a test row"),
    "counterfactualFlips": Kind(_LESS, _T, "share of test rows whose answer changes with the sensitive field alone"),
    "fgsmAccuracy": Kind(_MORE, _T, "accuracy under one step of the gradient's sign, of the given share of the range"),
    "pgdAccuracy": Kind(_MORE, _T, "accuracy under ten projected gradient steps within the given share of the range"),
    "corruptionAccuracy": Kind(
        _MORE, _T, "accuracy on corrupted rows: noise, lost values, brightness, contrast, shift"
    ),
    "gradientMaskingSigns": Kind(_LESS, _M, "signs that gradients are hidden, so that attacks by them prove nothing"),
    "membershipAdvantage": Kind(_LESS, _T, "how much better than chance an attacker tells training rows from others"),
    "personalData": Kind(_LESS, _M, "texts of the bundle that hold personal data"),
    "completenessError": Kind(_LESS, _M, "share of an answer that Integrated Gradients does not account for"),
    "attributionAgreement": Kind(_MORE, _M, "rank correlation of Integrated Gradients and occlusion"),
    "shapCompletenessError": Kind(_LESS, _M, "share of an answer that Shapley values do not account for"),
    "shapStability": Kind(_MORE, _M, "rank correlation of two estimates of the Shapley values"),
    "surrogateFidelity": Kind(_MORE, _T, "share of test rows on which a small decision tree answers as the model does"),
    "joulesPer1000": Kind(_LESS, _M, "energy of 1000 answers of one row, as the machine's own meter tells it"),
}


@dataclass(frozen=True)
class Metric:
    """One measured value.

    Attributes:
        value: the estimate.
        rows: how many rows of the test split it was measured on; None where rows mean nothing.
        lower: exact one-sided 95 % lower bound; None where there is none.
        upper: exact one-sided 95 % upper bound; None where there is none.
        evidence: what the value was computed from, for comparisons; not written down.
    """

    value: float
    rows: int | None = None
    lower: float | None = None
    upper: float | None = None
    evidence: Evidence | None = field(default=None, compare=False, repr=False)

    def to_json(self) -> dict[str, float | int]:
        """As it appears in the result and in the manifest."""
        known = {"value": self.value, "rows": self.rows, "lower": self.lower, "upper": self.upper}
        return {name: value for name, value in known.items() if value is not None}


def kind_of(name: str) -> Kind | None:
    """What `name` is, its part and the model it belongs to left aside; None if there is no such metric."""
    return METRICS.get(base_name(name))


def base_name(name: str) -> str:
    """The name in `METRICS` that a metric's name begins with."""
    return name.removesuffix(SOURCE_SUFFIX).removesuffix(STABLE_SUFFIX).partition(":")[0]
