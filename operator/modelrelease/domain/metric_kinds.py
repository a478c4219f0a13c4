"""What a gate on a metric of the build means: which direction is better, and what its rows have to show.

The builder's vocabulary (`docs/evaluation.md`); a test holds both to each other. A name that is not here, from a
builder of somebody else's, is better when it is higher, and has to be proven.
"""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a gate asks of the evidence."""

    HEADLINE = "Headline"  # passes only if the bound clears what the gate asks for
    TRIPWIRE = "Tripwire"  # fails only if harm is proven
    MEASURED = "Measured"  # not a matter of test rows: the number is judged as it is


_COST = frozenset(
    {
        "sizeBytes",
        "latencyP50Ms",
        "latencyP95Ms",
        "batchLatencyP50Ms",
        "batchLatencyP95Ms",
        "coldLoadMs",
        "peakMemoryBytes",
        "joulesPer1000",
    }
)
MEASURED = _COST | {
    "rowsPerSecond",
    "ece",
    "loss",
    "gradientMaskingSigns",
    "personalData",
    "completenessError",
    "attributionAgreement",
    "shapCompletenessError",
    "shapStability",
}
TRIPWIRES = frozenset(
    {
        "recall",
        "precision",
        "f1",
        "worstClassRecall",
        "classRecallDrop",
        "demographicParityGap",
        "equalisedOddsGap",
        "groupAccuracyGap",
        "groupAccuracy",
        "worstGroupAccuracy",
        "consistency",
        "counterfactualFlips",
        "fgsmAccuracy",
        "pgdAccuracy",
        "corruptionAccuracy",
        "membershipAdvantage",
        "surrogateFidelity",
    }
)
LOWER_IS_BETTER = _COST | {
    "brier",
    "ece",
    "loss",
    "rmse",
    "mae",
    "absoluteErrorP50",
    "absoluteErrorP90",
    "classRecallDrop",
    "demographicParityGap",
    "equalisedOddsGap",
    "groupAccuracyGap",
    "counterfactualFlips",
    "gradientMaskingSigns",
    "membershipAdvantage",
    "personalData",
    "completenessError",
    "shapCompletenessError",
}


def role(metric: str) -> Role:
    """Return what a gate on a metric asks of the evidence."""
    base = _base(metric)
    if base in MEASURED:
        return Role.MEASURED
    return Role.TRIPWIRE if base in TRIPWIRES else Role.HEADLINE


def lower_is_better(metric: str) -> bool:
    """Tell whether less of a metric is good news."""
    return _base(metric) in LOWER_IS_BETTER


def _base(metric: str) -> str:
    """Return the name without the part (`recall:3`) and the model (`accuracy.source`) it belongs to."""
    return metric.removesuffix(".source").removesuffix(".stable").partition(":")[0]
