"""Requests that clients lose while releases are promoted, rolled back and disturbed."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from modelrelease.domain.commands import Verb

from benchmarks import audit
from benchmarks.figures import Figure
from benchmarks.settings import Settings
from localcluster.demo.records import Recorder
from localcluster.demo.timeline import failures, quantile
from tests.e2e.releases import release
from tests.e2e.stand import Stand, told

_INTERVAL_S = 2
_LONGEST_LADDER = 18
_CHANGES_BESIDE_LADDER = 2  # to all of the traffic, and back to the stable slot
_ROLLBACK_LADDER = (10, 50)
_CHANGES_OF_ROLLBACK = 2  # at least: the first step, and back


@dataclass(kw_only=True)
class _Run:
    place: Stand
    delays: Iterator[int]
    ladder: tuple[int, ...]
    promoted: int = 0
    rolled_back: int = 0
    disturbed: Counter[str] = field(default_factory=Counter)

    def promote(self, *, disturb: str | None) -> None:
        """Bring a new revision to all of the traffic; disturb it once at its first step."""
        delay = next(self.delays)
        self.place.apply(self._release(delay, self.ladder))
        if disturb is not None:
            self.place.until(lambda s: s.candidate and s.candidate.weight.accepted, what="a first step")
            _DISTURB[disturb](self.place)
            self.disturbed[disturb] += 1
        status = self.place.settled(within=180 + 5 * _INTERVAL_S * len(self.ladder))
        if disturb is not None and status.rejected and status.rejected.reason == "CandidateUnavailable":
            self.rolled_back += 1  # a kubelet that restarts calls its pods unready for a moment: traffic left at once
            return
        assert status.stable is not None, told(status)
        assert status.stable.version == f"delay-{delay}", told(status)
        self.promoted += 1

    def roll_back(self) -> None:
        """Bring a new revision to its first step, and abort it there."""
        self.place.apply(self._release(next(self.delays), _ROLLBACK_LADDER))
        self.place.until(lambda s: s.candidate and s.candidate.weight.accepted, what="a first step")
        self.place.order(Verb.ABORT)
        status = self.place.settled()
        assert status.rejected is not None, told(status)
        assert status.rejected.reason == "Aborted", told(status)
        self.rolled_back += 1

    def _release(self, delay: int, ladder: tuple[int, ...]) -> dict[str, object]:
        return release(
            namespace=self.place.namespace,
            delay=delay,
            steps=ladder,
            interval=f"{_INTERVAL_S}s",
            rollout__analysis__errorRate={"maxIncrease": 0.9},  # what is measured are the changes, not the verdicts
        )


def figures(place: Stand, *, settings: Settings, delays: Iterator[int]) -> Iterator[Figure]:
    """Run everything under one load, and count."""
    run = _Run(place=place, delays=delays, ladder=_ladder(settings))
    began, trouble = time.time(), ""
    with place.traffic(rate=settings.rate) as recorder:
        try:
            _play(run, settings=settings, recorder=recorder)
        except AssertionError as error:
            trouble = f"; ended early: {error}"  # what was counted until then still counts
    seconds = time.time() - began
    changes = _changes(place, since=began)
    lost = failures(recorder.requests)
    reached = _sent(recorder) / seconds
    slow = quantile((request.latency_ms for request in recorder.requests), 0.99)
    disturbances = ", ".join(name for name in run.disturbed)
    yield Figure(
        key="losses",
        what="requests lost",
        value=f"{_lost(recorder)} of {_sent(recorder)}",
        target="0",
        met=not lost and not trouble,
        how=f"{run.promoted} promotions, {run.rolled_back} rollbacks, {changes} route writes, {disturbances}; "
        f"{reached:.0f} requests/s, HTTP and gRPC in equal shares, p99 {slow:.0f} ms"
        + (f"; lost: {'; '.join(f'{count} x {said}' for said, count in lost)}" if lost else "")
        + trouble,
    )


def _play(run: _Run, *, settings: Settings, recorder: Recorder) -> None:
    """Promote and roll back in turn; the first promotions are disturbed, each in another way.

    A promotion that its disturbance turned into a rollback is made up for: as many promotions as asked for.
    """
    tries = 0
    while run.promoted < settings.promotions or run.rolled_back < settings.rollbacks:
        if run.promoted < settings.promotions:
            run.promote(disturb=list(_DISTURB)[tries] if tries < len(_DISTURB) else None)
            tries += 1
        if run.rolled_back < settings.rollbacks:
            run.roll_back()
        _say(f"{run.promoted} promotions, {run.rolled_back} rollbacks: {_lost(recorder)} of {_sent(recorder)} lost")


def _ladder(settings: Settings) -> tuple[int, ...]:
    """Return as many steps as it takes to reach the number of weight changes."""
    left = settings.changes - settings.rollbacks * _CHANGES_OF_ROLLBACK
    each = -(-left // max(1, settings.promotions)) - _CHANGES_BESIDE_LADDER
    count = min(_LONGEST_LADDER, max(2, each))
    return tuple(10 + round(85 * place / (count - 1)) for place in range(count))


def _changes(place: Stand, *, since: float) -> int:
    """Return how often the operator wrote a route; each write is a weight change of one protocol."""
    found = audit.of_operator(audit.writes(place.cluster.audit_log), namespace=place.namespace, since=since)
    return sum(write.resource in ("httproutes", "grpcroutes") and write.code < 300 for write in found)


def _kill_operators(place: Stand) -> None:
    place.kill_operators()


def _restart_controller(place: Stand) -> None:
    place.cluster.kubectl("-n", "envoy-gateway-system", "delete", "pods", "-l", "control-plane=envoy-gateway")


def _restart_kubelet(place: Stand) -> None:
    place.cluster.restart("kubelet")  # the pods keep running


_DISTURB = {
    "operator kill -9": _kill_operators,
    "restart of Envoy Gateway's controller": _restart_controller,
    "restart of the kubelet": _restart_kubelet,
}


def _lost(recorder: Recorder) -> int:
    return sum(count.failed for count in recorder.counts().values())


def _sent(recorder: Recorder) -> int:
    return len(recorder.requests)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
