"""Golden requests with labels, and comparisons that were declared: what the analysis makes of them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from modelrelease.domain.analysis import overall
from modelrelease.domain.analysis.golden import UNFIT
from modelrelease.domain.analysis.paired import of_signs
from modelrelease.domain.counts import GoldenComparison, Pairs
from modelrelease.domain.problem import Problem
from modelrelease.domain.status import VerdictValue

from tests.domain.test_analysis_judge import ERROR, FAIL, GOOD, INCONCLUSIVE, PASS, STABLE, at, blocks, check, look


def labelled(signs: tuple[int, ...]) -> GoldenComparison:
    return GoldenComparison(
        candidate="new", stable="old", at=at(1), rows=len(signs), largest=0.0, mean=0.0, signs=signs, message="differ"
    )


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ((1, 0, 1, 0, 0) * 30, FAIL),  # 40 of 100 inputs are answered worse
        ((1, 0, -1, 0, 0) * 30, INCONCLUSIVE),
        ((1,) * 4, INCONCLUSIVE),  # four rows prove nothing, whatever they say
        ((-1, 0, -1) * 30, PASS),
    ],
)
def test_labelled_golden_requests_tell_which_version_answers_better(
    signs: tuple[int, ...], expected: VerdictValue
) -> None:
    verdicts, state = look((), compared=labelled(signs))
    again, after = look((), state=state, compared=labelled(signs))
    told = verdicts["answers"]
    assert (told.verdict, told.samples) == (expected, len(signs))
    assert again["answers"] == told and after == state, "asked again they are no new evidence"
    assert (overall(verdicts.values()) is FAIL) is (expected is FAIL)


def test_golden_inputs_and_live_ones_are_one_test() -> None:
    made = blocks(4, stable=STABLE, candidate=replace(GOOD, pairs=Pairs(count=50, worse=3, better=0)))
    golden = labelled((1, 0, 0) * 8)
    for blocks_, compared, expected, count in ((made, None, INCONCLUSIVE, 200), ((), golden, INCONCLUSIVE, 24)):
        told = look(blocks_, compared=compared)[0]["answers"]
        assert (told.verdict, told.samples) == (expected, count)
    told = look(made, compared=golden)[0]["answers"]
    assert (told.verdict, told.samples) == (FAIL, 224)


@pytest.mark.parametrize("chance", [0.05, 0.2, 0.5])
def test_equal_versions_gain_nothing_from_labels_on_average(chance: float) -> None:
    total = 0.0
    for signs in itertools.product((-1, 0, 1), repeat=7):
        likely = math.prod(1.0 - 2.0 * chance if sign == 0 else chance for sign in signs)
        total += likely * math.exp(of_signs(signs).against)
    assert total <= 1.0 + 1e-9


def test_a_comparison_that_was_declared_and_cannot_be_made_is_an_error() -> None:
    problem = Problem(reason=UNFIT, message="golden.compare of output y: the model has no such output")
    verdicts, _ = look((), golden=(replace(check("new", 0), asked=0, problem=problem),))
    assert (verdicts["golden"].verdict, verdicts["golden"].advisory) == (ERROR, False)
