"""The peers' rules on traffic whose course is known by hand."""

import numpy
import pytest

from benchmarks.decisions import argo, flagger, kayenta
from benchmarks.decisions.limits import Limit, quantile
from benchmarks.decisions.traffic import Arm, Traffic, thin

SCRAPE = 15.0
SCRAPES = 480
LIMIT = Limit(errors=0.01)


def arm(*, requests: int, failures: list[int], runs: int = 3) -> Arm:
    counts = numpy.repeat(numpy.array(failures)[:, None], runs, axis=1)
    return Arm(requests=numpy.full_like(counts, requests), failures=counts, within=numpy.zeros((*counts.shape, 0), int))


def traffic(candidate: list[int], *, requests: int = 100_000) -> Traffic:
    return Traffic(
        scrape=SCRAPE,
        bounds=(),
        stable=arm(requests=requests, failures=[0] * SCRAPES),
        candidate=arm(requests=requests, failures=candidate),
        harm=numpy.array(candidate)[:, None] / max(requests, 1),
    )


def test_flagger_raises_by_five_a_minute_and_promotes_after_the_check_at_fifty() -> None:
    found = flagger.run(traffic([0] * SCRAPES), limit=LIMIT, seed=0)
    assert found.promoted.all()
    assert found.at == pytest.approx([600.0] * 3)
    assert [round(100 * w) for w in found.weights[::4, 0][:11]] == [5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 100]


def test_flagger_rolls_back_one_interval_after_the_fifth_failed_check() -> None:
    found = flagger.run(traffic([5_000] * SCRAPES), limit=LIMIT, seed=0)
    assert found.rolled_back.all()
    assert found.at == pytest.approx([360.0] * 3)
    assert found.bad_served(traffic([5_000] * SCRAPES)) == pytest.approx([0.05 * 5_000 * 24] * 3)


def test_flagger_never_forgets_a_failed_check() -> None:
    bad_minutes = {2, 4, 6, 8, 10}
    course = [5_000 if scrape // 4 in bad_minutes else 0 for scrape in range(SCRAPES)]
    assert flagger.run(traffic(course), limit=LIMIT, seed=0).rolled_back.all()


def test_flagger_counts_a_minute_without_data_as_a_failed_check() -> None:
    assert flagger.run(traffic([0] * SCRAPES, requests=0), limit=LIMIT, seed=0).rolled_back.all()


def test_argo_promotes_after_four_times_ten_measurements() -> None:
    found = argo.run(traffic([0] * SCRAPES), limit=LIMIT, seed=0)
    assert found.promoted.all()
    assert found.at == pytest.approx([2400.0] * 3)


def test_argo_aborts_at_the_fourth_failed_measurement_of_one_step() -> None:
    found = argo.run(traffic([5_000] * SCRAPES), limit=LIMIT, seed=0)
    assert found.rolled_back.all()
    assert found.at == pytest.approx([240.0] * 3)
    three_in_each_step = [5_000 if scrape // 4 % 10 < 3 else 0 for scrape in range(SCRAPES)]
    assert argo.run(traffic(three_in_each_step), limit=LIMIT, seed=0).promoted.all()


def test_argo_promotes_without_any_data() -> None:
    assert argo.run(traffic([0] * SCRAPES, requests=0), limit=LIMIT, seed=0).promoted.all()


def test_kayenta_looks_once_in_fifty_points() -> None:
    good = kayenta.run(traffic([0] * SCRAPES), latency=False, seed=0)
    assert good.promoted.all()
    assert good.at == pytest.approx([4 * 50 * SCRAPE] * 3)
    bad = kayenta.run(traffic([5_000] * SCRAPES), latency=False, seed=0)
    assert bad.rolled_back.all()
    assert bad.at == pytest.approx([50 * SCRAPE] * 3)


def test_kayenta_s_interval_is_the_one_of_its_own_test_suite() -> None:
    """Control 1..4 against 10, 20, 30, 40 at 95 %: 6 to 39, estimate 22.5."""
    found = kayenta.shift(numpy.array([10.0, 20, 30, 40]), numpy.array([1.0, 2, 3, 4]), z=1.959964)
    assert found == pytest.approx((6.0, 39.0, 22.5))


def test_a_quantile_is_interpolated_within_its_bucket() -> None:
    within = numpy.array([[50, 90, 100], [0, 0, 10]])
    found = quantile(within, requests=numpy.array([100, 100]), bounds=(10.0, 20.0, 40.0), level=0.95)
    assert found == pytest.approx([30.0, 40.0])


def test_thinning_never_makes_more_failures_than_requests() -> None:
    rng = numpy.random.default_rng(7)
    full = arm(requests=40, failures=[40] * 50, runs=20)
    found = thin(full, scrape=slice(None), weight=numpy.full(20, 0.3), rng=rng)
    assert (found.failures == found.requests).all()
    assert found.requests.mean() == pytest.approx(12, abs=1.0)
