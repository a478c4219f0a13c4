"""Summary, numbers and picture of a demo."""

import json
from dataclasses import replace

import pytest

from localcluster.demo import picture, summary
from localcluster.demo.checks import Check
from tests.demo import sample


@pytest.mark.deep
def test_the_summary_tells_acts_phases_and_every_kind_of_failure():
    lost = sample.request(at=200, revision="", ok=False, error="HTTP: no answer in 5 s")
    told = sample.told(extra=(lost,))
    text = summary.text(told)
    own = sum(not request.ok for request in told.requests) - 1
    assert "✔ act v2  (2:22)" in text
    assert "Building 0:55, Progressing 0:48, Baking 0:22, Ready 0:15" in text
    assert f"{own} x {sample.FAILED}" in text
    assert f"{own} requests were failed by v4 itself" in text
    assert "1 requests were lost beyond those\n    at 3:20 http: HTTP: no answer in 5 s" in text


@pytest.mark.deep
def test_the_demo_is_good_only_with_all_acts_as_told_and_nothing_lost():
    told = sample.told()
    assert told.ok
    assert not sample.told(extra=(sample.request(at=200, revision="r2", ok=False),)).ok
    assert sample.told(extra=(sample.request(at=370, revision="r4", ok=False),)).ok
    assert not replace(told, spans=told.spans[:-1]).ok
    assert not replace(told, checks={**told.checks, "v3": [Check(text="x", ok=False, found="y")]}).ok


@pytest.mark.deep
def test_a_failed_check_says_what_was_found():
    told = sample.told()
    text = summary.text(replace(told, checks={**told.checks, "v3": [Check(text="no traffic", ok=False, found="10 %")]}))
    assert "✘ act v3" in text
    assert "✘ no traffic: 10 %" in text


@pytest.mark.deep
def test_the_numbers_are_json_and_complete():
    told = sample.told()
    document = json.loads(json.dumps(summary.document(told), allow_nan=False))
    assert document["requests"]["total"] == len(told.requests)
    assert document["requests"]["lost"] == 0
    assert sum(count["ok"] + count["failed"] for count in document["requests"]["byVersion"].values()) == len(
        told.requests
    )
    assert round(sum(sum(series) for series in document["perSecond"]["requests"].values())) == len(told.requests)
    assert {failure["version"] for failure in document["failures"]} == {"v4"}


@pytest.mark.deep
def test_the_picture_is_drawn_also_of_a_demo_that_ended_early(tmp_path):
    whole = sample.told()
    picture.draw(told=whole, to=tmp_path / "whole.png")
    first = replace(
        whole,
        ended=sample.START + 120,
        spans=whole.spans[:3],
        moments=whole.moments[:2],
        names={"r1": "v1"},
        requests=[request for request in whole.requests if request.at < sample.START + 120],
    )
    picture.draw(told=first, to=tmp_path / "first.png")
    for name in ("whole.png", "first.png"):
        assert (tmp_path / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert (tmp_path / name).stat().st_size > 20_000
