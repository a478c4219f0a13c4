"""Puts the parts of a decision together: who observes, who is asked, who writes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

from modelrelease.adapters.gateway import GatewayApi
from modelrelease.adapters.kube import Kube
from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.adapters.triton import GoldenProber, TritonProber
from modelrelease.render import RenderConfig
from modelrelease.runtime.apply import Applier
from modelrelease.runtime.config import Config
from modelrelease.runtime.golden import GoldenWatch
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.observe import Observer
from modelrelease.runtime.reconcile import Reconciler
from modelrelease.runtime.routes import Routes
from modelrelease.runtime.store import Store
from modelrelease.runtime.worker import Reconciles


@contextlib.asynccontextmanager
async def production(config: Config, kube: Kube, metrics: Metrics) -> AsyncIterator[Callable[[Store], Reconciles]]:
    """Yield how to make the reconciler of a real cluster."""
    gateway = GatewayApi(kube=kube)
    prometheus = PrometheusClient(config.prometheus_url, access=config.prometheus_access)
    golden = GoldenWatch(GoldenProber())
    evidence = PrometheusEvidence(prometheus, told=metrics.asked)

    def make(store: Store) -> Reconciles:
        observer = Observer(
            store=store, kube=kube, prober=TritonProber(), golden=golden, evidence=evidence, gateway=gateway
        )
        applier = Applier(
            kube=kube,
            store=store,
            routes=Routes(store=store, gateway=gateway),
            config=RenderConfig(puller_image=config.puller_image),
        )
        return Reconciler(store=store, observer=observer, applier=applier, tell=metrics.judged.tell)

    try:
        yield make
    finally:
        await golden.close()
        await evidence.close()
