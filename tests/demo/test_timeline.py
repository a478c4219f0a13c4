import math

import pytest

from localcluster.demo import timeline
from localcluster.demo.records import Count, Recorder
from tests.demo import sample
from tests.demo.sample import START, request


def test_a_failure_that_v4_answered_itself_is_not_lost_and_every_other_is():
    own = request(at=1, revision="r4", ok=False)
    stable = request(at=2, revision="r2", ok=False)
    nobody = request(at=3, revision="", ok=False, error="HTTP: no answer in 5 s")
    stranger = request(at=4, revision="unheard-of", ok=False)
    good = request(at=5, revision="r4")
    found = timeline.lost([own, stable, nobody, stranger, good], names=sample.NAMES, expected="v4")
    assert found == [stable, nobody, stranger]


def test_counts_by_revision_become_counts_by_version():
    counts = timeline.tally(
        [request(at=1), request(at=2, ok=False), request(at=3, revision=""), request(at=4, revision="x")]
    )
    named = timeline.by_version(counts, names={**sample.NAMES, "again": "v1"})
    assert named == {"v1": Count(ok=1, failed=1), timeline.NOBODY: Count(ok=1), "x": Count(ok=1)}
    two = timeline.by_version({"r1": Count(ok=2), "again": Count(failed=3)}, names={"r1": "v1", "again": "v1"})
    assert two == {"v1": Count(ok=2, failed=3)}


def test_the_recorder_counts_as_it_writes_down():
    recorder = Recorder()
    requests = [request(at=1), request(at=2, ok=False), request(at=9, revision="r2")]
    for one in requests:
        recorder.add(one)
    assert recorder.counts() == timeline.tally(requests)
    assert recorder.since(START + 2) == requests[:0:-1]


def test_recent_requests_are_found_although_answers_come_out_of_order():
    recorder = Recorder()
    slow, quick = request(at=10), request(at=12)
    for one in (quick, slow):  # the one that was sent earlier is answered later
        recorder.add(one)
    assert recorder.since(START + 11) == [quick]
    assert set(recorder.since(START + 10)) == {slow, quick}


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 2.0), (0.95, 4.0), (1.0, 4.0)])
def test_quantile(share, value):
    assert timeline.quantile([4.0, 1.0, 3.0, 2.0], share) == value
    assert math.isnan(timeline.quantile([], share))


def test_slices_hold_rate_error_ratio_and_latency_of_each_version():
    requests = [
        request(at=0.2, latency_ms=1),
        request(at=0.9, latency_ms=9),
        request(at=2.5, ok=False, latency_ms=2),
        request(at=2.6, revision="r2", latency_ms=5),
        request(at=99),
    ]
    cut = timeline.bins(requests, names=sample.NAMES, start=START, end=START + 3, width=1.0)
    assert cut.edges == (0.0, 1.0, 2.0)
    assert cut.rate == {"v1": (2.0, 0.0, 1.0), "v2": (0.0, 0.0, 1.0)}
    assert cut.error_ratio["v1"][0] == 0.0
    assert math.isnan(cut.error_ratio["v1"][1])
    assert cut.error_ratio["v1"][2] == 1.0
    assert cut.p95_ms["v1"][0] == 9
    assert cut.p95_ms["v2"][2] == 5


def test_a_request_without_answer_has_no_latency():
    cut = timeline.bins([request(at=0.5, revision="", ok=False)], names={}, start=START, end=START + 1)
    assert cut.error_ratio[timeline.NOBODY] == (1.0,)
    assert math.isnan(cut.p95_ms[timeline.NOBODY][0])


def test_shares_are_steps_that_sum_to_the_whole_once_a_version_is_stable():
    times, shares = timeline.share_steps(
        sample.moments(), versions=("v4", "v3", "v2", "v1"), start=START, end=sample.END
    )
    assert times == [60, 110, 170, 186, 202, 218, 240, 365, 381, 405]
    assert shares["v2"] == [0, 0, 10, 25, 50, 100, 100, 90, 100, 100]
    assert shares["v4"] == [0, 0, 0, 0, 0, 0, 0, 10, 0, 0]
    assert shares["v3"] == [0] * len(times)
    assert [sum(column) for column in zip(*shares.values(), strict=True)] == [0, *[100] * (len(times) - 1)]


def test_time_in_each_phase_is_told_by_act():
    found = timeline.phase_seconds(sample.moments(), end=sample.END)
    assert found["v2"] == {"Building": 55, "Progressing": 48, "Baking": 22, "Ready": 15}
    assert found["revert"] == {"Ready": 10}
    assert sum(sum(phases.values()) for phases in found.values()) == 405 - 60


def test_what_is_left_never_falls_below_the_acts_to_come():
    expected = (10.0, 20.0, 30.0)
    assert timeline.remaining(expected=expected, current=0, spent=0) == 60
    assert timeline.remaining(expected=expected, current=1, spent=5) == 45
    assert timeline.remaining(expected=expected, current=1, spent=500) == 30
    assert timeline.remaining(expected=expected, current=3, spent=0) == 0


def test_failures_are_grouped_the_most_frequent_first():
    requests = [request(at=1, ok=False, error=text) for text in ("a", "b", "b")] + [request(at=2)]
    assert timeline.failures(requests) == [("b", 2), ("a", 1)]
    numbered = [request(at=at, ok=False, error=f"idx={at} is out of bounds") for at in (17, 18, 19)]
    assert timeline.failures(numbered) == [("idx=17 is out of bounds", 3)]
