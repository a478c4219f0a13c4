"""How answers differ: from the expected ones, and between two revisions."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from modelrelease.adapters.triton.differences import compare, wrong
from modelrelease.adapters.triton.rules import Rules
from modelrelease.domain.counts import GoldenComparison
from numpy.typing import NDArray

AT = datetime(2026, 11, 1, tzinfo=UTC)
tables = arrays.arrays(np.float64, (3, 4), elements=st.floats(-1e3, 1e3))


def plain(tolerance: float) -> Rules:
    return Rules(tolerance=tolerance, declared={})


def compared(*pairs: tuple[NDArray[Any], NDArray[Any]], rows: int = 3) -> GoldenComparison:
    return compare(
        [({"y": mine}, {"y": theirs}) for mine, theirs in pairs],
        rules=plain(0.1),
        signs=(),
        candidate="b",
        stable="a",
        rows=rows,
        at=AT,
    )


@given(table=tables, off=st.floats(-1, 1), tolerance=st.floats(0, 1), place=st.integers(0, 11))
def test_one_number_off_by_more_than_the_tolerance_is_wrong(
    table: NDArray[np.float64], off: float, tolerance: float, place: int
) -> None:
    moved = table.copy()
    moved.flat[place] += off
    found = wrong({"y": moved}, {"y": table}, rules=plain(tolerance))
    assert (found is not None) == (abs(moved.flat[place] - table.flat[place]) > tolerance)


def test_what_is_no_number_is_the_same_or_wrong() -> None:
    words, other = np.array([[b"a", b"b"]], dtype=object), np.array([[b"a", b"c"]], dtype=object)
    assert wrong({"y": words}, {"y": words}, rules=plain(0.1)) is None
    assert (
        wrong({"y": other}, {"y": words}, rules=plain(9.0)) == "1 of the 2 values of output y are not the expected ones"
    )
    assert wrong({"y": np.array([[True]])}, {"y": np.array([[False]])}, rules=plain(9.0)) is not None


def test_whole_numbers_have_a_tolerance_too() -> None:
    assert wrong({"y": np.array([[3]])}, {"y": np.array([[5]])}, rules=plain(2.0)) is None
    assert wrong({"y": np.array([[200]], np.uint8)}, {"y": np.array([[255]], np.uint8)}, rules=plain(2.0)) is not None


@given(table=tables)
def test_the_same_answers_have_no_difference(table: NDArray[np.float64]) -> None:
    found = compared((table, table))
    assert (found.largest, found.mean, found.choices, found.changed) == (0, 0, 3, 0)


@given(one=tables, other=tables)
def test_it_does_not_matter_whose_answer_is_whose(one: NDArray[np.float64], other: NDArray[np.float64]) -> None:
    there, back = compared((one, other)), compared((other, one))
    assert (there.largest, there.mean, there.changed) == (back.largest, back.mean, back.changed)
    assert there.largest == np.abs(one - other).max()
    assert there.mean == pytest.approx(np.abs(one - other).mean())


def test_numbers_and_choices_are_told() -> None:
    one, other = np.array([[0.2, 0.8], [0.9, 0.1]]), np.array([[0.6, 0.4], [0.9, 0.1]])
    assert compared((one, other), rows=2).message == (
        "candidate and stable, asked the same 2 golden rows, differ by 0.4 at most and 0.2 on average, "
        "and choose another value 1 of 2 times"
    )


def test_one_number_per_row_is_no_choice() -> None:
    found = compared((np.array([[1.0], [2.0]]), np.array([[1.5], [2.0]])), rows=2)
    assert (found.choices, found.largest, found.mean) == (0, 0.5, 0.25)
    assert found.message.endswith("differ by 0.5 at most and 0.25 on average")


def test_words_are_choices_and_no_numbers() -> None:
    words, other = np.array([[b"a"], [b"b"]], dtype=object), np.array([[b"a"], [b"c"]], dtype=object)
    found = compared((words, other), rows=2)
    assert (found.largest, found.choices, found.changed) == (0, 2, 1)
    assert found.message == "candidate and stable, asked the same 2 golden rows, choose another value 1 of 2 times"
