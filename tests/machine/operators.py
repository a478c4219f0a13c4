"""One operator process: its own cache, fed only by what the schedule of the test delivers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from modelrelease.adapters.errors import ApiError
from modelrelease.adapters.kinds import CACHED, CHILDREN
from modelrelease.adapters.triton import GoldenAnswers
from modelrelease.domain import codec, naming
from modelrelease.domain.counts import Arm, Evidence
from modelrelease.domain.observed import GatewayFacts, Meta, ProbeResult, Protocol, Record, Unknown
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import OutputComparison
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Spec
from modelrelease.render import RenderConfig
from modelrelease.runtime.apply import Applier
from modelrelease.runtime.golden import GoldenWatch
from modelrelease.runtime.observe import Observer
from modelrelease.runtime.reconcile import Reconciler
from modelrelease.runtime.routes import Routes
from modelrelease.runtime.store import Key, Store

from tests.fakes.cluster import WatchEvent
from tests.fakes.evidence import FAILING, HEALTHY, Served, evidence, right_answers, share
from tests.fakes.faults import Crash
from tests.machine.guarded import GuardedCluster
from tests.machine.wire import Mishap, Trouble, Wire


class Metrics(StrEnum):
    """What the metrics say of the candidate."""

    GOOD = "good"
    BAD = "bad"
    EMPTY = "empty"
    NAN = "NaN"
    ERROR = "error"


@dataclass(kw_only=True)
class Outside:
    """What every process would be told by Triton, the metrics and the Gateway."""

    metrics: Metrics = Metrics.GOOD
    probe: bool = True
    gateway: GatewayFacts | Unknown = field(default_factory=lambda: GatewayFacts(tells_slots_apart=True, mirrors=True))


class Ended(StrEnum):
    """How a look at the release ended."""

    DONE = "done"
    FAILED = "failed"  # an ApiError: to be tried again
    DIED = "died"
    HELD = "held"  # one of its requests is still on its way


@dataclass(kw_only=True)
class Operator:
    """A process. `kill` makes it forget all, as another one would know nothing."""

    cluster: GuardedCluster
    outside: Outside
    key: Key
    pending: list[WatchEvent] = field(default_factory=list)
    delivered: list[WatchEvent] = field(default_factory=list)
    wake_at: datetime | None = None

    def __post_init__(self) -> None:
        self.boot()

    def boot(self) -> None:
        """Start with an empty memory; a resync must follow."""
        self.store = Store()
        self.wire = Wire(cluster=self.cluster, actor=self)
        self.task: asyncio.Task[datetime | None] | None = None
        self.told: list[tuple[datetime, Metrics]] = []
        observer = Observer(
            store=self.store, kube=self.wire, prober=self, golden=GoldenWatch(self), evidence=self, gateway=self
        )
        applier = Applier(
            kube=self.wire,
            store=self.store,
            routes=Routes(store=self.store, gateway=self),
            config=RenderConfig(puller_image="registry.example/model-builder:1"),
        )
        self.reconciler = Reconciler(
            store=self.store, observer=observer, applier=applier, clock=lambda: self.cluster.now
        )
        self.pending.clear()
        self.cursor = len(self.cluster.watch)

    # -- its work -------------------------------------------------------------------------

    async def look(self, mishap: Mishap | None = None) -> Ended:
        """Reconcile the release once."""
        self.wire.prepare(mishap)
        task = asyncio.create_task(self.reconciler.reconcile(self.key))
        if mishap and mishap.trouble is Trouble.DELAY:
            held = asyncio.create_task(self.wire.held.wait())
            await asyncio.wait({task, held}, return_when=asyncio.FIRST_COMPLETED)
            held.cancel()
            if not task.done():
                self.task = task
                return Ended.HELD
        return await self._end(task)

    async def arrive(self, *, dies: bool = False) -> Ended:
        """Let the request that is on its way reach the API server, and the process go on or be dead."""
        assert self.task is not None
        self.wire.dies = dies
        task, self.task = self.task, None
        self.wire.arrives.set()
        return await self._end(task)

    async def _end(self, task: asyncio.Task[datetime | None]) -> Ended:
        try:
            self.wake_at = await task
        except ApiError:
            return Ended.FAILED
        except Crash:
            return Ended.DIED
        return Ended.DONE

    # -- its watches ----------------------------------------------------------------------

    def hear(self) -> list[WatchEvent]:
        """Return the events that the API server has sent and that were not delivered yet."""
        fresh = self.cluster.watch[self.cursor :]
        self.pending += [event for event in fresh if event.kind in CACHED]
        self.cursor = len(self.cluster.watch)
        return self.pending

    def deliver(self, event: WatchEvent) -> None:
        """Take an event in as the informer does. What loses our label is deleted, for a watch with a selector."""
        labels = event.object["metadata"].get("labels") or {}
        ours = event.kind not in CHILDREN or labels.get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY
        if event.type == "DELETED" or not ours:
            self.store.remove(event.kind, event.object)
        else:
            self.store.put(event.kind, event.object)
        self.delivered = [*self.delivered[-9:], event]

    def catch_up(self) -> None:
        """Deliver everything, in its order."""
        for event in self.hear():
            self.deliver(event)
        self.pending.clear()

    async def resync(self) -> bool:
        """List everything anew; tell whether that succeeded."""
        try:
            await self.store.resync(self.wire)
        except ApiError:
            return False
        return True

    # -- what it is told from outside -----------------------------------------------------

    def heard(self, started: str) -> str | None:
        """Return what the metrics said last of the time since a moment."""
        since = codec.parse_time(started)
        return next((said for start, said in reversed(self.told) if start >= since), None)

    async def probe(self, *, meta: Meta, spec: Spec, record: Record) -> ProbeResult:
        return ProbeResult(revision=record.revision, ready=self.outside.probe)

    async def facts(self, *, meta: Meta, spec: Spec) -> GatewayFacts | Unknown:
        return self.outside.gateway

    async def ask(
        self,
        *,
        meta: Meta,
        model: str,
        candidate: Record,
        stable: Record | None,
        compare: tuple[OutputComparison, ...],
        now: datetime,
    ) -> GoldenAnswers:
        return right_answers(candidate, stable, now)

    async def read(
        self,
        *,
        meta: Meta,
        spec: Spec,
        protocols: tuple[Protocol, ...],
        window: Window,
        stable: str | None,
        candidate: str | None,
    ) -> Evidence:
        said = self.outside.metrics
        self.told.append((window.start, said))
        if said is Metrics.ERROR:
            problem = Problem(reason="PrometheusUnreachable", message="Prometheus does not answer")
            return Evidence(start=window.start, end=window.end, error=problem)
        nan = float("nan")
        arm = {Metrics.GOOD: HEALTHY, Metrics.BAD: FAILING, Metrics.EMPTY: Arm()}.get(
            said, Arm(requests=nan, failures=nan)
        )
        return evidence(window, Served(candidate=arm, weight=share(self.store.release(self.key) or {})))
