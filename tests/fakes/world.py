"""A whole operator on a cluster in memory: what most tests of the runtime begin with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from modelrelease.adapters.errors import ApiError
from modelrelease.adapters.kinds import CACHED
from modelrelease.domain import naming
from modelrelease.domain.status import Verdict
from modelrelease.render import RenderConfig
from modelrelease.runtime.apply import Applier
from modelrelease.runtime.golden import GoldenWatch
from modelrelease.runtime.observe import Observer
from modelrelease.runtime.reconcile import Reconciler
from modelrelease.runtime.routes import Routes
from modelrelease.runtime.store import Key, Store

from tests.fakes import controllers
from tests.fakes.cluster import Cluster
from tests.fakes.outside import FakeGateway, Outside


@dataclass(kw_only=True)
class World:
    """The cluster, the operator's process (replaced by `restart`), and the way between them."""

    cluster: Cluster = field(default_factory=Cluster)
    outside: Outside = field(default_factory=Outside)
    gateway: FakeGateway = field(default_factory=FakeGateway)
    delivered: int = 0
    tell: Callable[[Key, Sequence[Verdict]], None] = lambda _, __: None

    def __post_init__(self) -> None:
        self.outside.release = lambda: next(iter(self.cluster.all(naming.KIND)), {})
        self._boot()

    def _boot(self) -> None:
        self.store = Store()
        observer = Observer(
            store=self.store,
            kube=self.cluster,
            prober=self.outside,
            golden=GoldenWatch(self.outside),
            evidence=self.outside,
            gateway=self.gateway,
        )
        applier = Applier(
            kube=self.cluster,
            store=self.store,
            routes=Routes(store=self.store, gateway=self.gateway),
            config=RenderConfig(puller_image="registry.example/model-builder:1"),
        )
        self.reconciler = Reconciler(
            store=self.store, observer=observer, applier=applier, clock=lambda: self.cluster.now, tell=self.tell
        )

    async def restart(self) -> None:
        """Kill the operator's process and start another: all memory is gone, the cluster is listed anew."""
        self._boot()
        self.delivered = len(self.cluster.watch)
        await self.store.resync(self.cluster)

    def deliver(self) -> None:
        """Bring the cache up to date with every watch event."""
        for event in self.cluster.watch[self.delivered :]:
            if event.kind not in CACHED:
                continue
            if event.type == "DELETED":
                self.store.remove(event.kind, event.object)
            else:
                self.store.put(event.kind, event.object)
        self.delivered = len(self.cluster.watch)

    async def reconcile(self, key: Key) -> None:
        """Let the operator do all that it can do right now, trying again what the API server did not take."""
        for _ in range(20):
            self.deliver()
            try:
                wake_at = await self.reconciler.reconcile(key)
            except ApiError:
                continue
            if wake_at is None or wake_at > self.cluster.now:
                return
        raise AssertionError("the operator does not come to rest")

    async def run(self, key: Key, *, seconds: int, step: int = 1) -> None:
        """Let time pass on a healthy cluster, a step at a time."""
        for _ in range(0, seconds, step):
            await self.reconcile(key)
            controllers.settle(self.cluster)
            self.cluster.now += timedelta(seconds=step)
        await self.reconcile(key)

    def status(self, key: Key) -> dict[str, object]:
        """Return the release's status as stored."""
        found: dict[str, object] = self.cluster.at(naming.KIND, *key).get("status", {})
        return found
