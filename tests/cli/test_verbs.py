"""Each verb orders exactly what was seen, or refuses in one sentence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from modelrelease.cli.errors import Refused
from modelrelease.cli.release import Release
from modelrelease.cli.verbs import Order, order, suspend
from modelrelease.domain.commands import Verb, unhandled
from modelrelease.domain.status import Candidate

from tests.cli import releases
from tests.cli.releases import in_stage, release


def candidate(of: Release) -> Candidate:
    assert of.status.candidate is not None
    return of.status.candidate


def written(of: Order) -> dict[str, str]:
    return dict(of.patch["metadata"]["annotations"])


@pytest.mark.parametrize(
    ("verb", "of", "value"),
    [
        (Verb.APPROVE, release(), "9876543210/1/2/t0"),
        (Verb.PROMOTE, release(), "9876543210/1/2/t0"),
        (Verb.PROMOTE, in_stage("Bake", step=3), "9876543210/1/-/t0"),
        (Verb.ABORT, release(), "9876543210/1/-/t0"),
        (Verb.ABORT, in_stage("Build", step=None), "9876543210/1/-/t0"),
        (Verb.RETRY, releases.rolled_back(), "2222222222/2/-/t0"),
    ],
)
def test_an_order_names_revision_attempt_and_step(verb: Verb, of: Release, value: str) -> None:
    given = order(verb, of, token="t0")
    assert written(given) == {f"modelrelease.dev/{verb}": value}
    ((latch, command),) = unhandled(written(given), of.status.handled)
    assert latch == given.latch
    assert command is not None
    if verb is not Verb.RETRY:
        assert command.means(candidate(of))


def test_an_approval_does_not_mean_another_step_or_try() -> None:
    given = order(Verb.APPROVE, release(), token="t0")
    ((_, command),) = unhandled(written(given), ())
    assert command is not None
    assert not command.means(candidate(in_stage("Step", step=3)))
    assert not command.means(candidate(in_stage("Step", attempt=2)))
    assert not command.means(candidate(in_stage("Step", revision="0000000000")))


@pytest.mark.parametrize(
    ("verb", "of", "says"),
    [
        (Verb.APPROVE, in_stage("Step"), "digits awaits no approval: it waits for nothing"),
        (
            Verb.APPROVE,
            release(status__waitingFor__reason="Traffic", status__waitingFor__what="traffic"),
            "for traffic",
        ),
        (Verb.APPROVE, releases.at_rest(), "has no release under way to approve: 2026.11.0 serves"),
        (
            Verb.PROMOTE,
            in_stage("Deploy"),
            "can not be promoted in stage Deploy: gates and readiness are never skipped",
        ),
        (Verb.PROMOTE, in_stage("Retreat"), "can not be promoted in stage Retreat: it is moving back"),
        (Verb.PROMOTE, releases.unseen(), "has no release under way to promote: nothing serves yet"),
        (Verb.ABORT, in_stage("Retreat"), "is on its way back already"),
        (Verb.ABORT, releases.at_rest(), "has no release under way to abort"),
        (Verb.RETRY, release(), "nothing of digits failed: there is nothing to retry"),
    ],
)
def test_a_verb_that_does_not_apply_is_refused(verb: Verb, of: Release, says: str) -> None:
    with pytest.raises(Refused) as caught:
        order(verb, of, token="t0")
    assert says in str(caught.value)


def test_pause_and_resume_switch_suspend() -> None:
    assert suspend(release(), wanted=True).patch == {"spec": {"suspend": True}}
    assert suspend(releases.suspended(), wanted=False).patch == {"spec": {"suspend": False}}
    with pytest.raises(Refused, match="paused already"):
        suspend(releases.suspended(), wanted=True)
    with pytest.raises(Refused, match="not paused"):
        suspend(release(), wanted=False)


def test_words_tell_what_happens() -> None:
    assert order(Verb.ABORT, release(), token="t").done == "aborted digits 2026.11.1: traffic goes back to 2026.11.0"
    assert order(Verb.APPROVE, release(), token="t").done == "approved step 3 of digits 2026.11.1"
    assert "(try 3)" in order(Verb.RETRY, releases.rolled_back(), token="t").done
    assert "built again" not in order(Verb.RETRY, releases.rolled_back(), token="t").done


def test_a_retry_after_a_damaged_artifact_says_that_it_builds() -> None:
    failed = releases.rolled_back()
    rejected = failed.status.rejected
    assert rejected is not None
    rejected = replace(rejected, reason="ArtifactCorrupt")
    damaged = replace(failed, status=replace(failed.status, rejected=rejected))
    assert order(Verb.RETRY, damaged, token="t").done.endswith("; its artifact is built again")
