"""Simulated counters through the operator's adapter: the same as increments, and what disturbs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Mirror, Slot
from modelrelease.domain.plan import Window
from modelrelease.simulate.increments import Increments
from modelrelease.simulate.play import Player, Run
from modelrelease.simulate.prometheus import Scraped
from modelrelease.simulate.scenario import Autoscaling, Fault, Lognormal, Scenario
from modelrelease.simulate.serving import Serving, shares
from modelrelease.simulate.simulation import fitted
from modelrelease.simulate.tape import Version, of_traffic
from modelrelease.simulate.traffic import increments
from modelrelease.simulate.world import moment

from tests.simulate.releases import BAD, a_spec

SPEC, _ = fitted(a_spec(), scored_tape=False)
PLAIN = Scenario(duration=900, history=1800, latency=Lognormal(), pods=2)


def served(scenario: Scenario, until: float = 900) -> Serving:
    serving = Serving(tape=of_traffic(increments(scenario, seed=1), 0), rng=np.random.default_rng(1))
    serving.change(shares(since=0, candidate_ppm=200_000, mirror=Mirror(slot=Slot.PREVIEW, percent=50)))
    serving.serve(until)
    return serving


def both(scenario: Scenario, window: Window) -> Iterator[Evidence]:
    serving = served(scenario)
    yield Increments(serving=serving).evidence(window)
    source = Scraped(spec=SPEC, serving=serving, scenario=scenario, rng=np.random.default_rng(1))
    yield source.evidence(window)
    source.close()


WINDOW = Window(start=moment(60), end=moment(900), block=15, mirror=Slot.PREVIEW)


def test_without_disturbances_counters_give_the_very_increments() -> None:
    given, scraped = both(PLAIN, WINDOW)
    assert scraped.error is None
    assert len(given.blocks) == 55
    assert scraped.blocks == given.blocks
    assert (scraped.scrape, scraped.stable, scraped.candidate) == (given.scrape, given.stable, given.candidate)
    assert given.blocks[3].shadow.requests > 0


def test_the_history_is_the_same_as_well() -> None:
    given, scraped = both(PLAIN, Window(start=moment(0), end=moment(0), history=900))
    assert given.history is not None
    assert scraped.history == given.history
    assert len(given.history.windows) == 60
    assert {len(split) for split in given.history.by_process} == {2}


def runs(scenario: Scenario) -> Iterator[Run]:
    for scraped in (False, True):
        serving = Serving(tape=of_traffic(increments(scenario, seed=2), 0), rng=np.random.default_rng(2))
        through = Scraped(spec=SPEC, serving=serving, scenario=scenario, rng=np.random.default_rng(1))
        yield Player(spec=SPEC, serving=serving, source=through if scraped else Increments(serving=serving)).play()
        through.close()


def test_a_release_goes_the_same_way_on_either() -> None:
    given, scraped = runs(replace(BAD, latency=Lognormal(), history=9000))  # longer than what is asked for
    assert scraped.weights == given.weights
    for one, other in zip(scraped.looks, given.looks, strict=True):
        plain = [[replace(verdict, query="") for verdict in look.verdicts] for look in (one, other)]
        assert plain[0] == plain[1]


@pytest.mark.parametrize(
    "disturbed",
    [
        replace(PLAIN, restarts=120),
        replace(PLAIN, lost_scrapes=0.3),
        replace(PLAIN, misalignment=10),
        replace(PLAIN, ingestion_lag=45),
        replace(PLAIN, pods=3, autoscaling=Autoscaling(every=120)),
    ],
    ids=["restarts", "lost scrapes", "misalignment", "lag", "autoscaling"],
)
def test_a_disturbance_invents_no_request(disturbed: Scenario) -> None:
    given, scraped = both(disturbed, WINDOW)
    assert scraped.error is None
    assert scraped.blocks, "there is evidence all the same"
    seen = sum(block.candidate.requests for block in scraped.blocks)
    true = sum(block.candidate.requests for block in given.blocks)
    assert 0.5 * true < seen < 1.1 * true  # lost scrapes of the time before come with the next
    for block in scraped.blocks:
        for arm in (block.stable, block.candidate, block.shadow):
            assert 0 <= arm.failures <= arm.requests


def test_a_lost_scrape_only_delays_what_it_missed() -> None:
    given, scraped = both(replace(PLAIN, lost_scrapes=0.3), WINDOW)
    whole = sum(block.stable.requests for block in scraped.blocks)
    upto = sum(block.stable.requests for block in given.blocks[: len(scraped.blocks)])
    assert whole == pytest.approx(upto, rel=0.1)
    assert any(one.stable != other.stable for one, other in zip(scraped.blocks, given.blocks, strict=False))


def test_a_restart_loses_what_was_not_scraped() -> None:
    given, scraped = both(replace(PLAIN, restarts=60), WINDOW)
    kept = sum(b.stable.requests for b in scraped.blocks) / sum(b.stable.requests for b in given.blocks)
    assert 0.75 < kept < 0.97


def test_a_restarted_process_counts_from_zero_again() -> None:
    scenario = replace(PLAIN, restarts=120)
    source = Scraped(spec=SPEC, serving=served(scenario), scenario=scenario, rng=np.random.default_rng(1))
    source.evidence(WINDOW)
    source.close()
    good = [s for s in source.store.series() if s.labels.get("envoy_response_code_class") == "2"]
    falls = sum(later < sooner for samples in good for sooner, later in pairwise(samples.values))
    assert falls > 10


def test_misaligned_counters_are_read_within_the_interval_and_miss_its_end() -> None:
    given, scraped = both(replace(PLAIN, misalignment=5), WINDOW)
    assert scraped.blocks == given.blocks, "both see the candidate as it is read"
    serving = served(replace(PLAIN, misalignment=5))
    assert {row.t % 15 for row in serving.counted[Version.CANDIDATE]} == {5}
    aligned, late = (
        increments(replace(PLAIN, misalignment=m, fault=Fault(size=1, onset=300)), seed=1).candidate for m in (0, 5)
    )
    at = 20  # the first interval with the fault
    ratio = (late.failures[-60 + at] / late.requests[-60 + at]).mean()
    assert (aligned.failures[-60 + at] == aligned.requests[-60 + at]).all()
    assert ratio == pytest.approx(1 / 3, abs=0.1), "a third of the interval was over when it was read"


def test_lagging_samples_close_fewer_blocks() -> None:
    on_time, late = (list(both(replace(PLAIN, ingestion_lag=lag), WINDOW))[1] for lag in (0, 60))
    assert len(on_time.blocks) - len(late.blocks) == 3
    assert late.blocks == on_time.blocks[: len(late.blocks)]


def test_a_metrics_store_that_is_far_behind_is_an_error() -> None:
    _, stale = both(replace(PLAIN, ingestion_lag=300), WINDOW)
    assert stale.error is not None
    assert stale.error.reason == "MetricsStale"


def test_grpc_is_counted_by_calls() -> None:
    gateway = replace(SPEC.traffic.gateway, http=None, grpc=SPEC.traffic.gateway.http)
    spec = replace(SPEC, traffic=replace(SPEC.traffic, gateway=gateway))
    serving = served(PLAIN)
    source = Scraped(spec=spec, serving=serving, scenario=PLAIN, rng=np.random.default_rng(1))
    found = source.evidence(WINDOW)
    source.close()
    given = Increments(serving=serving).evidence(WINDOW)
    assert found.candidate == given.candidate
    assert found.end - found.start == timedelta(seconds=840)


def test_answers_in_pairs_and_by_class_are_evidence_too() -> None:
    serving = served(PLAIN)
    tape = serving.tape
    rows = {
        version: tuple(replace(row, pairs=(20, 12, 1), classes=(row.requests // 2, row.requests // 4)) for row in found)
        for version, found in tape.rows.items()
    }
    told = Serving(tape=replace(tape, rows=rows, classes=("cat", "dog")), rng=np.random.default_rng(1))
    told.change(shares(since=0, candidate_ppm=500_000, mirror=None))
    told.serve(900)
    evidence = Increments(serving=told).evidence(replace(WINDOW, mirror=None))
    arm = evidence.blocks[5].candidate
    assert arm.pairs is not None
    assert 0 < arm.pairs.worse <= arm.pairs.count <= 2 * 20
    assert [name for name, _ in arm.classes] == ["cat", "dog"]
    assert sum(count for _, count in arm.classes) <= arm.requests
    quiet = Increments(serving=serving).evidence(WINDOW).blocks[5].candidate
    assert (quiet.pairs, quiet.classes) == (None, ())
