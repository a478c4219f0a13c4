"""`traffic.csv`: what is read from it, and the one sentence about what can't be."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from modelrelease.simulate.table import TableError, read_table
from modelrelease.simulate.tape import Version

HEADER = "t,arm,requests,failures"
GOOD = f"{HEADER}\n-15,stable,100,1\n15,stable,95,1\n15,candidate,100,2\n30,stable,95,0\n30,candidate,90,0\n"


def test_rows_are_read_by_version_and_time() -> None:
    tape = read_table(f"{HEADER},pod\n30,stable,5,1,b\n15,candidate,7,0,a\n15,stable,4,0,a\n-15,stable,3,3,a\n")
    assert [(row.t, row.pod, row.requests, row.failures) for row in tape.rows[Version.STABLE]] == [
        (-15, "a", 3, 3),
        (15, "a", 4, 0),
        (30, "b", 5, 1),
    ]
    assert tape.rows[Version.SHADOW] == ()
    assert tape.end == 30


def test_a_lost_scrape_does_not_change_the_spacing() -> None:
    rows = "".join(
        f"{t},{arm},10,0\n" for t in range(10, 300, 10) if t not in (50, 60) for arm in ("stable", "candidate")
    )
    assert read_table(f"{HEADER}\n{rows}").scrape == 10


def test_everything_that_may_be_counted_is_read() -> None:
    names = "le_inf,le_250,le_50,score_sum,score_count,pairs,worse,better,class_cat,class_dog,routed"
    tape = read_table(
        f"{HEADER},{names}\n15,stable,10,1,10,9,5,2.5,10,8,1,2,4,5,12\n"
        "15,candidate,10,1,8,8,8,0,0,0,0,0,0,0,10\n30,candidate,10,1,8,8,8,0,0,0,0,0,0,0,10\n"
    )
    row = tape.rows[Version.STABLE][0]
    assert tape.bounds == (50, 250)
    assert row.within == (5, 9, 10)
    assert (row.score, row.pairs, row.classes, row.routed) == ((2.5, 10), (8, 1, 2), (4, 5), 12)
    assert tape.classes == ("cat", "dog")
    assert tape.notes == ()


def test_without_latency_every_answer_is_fast_and_the_tape_says_so() -> None:
    tape = read_table(GOOD)
    assert all(row.within == (row.requests, row.requests) for row in tape.rows[Version.STABLE])
    assert "latency" in tape.notes[0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the table is empty"),
        ("t;arm;requests;failures\n", "separate columns by commas"),
        ("t,arm,requests\n", "no column failures"),
        (f"{HEADER},request\n", "'request' is not known; did you mean"),
        (f"{HEADER},t\n", "has the column t twice"),
        (f"{HEADER},le_50\n", "no column le_inf"),
        (f"{HEADER},le_fast,le_inf\n", "'le_fast' has no bound"),
        (f"{HEADER},le_inf\n", "le_inf alone"),
        (f"{HEADER},pairs,worse\n", "no column better"),
        (f"{HEADER}\n15,stable,1\n", "line 2: has 3 values where the header has 4 columns"),
        (f"{HEADER}\n15,canary,1,0\n", "line 2, column arm: 'canary' is not known"),
        (f"{HEADER}\n15,stable,many,0\n", "line 2, column requests: 'many' is not a number"),
        (f"{HEADER}\n15,stable,nan,0\n", "column requests: 'nan' is not a finite number"),
        (f"{HEADER}\n15,stable,-3,0\n", "column requests: '-3' is negative"),
        (f"{HEADER}\n15,stable,2.5,0\n", "column requests: '2.5' is not a whole number"),
        (f"{HEADER}\n15,stable,3,4\n", "column failures: '4' is more than the 3 requests"),
        (f"{GOOD}15,stable,3,1\n", "line 7, column t: 15 is there twice for stable"),
        (f"{HEADER},le_5,le_inf\n15,stable,3,1,3,2\n", "column le_inf: '2' is less than the 3"),
        (
            f"{HEADER},score_sum,score_count\n15,stable,3,1,4,3\n",
            "column score_sum: '4' is not from 0 to score_count, 3",
        ),
        (f"{HEADER},pairs,worse,better\n15,stable,3,1,2,2,1\n", "column pairs: '2' is less than worse and better"),
        (f"{HEADER},class_a,class_b\n15,stable,3,1,2,2\n", "column class_b: '2' makes 4"),
        (f"{HEADER},routed\n15,stable,3,1,2\n", "column routed: '2' is less than the 3"),
        (f"{HEADER}\n15,stable,3,1\n30,stable,3,1\n", "no row of candidate"),
        (f"{HEADER}\n15,stable,3,1\n15,candidate,3,1\n", "one scrape only"),
        (f'{HEADER}\n15,"stable,3,1\n', "line 2"),
    ],
)
def test_a_bad_table_is_refused_with_line_column_value_and_fix(text: str, says: str) -> None:
    with pytest.raises(TableError) as refused:
        read_table(text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


CELL = st.one_of(
    st.sampled_from(["stable", "candidate", "shadow", "15", "-15", "30", "0", "nan", "1e999", "", "-1", "2.5", '"']),
    st.text(max_size=6),
    st.integers(-5, 10**19).map(str),
)


@given(st.lists(st.lists(CELL, min_size=3, max_size=7), max_size=6), st.sampled_from(["", ",pod", ",le_5,le_inf"]))
@example([["15", "stable", "1_000", "0"], ["15", "candidate", "٣", "0"], ["30", "stable", "1", "0"]], "")
def test_any_text_is_read_or_refused(rows: list[list[str]], more: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([*[(HEADER + more).split(",")], *rows])
    try:
        tape = read_table(text.getvalue())
    except TableError:
        return
    assert tape.scrape > 0
    assert all(0 <= row.failures <= row.requests == row.within[-1] or more for v in tape.rows.values() for row in v)


@given(st.text(max_size=200))
def test_any_garbage_is_refused(text: str) -> None:
    with pytest.raises(TableError):
        read_table(text)
