"""What breaks around a release in mid-step neither loses requests nor moves traffic."""

from __future__ import annotations

import json
import time

import pytest

from localcluster.api import Cluster
from tests.e2e.conftest import NextDelay
from tests.e2e.releases import STEPS, release
from tests.e2e.stand import SYSTEM, Stand, awaits, condition, failures, told, weights

pytestmark = pytest.mark.e2e

_INTERVAL_S = 5


def _start(digits: Stand, delay: int) -> None:
    """Begin a release, and wait until its first step has traffic."""
    digits.apply(release(namespace=digits.namespace, delay=delay, interval=f"{_INTERVAL_S}s"))
    digits.until(lambda s: s.candidate and s.candidate.weight.accepted == STEPS[0], what=f"{STEPS[0]} % accepted")


def test_a_killed_operator_carries_on_where_it_was_and_loses_no_request(
    digits: Stand, delays: NextDelay, node: Cluster
) -> None:
    delay = delays()
    with digits.traffic() as recorder:
        _start(digits, delay)
        before = digits.operators()
        digits.kill_operators()
        status = digits.status()
        assert status.candidate is not None, told(status)
        started = status.candidate.step_started_at
        risen = digits.until(lambda s: s.candidate and s.candidate.weight.desired > STEPS[0], what="the next step")
        assert started is not None and risen.candidate is not None
        assert (risen.candidate.progress_at - started).total_seconds() >= _INTERVAL_S, "a restart ends no step early"
        end = digits.settled()
    assert not set(before) & set(digits.operators()), "these are other processes"
    assert end.stable is not None and end.stable.version == f"delay-{delay}", told(end)
    assert not failures(recorder)
    assert len(recorder.requests) > 100
    digits.cluster.kubectl("-n", SYSTEM, "rollout", "status", "deployment/modelrelease-operator", "--timeout=60s")


def test_without_prometheus_a_step_holds_and_goes_on_when_it_is_back(
    digits: Stand, delays: NextDelay, node: Cluster
) -> None:
    delay = delays()
    with digits.traffic():
        _start(digits, delay)
        node.stop("prometheus")
        try:
            held = digits.until(lambda s: awaits(s, "MetricsUnavailable"), what="a hold without metrics", within=30)
            said = condition(held, "AnalysisHealthy")
            assert (said.status, said.reason) == ("False", "MetricsUnavailable")
            assert "Prometheus" in said.message
            time.sleep(2 * _INTERVAL_S)  # two more looks must not move it
            status = digits.status()
            assert status.candidate is not None, told(status)
            assert (status.candidate.weight.desired, status.candidate.weight.accepted) == (STEPS[0], STEPS[0])
        finally:
            node.start("prometheus")
        end = digits.settled()
    assert end.stable is not None and end.stable.version == f"delay-{delay}", told(end)


def test_a_weight_that_is_edited_by_hand_is_repaired(digits: Stand) -> None:
    rest = weights(digits.route())
    assert rest == [999_999, 1]
    edit = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": 500_000} for place in (0, 1)
    ]
    for kind in ("httproutes", "grpcroutes"):
        digits.kubectl("patch", kind, "digits", "--type=json", "-p", json.dumps(edit))
        end = time.monotonic() + 10
        while weights(digits.route(kind)) != rest:
            assert time.monotonic() < end, f"the weights of the {kind} stay {weights(digits.route(kind))}"
            time.sleep(0.1)
    digits.served(within=5)
