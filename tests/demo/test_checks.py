"""Each act's checks accept what was told, and each of them refuses what was not."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from modelrelease.domain.status import (
    Artifact,
    Candidate,
    HistoryEntry,
    Outcome,
    Rejected,
    Retired,
    Stable,
    Stage,
    Status,
    WaitingFor,
    Weight,
)

from localcluster.demo import checks
from localcluster.demo.checks import Seen
from localcluster.demo.records import Count

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def stable(version: str) -> Stable:
    artifact = Artifact(uri="file:///a", digest="sha256:0")
    return Stable(revision=f"r{version}", version=version, artifact=artifact, replicas=1, since=NOW)


def entry(version: str, outcome: Outcome, reason: str = "Promoted") -> HistoryEntry:
    return HistoryEntry(
        version=version,
        revision=f"r{version}",
        attempt=1,
        outcome=outcome,
        reason=reason,
        message="",
        started_at=NOW,
        finished_at=NOW,
        peak_weight=0,
        bad_requests=0,
    )


def climbing(version: str, accepted: int, *, onto: str) -> Status:
    candidate = Candidate(
        revision=f"r{version}",
        version=version,
        attempt=1,
        stage=Stage.STEP,
        started_at=NOW,
        progress_at=NOW,
        weight=Weight(desired=accepted, accepted=accepted),
    )
    return Status(candidate=candidate, stable=stable(onto))


def rejected(version: str) -> Rejected:
    return Rejected(revision=f"r{version}", attempt=1, reason="x", message="", gates="")


def ended(version: str, outcome: Outcome, *, now: str, reason: str = "Promoted") -> Status:
    no = None if outcome is Outcome.PROMOTED else rejected(version)
    return Status(observed_generation=3, stable=stable(now), history=(entry(version, outcome, reason),), rejected=no)


def seen(*statuses: Status, new_jobs: tuple[str, ...] = (), **served: Count) -> Seen:
    return Seen(statuses=statuses, jobs_before=frozenset("a"), jobs_after=frozenset(("a", *new_jobs)), served=served)


GOOD = {
    "v1": (checks.became_stable("v1"), seen(ended("v1", Outcome.PROMOTED, now="v1"), new_jobs=("b",))),
    "v2": (
        checks.promoted("v2"),
        seen(
            *(climbing("v2", weight, onto="v1") for weight in (0, 10, 10, 25, 50, 99)),
            ended("v2", Outcome.PROMOTED, now="v2"),
            v1=Count(ok=5),
            v2=Count(ok=5),
        ),
    ),
    "v3": (
        checks.gated("v3", stable="v2"),
        seen(climbing("v3", 0, onto="v2"), ended("v3", Outcome.FAILED, now="v2", reason="GateFailed"), v2=Count(ok=9)),
    ),
    "v4": (
        checks.rolled_back("v4", stable="v2"),
        seen(
            climbing("v4", 10, onto="v2"),
            ended("v4", Outcome.ROLLED_BACK, now="v2", reason="AnalysisFailed"),
            v4=Count(ok=5, failed=2),
        ),
    ),
    "revert": (checks.reverted("v2"), seen(ended("v2", Outcome.PROMOTED, now="v2"))),
}


@pytest.mark.parametrize("act", GOOD)
def test_an_act_that_went_as_told_passes(act):
    judge, what = GOOD[act]
    assert [check for check in judge(what) if not check.ok] == []


BAD = {
    "v1 failed": ("v1", seen(ended("v1", Outcome.FAILED, now="v1"), new_jobs=("b",))),
    "v1 nothing ended": ("v1", seen(Status(stable=stable("v1")), new_jobs=("b",))),
    "v1 built twice": ("v1", seen(ended("v1", Outcome.PROMOTED, now="v1"), new_jobs=("b", "c"))),
    "v2 skipped a step": (
        "v2",
        seen(
            *(climbing("v2", weight, onto="v1") for weight in (10, 50, 99)),
            ended("v2", Outcome.PROMOTED, now="v2"),
            v2=Count(ok=1),
        ),
    ),
    "v2 failed a request": ("v2", replace(GOOD["v2"][1], served={"v2": Count(ok=5, failed=1)})),
    "v2 a request was not answered": (
        "v2",
        replace(GOOD["v2"][1], served={"v2": Count(ok=5), "no answer": Count(failed=1)}),
    ),
    "v2 answered nothing": ("v2", replace(GOOD["v2"][1], served={})),
    "v2 is not stable": (
        "v2",
        replace(GOOD["v2"][1], statuses=(*GOOD["v2"][1].statuses[:-1], ended("v2", Outcome.PROMOTED, now="v1"))),
    ),
    "v3 got weight": (
        "v3",
        seen(climbing("v3", 10, onto="v2"), ended("v3", Outcome.FAILED, now="v2", reason="GateFailed")),
    ),
    "v3 got a request": ("v3", replace(GOOD["v3"][1], served={"v3": Count(ok=1)})),
    "v3 failed for another reason": ("v3", seen(ended("v3", Outcome.FAILED, now="v2", reason="BuildFailed"))),
    "v4 rose": (
        "v4",
        seen(
            climbing("v4", 10, onto="v2"),
            climbing("v4", 25, onto="v2"),
            ended("v4", Outcome.ROLLED_BACK, now="v2", reason="AnalysisFailed"),
            v4=Count(failed=1),
        ),
    ),
    "v4 failed nothing": ("v4", replace(GOOD["v4"][1], served={"v4": Count(ok=5)})),
    "v4 was promoted": ("v4", seen(climbing("v4", 10, onto="v2"), ended("v4", Outcome.PROMOTED, now="v4"))),
    "revert built": ("revert", seen(ended("v2", Outcome.PROMOTED, now="v2"), new_jobs=("b",))),
    "revert forgot nothing": ("revert", seen(ended("v4", Outcome.ROLLED_BACK, now="v2"))),
    "revert moved weight": ("revert", seen(climbing("v2", 10, onto="v1"), ended("v2", Outcome.PROMOTED, now="v2"))),
}


@pytest.mark.parametrize("case", BAD)
def test_an_act_that_went_otherwise_fails_and_says_what_was_found(case):
    act, what = BAD[case]
    bad = [check for check in GOOD[act][0](what) if not check.ok]
    assert bad
    assert all(check.found for check in bad)


def test_a_release_is_at_rest_only_when_nothing_is_left_to_do():
    status = ended("v2", Outcome.PROMOTED, now="v2")
    assert checks.at_rest(status, generation=3)
    assert not checks.at_rest(status, generation=4)
    assert not checks.at_rest(replace(status, retired=(Retired(revision="r", at=NOW),)), generation=3)
    assert not checks.at_rest(replace(climbing("v2", 0, onto="v1"), observed_generation=3), generation=3)
    waiting = WaitingFor(reason="Gateway", what="x", since=NOW, who="y")
    assert not checks.at_rest(replace(status, waiting_for=waiting), generation=3)
    assert not checks.at_rest(Status(observed_generation=3), generation=3)
    assert checks.at_rest(Status(observed_generation=3, rejected=rejected("v1")), generation=3)
