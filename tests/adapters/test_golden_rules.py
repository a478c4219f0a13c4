"""How answers are compared as a spec declares it, and which of two is better by the labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from modelrelease.adapters.triton.differences import compare, wrong
from modelrelease.adapters.triton.labels import IGNORED, Kind, signs
from modelrelease.adapters.triton.rules import Rules, apart, fitting, unfit
from modelrelease.domain.observed import Contract, Tensor
from modelrelease.domain.policy import OutputComparison, Tolerance, Top

from tests.adapters.test_differences import AT

NEAR = OutputComparison(output="y", tolerance=Tolerance(absolute=0.1, relative=0.01))
TOP = OutputComparison(output="y", top=Top(k=3, overlap=0.6))
SAME_WAY = OutputComparison(output="y", cosine=0.9)
EVERY = (NEAR, TOP, SAME_WAY)
tables = arrays.arrays(np.float64, (3, 5), elements=st.floats(-1e3, 1e3))


def table(*rows: list[float]) -> np.ndarray[Any, Any]:
    return np.array(rows, dtype=np.float64)


@pytest.mark.parametrize(
    ("rule", "found", "wanted", "differs"),
    [
        (NEAR, [100.0, 0.0], [101.0, 0.1], False),  # 0.1 and 1 % of 101
        (NEAR, [99.8, 0.0], [101.0, 0.0], True),
        (NEAR, [101.105, 0.0], [100.0, 0.0], True),  # a share of what is expected, not of what is found
        (NEAR, [0.0, 0.0], [0.0, 0.11], True),
        (TOP, [9.0, 8.0, 7.0, 0.0, 0.0], [7.0, 9.0, 0.0, 8.0, 0.0], False),  # two of three, in another order
        (TOP, [9.0, 8.0, 7.0, 0.0, 0.0], [0.0, 0.0, 7.0, 8.0, 9.0], True),  # one of three
        (SAME_WAY, [2.0, 0.0], [7.0, 0.5], False),
        (SAME_WAY, [2.0, 0.0], [-2.0, 0.0], True),
        (SAME_WAY, [0.0, 0.0], [0.0, 0.0], False),
        (SAME_WAY, [0.0, 0.0], [1.0, 0.0], True),
    ],
)
def test_each_way_to_compare_has_its_line(
    rule: OutputComparison, found: list[float], wanted: list[float], differs: bool
) -> None:
    rows, said = apart(rule, table(wanted, found), table(wanted, wanted))
    assert rows.tolist() == [False, differs]
    assert "allowed" in said


@given(one=tables)
@pytest.mark.parametrize("rule", EVERY)
def test_an_answer_agrees_with_itself(rule: OutputComparison, one: np.ndarray[Any, Any]) -> None:
    assert not apart(rule, one, one)[0].any()


@given(one=tables, other=tables)
@pytest.mark.parametrize("rule", [TOP, SAME_WAY])
def test_places_and_directions_do_not_depend_on_the_scale(
    rule: OutputComparison, one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]
) -> None:
    assert apart(rule, one, other)[0].tolist() == apart(rule, 4 * one, other)[0].tolist()


def test_a_declared_output_is_compared_so_and_the_others_by_the_tolerance() -> None:
    rules = Rules(tolerance=0.5, declared={"y": TOP})
    good, turned = table([5.0, 4, 3, 0, 0]), table([3.0, 4, 5, 0, 0])
    shifted = table([0.0, 0, 3, 4, 5])
    assert wrong({"y": turned, "z": good}, {"y": good, "z": good}, rules=rules) is None
    found = wrong({"y": shifted, "z": good}, {"y": good, "z": good}, rules=rules)
    assert found == "output y shares 0.333 of its 3 largest, 0.6 is allowed (in 1 of 1 rows)"
    assert wrong({"y": good, "z": turned}, {"y": good, "z": good}, rules=rules) == (
        "output z is off by 2, and 0.5 is allowed"
    )


def test_two_revisions_are_compared_as_declared_too() -> None:
    pairs = [({"y": table([9.0, 8, 7, 0, 0])}, {"y": table([7.0, 8, 9, 0, 0])})]

    def changed(declared: dict[str, OutputComparison]) -> tuple[int, int, str]:
        rules = Rules(tolerance=0.5, declared=declared)
        found = compare(pairs, rules=rules, signs=(1, 1, -1, 0), candidate="b", stable="a", rows=4, at=AT)
        assert found.signs == (1, 1, -1, 0)
        return found.choices, found.changed, found.message

    assert changed({"y": TOP})[:2] == (1, 0)
    choices, count, said = changed({})
    assert (choices, count) == (1, 1)
    assert said.endswith("of 4 labelled inputs the candidate answers 2 worse and 1 better")


def tensor(name: str, datatype: str = "FP32", shape: tuple[int, ...] = (5,)) -> Tensor:
    return Tensor(name=name, datatype=datatype, shape=shape)


@pytest.mark.parametrize(
    ("rule", "outputs", "said"),
    [
        (TOP, (tensor("z"),), "the model has no such output, it has z"),
        (NEAR, (tensor("y", "BYTES"),), "it is BYTES"),
        (TOP, (tensor("y", shape=(3,)),), "top.k is 3, and a row has 3 numbers"),
        (SAME_WAY, (tensor("y", shape=()),), "a row has one number"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(
    rule: OutputComparison, outputs: tuple[Tensor, ...], said: str
) -> None:
    contract = Contract(inputs=(), outputs=outputs)
    told = unfit(rule, contract)
    assert told is not None and told.startswith("golden.compare of output y: ") and said in told
    assert fitting((rule,), contract) == {}


def test_what_fits_is_applied() -> None:
    contract = Contract(inputs=(), outputs=(tensor("y", shape=(2, -1)),))
    assert [fitting((rule,), contract) for rule in EVERY] == [{"y": rule} for rule in EVERY]


def test_labels_tell_the_better_class() -> None:
    right, wrong_ = [0.9, 0.1], [0.1, 0.9]
    mine, theirs = table(right, wrong_, right, wrong_), table(right, right, wrong_, wrong_)
    assert signs(mine, theirs, np.zeros(4), kind=Kind.CLASS, tolerance=9) == (0, 1, -1, 0)


def test_of_a_text_the_tokens_that_are_judged_are_counted() -> None:
    one, zero = [0.0, 1.0], [1.0, 0.0]
    mine = np.array([[one, one, one], [one, zero, zero]])
    theirs = np.array([[zero, one, zero], [zero, one, one]])
    labels = np.array([[1, 1, IGNORED], [1, IGNORED, IGNORED]])
    assert signs(mine, theirs, labels, kind=Kind.CLASS, tolerance=0) == (-1, -1)


def test_labels_tell_the_nearer_number_but_not_by_a_hair() -> None:
    mine, theirs, labels = table([3.0], [3.0], [3.0]), table([5.0], [3.2], [2.0]), table([4.5], [3.0], [2.0])
    assert signs(mine, theirs, labels, kind=Kind.VALUE, tolerance=0.5) == (1, 0, 1)


@given(mine=tables, theirs=tables, labels=arrays.arrays(np.int64, (3,), elements=st.integers(0, 4)))
def test_whoever_is_worse_the_other_one_is_better(
    mine: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]
) -> None:
    there = signs(mine, theirs, labels, kind=Kind.CLASS, tolerance=0)
    back = signs(theirs, mine, labels, kind=Kind.CLASS, tolerance=0)
    assert there == tuple(-sign for sign in back)
