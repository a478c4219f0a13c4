"""Copies of live requests and golden requests, on a real gateway: nothing is lost, and what they show is counted."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

import pytest
from modelrelease.domain.observed import Mirror, Protocol, Slot
from modelrelease.domain.status import Stage

from localcluster.demo.records import GRPC, HTTP, Request
from tests.e2e.conftest import NextDelay
from tests.e2e.copies import NAME, Copies, counted
from tests.e2e.releases import release
from tests.e2e.stand import Stand, failures, told

pytestmark = pytest.mark.e2e

SHADOW = Mirror(slot=Slot.PREVIEW, percent=100)
_ROUNDS = 8
_ROUND_S = 4.0
_RATE = 40.0
_PROTOCOLS = {Protocol.HTTP: HTTP, Protocol.GRPC: GRPC}


@pytest.fixture
def copies(digits: Stand, scratch: str, delays: NextDelay) -> Iterator[Copies]:
    """Routes of the test's own: the release answers, and the pods of a second one get the copies."""
    digits.apply(release(namespace=digits.namespace, name=scratch, delay=delays()))
    serving, candidate = digits.status().stable, digits.settled(name=scratch).stable
    assert serving is not None and candidate is not None
    made = Copies(
        stand=digits,
        spec=digits.release().spec,
        serving=("digits", serving.revision),
        candidate=(scratch, candidate.revision),
    )
    made.create()
    yield made
    for slot in Slot:
        digits.kubectl("delete", "service", f"{NAME}-{slot}", "--ignore-not-found")
    digits.kubectl("delete", "httproute,grpcroute", NAME, "--ignore-not-found")


def test_a_mirror_comes_and_goes_without_a_lost_request_and_clients_do_not_notice(copies: Copies) -> None:
    on: list[Request] = []
    off: list[Request] = []
    with copies.stand.traffic(name=NAME, rate=_RATE) as recorder:
        for _ in range(_ROUNDS):
            for mirror, found in ((SHADOW, on), (None, off)):
                copies.turn(mirror)
                began = time.time()
                time.sleep(_ROUND_S)
                found += [one for one in recorder.since(began) if one.at < began + _ROUND_S]
        copies.turn(SHADOW)
        turned = time.time()
        windows = {protocol: copies.window(protocol, after=turned) for protocol in Protocol}
    assert not failures(recorder)
    assert {one.revision for one in recorder.requests} == {copies.serving[1]}, "copies answer nobody"
    for protocol, (first, last, made) in windows.items():
        sent = sum(one.protocol == _PROTOCOLS[protocol] and first <= one.at < last for one in recorder.requests)
        # A scrape takes a moment, in which requests go on.
        assert made == pytest.approx(sent, rel=0.05), f"{made} copies of {sent} {protocol} requests"
    with_copies, without = (statistics.median(one.latency_ms for one in found) for found in (on, off))
    # Both halves are of one run and in turns, so that a busy machine slows both.
    assert with_copies < 1.5 * without, f"median latency {with_copies:.2f} ms with copies, {without:.2f} ms without"


def test_a_release_is_shadowed_and_probed_before_its_first_step_and_mirrored_back_in_the_bake(
    digits: Stand, delays: NextDelay
) -> None:
    before = digits.status().stable
    assert before is not None
    made = release(
        namespace=digits.namespace,
        delay=delays(),
        rollout__steps=[{"weight": 20, "pause": {"duration": "2s"}}],
        rollout__analysis__golden={"interval": "5s"},
        rollout__analysis__minDuration="8s",  # so that golden requests are due before the step is done
        rollout__shadow={"percent": 100, "duration": "20s"},
        rollout__bake={"duration": "15s", "mirror": 100, "holdback": 0},
    )
    with digits.traffic(rate=_RATE) as recorder:
        digits.apply(made)
        digits.until(lambda s: s.candidate and s.candidate.stage is Stage.SHADOW, what="a shadow")
        digits.until(lambda s: s.candidate and s.candidate.step_started_at, what="copies that the gateway accepted")
        assert [_target(digits, kind) for kind in ("httproutes", "grpcroutes")] == ["digits-preview"] * 2
        began = time.time()
        digits.until(lambda s: s.candidate and s.candidate.weight.desired, what="a first step")
        shadowed = [one for one in recorder.since(began) if one.at < time.time() - 1]
        digits.until(lambda s: s.candidate and s.candidate.bake_started_at, what="a bake")
        assert [_target(digits, kind) for kind in ("httproutes", "grpcroutes")] == ["digits-stable"] * 2
        end = digits.settled()
    # A look writes nothing as long as it moves nothing: what the golden requests said is told at the end at the latest.
    assert "0 of 28 golden requests went wrong on the candidate" in end.history[0].message, end.history[0]
    assert end.stable is not None and end.stable.version == made["spec"]["model"]["version"], told(end)
    assert [_target(digits, kind) for kind in ("httproutes", "grpcroutes")] == [None] * 2, "no copies at rest"
    assert not failures(recorder)
    assert {one.revision for one in shadowed} == {before.revision}, "in the shadow the candidate answers nobody"
    for protocol in Protocol:
        assert counted(digits, protocol, namespace=digits.namespace, name="digits") > 20


def _target(digits: Stand, kind: str) -> str | None:
    """Return the Service that gets copies of a route's requests."""
    (rule,) = digits.route(kind)["spec"]["rules"]
    filters = rule.get("filters") or [None]
    return str(filters[0]["requestMirror"]["backendRef"]["name"]) if filters[0] else None
