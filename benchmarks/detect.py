"""From the moment in which Prometheus proves a candidate bad to the moment in which the gateway sends it nothing."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import UTC, datetime

from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.adapters.prometheus.evidence import PrometheusEvidence
from modelrelease.domain.analysis import Exposure, judge, overall
from modelrelease.domain.observed import Meta, Protocol
from modelrelease.domain.plan import Window
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Status, VerdictValue

from localcluster.progress import wait_until
from tests.e2e.releases import failing, release
from tests.e2e.stand import MODEL, Stand, accepted, told, weights

INTERVAL_S = 10
WEIGHT = 10
LOOK_S = 0.1
_TIMEOUT_S = 120


def seconds_to_zero(place: Stand, *, delay: int) -> float:
    """Release a bad candidate; return the seconds from visible to weight 0 accepted on both routes."""
    made = failing(
        release(
            namespace=place.namespace,
            delay=delay,
            steps=(WEIGHT, 50),
            interval=f"{INTERVAL_S}s",
            rollout__analysis__minRequests=20,
        )
    )
    place.apply(made)
    status = place.until(lambda s: s.candidate and s.candidate.weight.accepted == WEIGHT, what="the first step")
    assert status.candidate is not None, told(status)
    visible = _Visible(place=place, status=status)
    visible.start()
    try:
        wait_until(lambda: _at_floor(place), what="weight 0 on both routes", timeout=_TIMEOUT_S, interval=0.02)
        zero = time.monotonic()
    finally:
        visible.stop()
    end = place.settled()
    assert end.rejected is not None, told(end)
    assert end.rejected.reason == "AnalysisFailed", told(end)
    assert visible.at is not None, "the operator acted on what Prometheus does not show"
    return zero - visible.at


def _at_floor(place: Stand) -> bool:
    routes = [place.route(kind) for kind in ("httproutes", "grpcroutes")]
    return all(accepted(route) and weights(route)[1] == 1 for route in routes)


class _Visible(threading.Thread):
    """Judges what Prometheus shows, by the operator's own rules, again and again until it proves a failure."""

    def __init__(self, *, place: Stand, status: Status) -> None:
        super().__init__(daemon=True)
        release_now = place.release()
        self._spec: Spec = release_now.spec
        self._meta = Meta(
            name=MODEL, namespace=place.namespace, uid="", generation=release_now.generation, resource_version=""
        )
        assert status.stable is not None
        assert status.candidate is not None
        assert status.candidate.analysis is not None, told(status)
        self._revisions = {"stable": status.stable.revision, "candidate": status.candidate.revision}
        self._state, self._url = status.candidate.analysis, place.cluster.prometheus_url
        self._done = threading.Event()
        self.at: float | None = None
        """When the answer came that first proved it."""

    def stop(self) -> None:
        """Look no more."""
        self._done.set()
        self.join()

    def run(self) -> None:
        """Look until it is proven, or stopped."""
        asyncio.run(self._look())

    async def _look(self) -> None:
        source = PrometheusEvidence(PrometheusClient(self._url))
        try:
            while self.at is None and not self._done.is_set():
                asked = time.monotonic()
                window = Window(start=self._state.until, end=datetime.now(UTC), block=self._state.block)
                evidence = await source.read(
                    meta=self._meta, spec=self._spec, protocols=tuple(Protocol), window=window, **self._revisions
                )
                policy, exposure = self._spec.rollout.analysis, Exposure(weight=WEIGHT / 100)
                verdicts, _ = judge(policy=policy, state=self._state, evidence=evidence, exposure=exposure)
                if overall(verdicts) is VerdictValue.FAIL:
                    self.at = asked
                await asyncio.sleep(LOOK_S)
        finally:
            await source.close()
