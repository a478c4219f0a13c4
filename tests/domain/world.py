"""A small world of facts for `decide`: what plans bring about, step by step, with crashes in between.

Nothing here imitates Kubernetes' API; it holds only the facts that `decide` sees, and moves them the
way the controllers, the kubelet and the gateway would, each as a separate step that a test can delay.
Every write is checked against the invariants of the design.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from modelrelease.domain import codec, naming
from modelrelease.domain.counts import Arm, Block, CustomCount, Evidence, GoldenCheck, History
from modelrelease.domain.decide import decide
from modelrelease.domain.needs import needs
from modelrelease.domain.observed import (
    FLOOR_PPM,
    PPM,
    BuildResult,
    Contract,
    DeploymentFacts,
    GatewayFacts,
    JobFacts,
    JobState,
    Meta,
    Metric,
    Mirror,
    Observed,
    ProbeResult,
    Protocol,
    Record,
    RouteFacts,
    Slot,
    SlotFacts,
    Tensor,
)
from modelrelease.domain.plan import (
    Plan,
    Remove,
    Want,
    WantDeployment,
    WantJob,
    WantRecord,
    WantRoute,
    WantSlot,
    Window,
)
from modelrelease.domain.policy import Analysis, Bake, Step
from modelrelease.domain.problem import Problem
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Artifact, Candidate, Stage, Status

from tests.fakes import specs

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SCRAPE = 10.0
ANALYSIS = Analysis(interval=60, warmup=0, min_duration=1, min_requests=50)
_BUCKETS = ((5.0, 0.9), (10.0, 0.99), (100.0, 1.0), (float("inf"), 1.0))  # the shares of requests below each bound
CORRUPT = Problem(reason="ArtifactCorrupt", message="model.onnx was changed: restore it", fatal=True)
CONTRACT = Contract(inputs=(Tensor(name="image", datatype="FP32", shape=(64,)),), outputs=())


def a_spec(version: str = "1", *, replicas: int = 2, steps: tuple[int, ...] = (5, 25), **rollout: object) -> Spec:
    wanted = {
        "steps": tuple(Step(weight=weight) for weight in steps),
        "analysis": ANALYSIS,
        "bake": Bake(duration=120),
        **rollout,
    }
    return specs.a_spec(version, replicas=replicas, grpc=True, **wanted)


class Crash(Exception):  # noqa: N818
    """The operator's process died."""


class Conflict(Exception):  # noqa: N818
    """The object was changed since it was read."""


@dataclass
class Route:
    ppm: int | None
    accepted_ppm: int | None  # what the gateway serves
    accepted: bool
    rv: int
    mirror: Mirror | None = None


def an_arm(requests: float, failures: float) -> Arm:
    """Return counts with the latencies of a healthy server."""
    latency = tuple((bound, float(round(share * requests))) for bound, share in _BUCKETS)
    return Arm(requests=float(round(requests)), failures=float(round(failures)), latency=latency)


def _value(value: float) -> CustomCount:
    return CustomCount(name="queue", bad=value, total=1.0)


@dataclass
class World:
    """The facts, and the checks on every write."""

    spec: Spec
    now: datetime = START
    status_json: dict = field(default_factory=dict)  # type: ignore[type-arg]
    rv: int = 1  # of the last written child
    release_rv: int = 1
    annotations: dict[str, str] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    jobs: dict[str, JobFacts] = field(default_factory=dict)
    deployments: dict[str, DeploymentFacts] = field(default_factory=dict)
    pods: dict[str, int] = field(default_factory=dict)  # really ready pods by revision
    slots: dict[Slot, SlotFacts] = field(default_factory=dict)
    routes: dict[Protocol, Route] = field(default_factory=dict)
    accuracy: dict[str, float] = field(default_factory=dict)  # by version
    quality: dict[str, str] = field(default_factory=dict)  # by revision: good, bad, worse, quiet, astray, error
    golden: dict[str, str] = field(default_factory=dict)  # by revision: wrong, absent, busy
    values: Callable[[datetime], float] | None = None  # what the metric `queue` of kind value is at a moment
    damaged: set[str] = field(default_factory=set)  # keys of artifacts that the store has spoilt
    saturated: bool = False
    tells_apart: bool = True
    mirrors: bool = True
    gateway_problem: Problem | None = None
    checked: datetime | None = None  # the process's memory
    writes: int = 0
    status_writes: int = 0
    budget: int | None = None  # writes until the crash
    generation: int = 1
    drifted: bool = False  # a person edited a slot or route: the checks of our own plan do not hold for the repair

    # What the operator does

    @property
    def status(self) -> Status:
        return codec.decode(Status, self.status_json)

    def observe(self) -> Observed:
        meta = Meta(
            name="digits",
            namespace="vision",
            uid="u",
            generation=self.generation,
            resource_version=str(self.release_rv),
            annotations=dict(self.annotations),
        )
        observed = Observed(
            meta=meta,
            spec=self.spec,
            status=self.status,
            records=dict(self.records),
            jobs=tuple(self.jobs.values()),
            deployments=dict(self.deployments),
            slots=dict(self.slots),
            routes={
                protocol: RouteFacts(
                    candidate_ppm=r.ppm, accepted=r.accepted, resource_version=str(r.rv), mirror=r.mirror
                )
                for protocol, r in self.routes.items()
            },
        )
        asked = needs(observed, self.now, self.checked)
        if asked.probe:
            up = self.pods.get(asked.probe, 0) > 0
            observed = replace(observed, probe=ProbeResult(revision=asked.probe, ready=up))
        if asked.gateway:
            facts = GatewayFacts(tells_slots_apart=self.tells_apart, mirrors=self.mirrors, problem=self.gateway_problem)
            observed = replace(observed, gateway=facts)
        if asked.window:
            self.checked = self.now
            observed = replace(observed, evidence=self._evidence(observed, asked.window))
        return observed

    def _evidence(self, observed: Observed, window: Window) -> Evidence:
        """Return what the metrics tell."""
        candidate, stable = observed.status.candidate, observed.status.stable
        assert candidate is not None
        quality = self.quality.get(candidate.revision, "good")
        known = Evidence(start=window.start, end=window.end, scrape=SCRAPE)
        if quality == "error":
            problem = Problem(reason="PrometheusUnreachable", message="Prometheus does not answer")
            return replace(known, error=problem, scrape=None)
        if stable is not None:
            checks = [self._golden(revision) for revision in (candidate.revision, stable.revision)]
            known = replace(known, golden=tuple(checks))
        if self.values is not None:
            before = (_value(self.values(window.before)),) if window.before else ()
            known = replace(known, values=(_value(self.values(window.end)),), values_before=before)
        if window.block is None:
            return replace(known, history=History(block=SCRAPE, windows=(an_arm(100_000, 100),) * 200))
        length = timedelta(seconds=window.block)
        starts = [window.start + i * length for i in range((window.end - window.start) // length)]
        block, empty = self._block(candidate, window, quality), Block(start=window.start, end=window.end)
        rare = quality == "quiet"  # then a request comes every five minutes
        full = [start for start in starts if not rare or start.timestamp() % 300 < SCRAPE]
        return replace(
            known,
            stable=Arm(requests=block.stable.requests * len(full)),
            candidate=Arm(requests=block.candidate.requests * len(full)),
            saturated="the candidate has 40 requests waiting" if self.saturated else "",
            blocks=tuple(replace(block if s in full else empty, start=s, end=s + length) for s in starts),
        )

    @staticmethod
    def _block(candidate: Candidate, window: Window, quality: str) -> Block:
        """Return what one scrape brings: the requests, split as the status says, and copies where there are any."""
        share = candidate.weight.desired / 100
        if quality == "quiet":
            stable = round(1 / share) - 1 if share else 1
            return Block(start=window.start, end=window.end, stable=an_arm(stable, 0), candidate=an_arm(share > 0, 0))
        ratio = {"bad": 0.3, "worse": 0.004}.get(quality, 0.001)  # 0.4 % is neither within the margin nor far off
        came = share / 2 if quality == "astray" else share
        mine = an_arm(came * 100_000, ratio * came * 100_000)
        control = (
            an_arm(100_000, 100) if window.mirror is Slot.STABLE else an_arm(100_000 * (1 - share), 100 * (1 - share))
        )
        copies = an_arm(100_000, ratio * 100_000) if window.mirror is Slot.PREVIEW else Arm()
        return Block(start=window.start, end=window.end, stable=control, candidate=mine, shadow=copies)

    def _golden(self, revision: str) -> GoldenCheck:
        if self.golden.get(revision) == "absent":
            problem = Problem(reason="GoldenSetAbsent", message="the pods carry no golden requests")
            return GoldenCheck(revision=revision, at=self.now, asked=0, problem=problem)
        if self.golden.get(revision) == "busy":
            problem = Problem(reason="TritonOverloaded", message="its queue is full", waiting=True)
            return GoldenCheck(revision=revision, at=self.now, asked=0, problem=problem)
        wrong = 2 if self.golden.get(revision) == "wrong" else 0
        message = "row 3: class 7 and not 1" if wrong else ""
        return GoldenCheck(revision=revision, at=self.now, asked=8, wrong=wrong, message=message)

    def reconcile(self, *, crash_after: int | None = None, observed: Observed | None = None) -> Plan:
        """Observe, decide, apply; die before the write numbered `crash_after`."""
        observed = observed or self.observe()
        plan = decide(observed, self.now)
        again = decide(observed, self.now)
        assert again == plan, "decide is not deterministic"
        self.budget = crash_after
        try:
            self._apply(plan, observed)
        except Crash:
            self.checked = None
        except Conflict:
            pass
        finally:
            self.budget = None
        return plan

    def _spend(self) -> None:
        if self.budget is not None:
            if self.budget == 0:
                raise Crash
            self.budget -= 1
        self.writes += 1
        self.rv += 1

    def _apply(self, plan: Plan, observed: Observed) -> None:
        if plan.status != observed.status:
            if observed.meta.resource_version != str(self.release_rv):
                raise Conflict
            self._spend()
            self.status_writes += 1
            self.release_rv += 1
            self.status_json = codec.encode(plan.status)
            assert self.status == plan.status, "the status does not survive its own encoding"
        for want in plan.wants:
            self._write(want)

    def _write(self, want: Want) -> None:
        match want:
            case WantJob():
                self._write_job(want)
            case WantRecord():
                if want.revision not in self.records:
                    self._spend()
                    record = {k: getattr(want, k) for k in ("revision", "artifact_key", "version", "result", "number")}
                    self.records[want.revision] = Record(template="{}", created=self.now, **record)
            case WantDeployment():
                self._write_deployment(want)
            case WantSlot():
                self._write_slot(want)
            case WantRoute():
                self._write_route(want)
            case Remove():
                self._remove(want)

    def _write_job(self, want: WantJob) -> None:
        name = naming.job("digits", want.artifact_key, want.attempt)
        if name not in self.jobs:
            known = {r.revision for r in self.records.values() if r.artifact_key == want.artifact_key}
            told = {entry.revision for entry in self.status.history if entry.reason == CORRUPT.reason}
            assert not known or known & told, "built again, though the artifact is there"
            self._spend()
            self.jobs[name] = JobFacts(
                name=name, artifact_key=want.artifact_key, attempt=want.attempt, state=JobState.ACTIVE, uid=name
            )

    def _write_deployment(self, want: WantDeployment) -> None:
        assert want.revision in self.records, "a Deployment needs its record"
        facts = self.deployments.get(want.revision)
        if facts is None or facts.replicas != want.replicas:
            self._spend()
            ready = self.pods.get(want.revision, 0)
            self.deployments[want.revision] = DeploymentFacts(
                revision=want.revision, replicas=want.replicas, ready=ready, settled=False, uid=want.revision
            )

    def _write_slot(self, want: WantSlot) -> None:
        facts = self.slots.get(want.slot)
        if facts is not None and facts.revision == want.revision:
            return
        if (facts.resource_version if facts else None) != want.resource_version:
            raise Conflict
        if facts is not None and want.slot is not Slot.PREVIEW and facts.ready and not self.drifted:
            for route in self.routes.values():
                share = route.accepted_ppm if want.slot is Slot.CANDIDATE else PPM - (route.accepted_ppm or 0)
                assert (share or 0) <= FLOOR_PPM, f"{want.slot} was re-pointed at {share} ppm"
        self._spend()
        self.slots[want.slot] = SlotFacts(revision=want.revision, resource_version=str(self.rv), ready={})

    def _write_route(self, want: WantRoute) -> None:
        assert FLOOR_PPM <= want.candidate_ppm <= PPM - FLOOR_PPM
        route = self.routes.get(want.protocol)
        if route is not None and (route.ppm, route.mirror) == (want.candidate_ppm, want.mirror):
            return
        if (str(route.rv) if route else None) != want.resource_version:
            raise Conflict
        self._check_rise(route, want.candidate_ppm)
        if want.mirror is not None and want.mirror != (route.mirror if route else None):
            self._check_mirror(want.mirror)
        self._spend()
        accepted = route.accepted_ppm if route else None
        self.routes[want.protocol] = Route(
            ppm=want.candidate_ppm, accepted_ppm=accepted, accepted=False, rv=self.rv, mirror=want.mirror
        )

    def _check_mirror(self, mirror: Mirror) -> None:
        """Check that copies go to pods of whom they are meant for, and that nothing asks for more than there is."""
        status = self.status
        candidate, stable = status.candidate, status.stable
        assert candidate is not None and stable is not None
        assert candidate.stage in (Stage.SHADOW, Stage.STEP, Stage.BAKE)
        owner = stable if candidate.stage is Stage.BAKE else candidate
        assert mirror.slot is (Slot.STABLE if candidate.stage is Stage.BAKE else Slot.PREVIEW)
        assert self.slots[mirror.slot].revision == owner.revision
        if candidate.stage is not Stage.BAKE:
            assert 1 <= mirror.percent <= 100 - candidate.weight.desired
            assert candidate.mirror_stopped is None

    def _check_rise(self, route: Route | None, ppm: int) -> None:
        """Check what must hold before weight comes to a slot (design, section 5, points 1 and 2)."""
        status = self.status
        if route is None or route.ppm is None or ppm > route.ppm:
            candidate = status.candidate
            if ppm > FLOOR_PPM:
                assert candidate is not None
                assert candidate.stage in (Stage.STEP, Stage.BAKE)
                full = candidate.weight.desired  # the hold-back of the spec may be another by now
                assert candidate.stage is not Stage.BAKE or full == 100 or (full >= 95 and not candidate.bake_ended_at)
                limit = full if candidate.stage is Stage.BAKE else candidate.ladder[candidate.step or 0]
                assert ppm <= limit * 10_000, "more than the step allows"
                assert self.slots[Slot.CANDIDATE].revision == candidate.revision
                assert self.slots[Slot.CANDIDATE].ready.get(candidate.revision, 0) > 0
        if (route is None or route.ppm is None or ppm < route.ppm) and not self.drifted:
            assert status.stable is not None
            assert self.slots[Slot.STABLE].revision == status.stable.revision

    def _remove(self, want: Remove) -> None:
        if want.kind == "Deployment":
            revision = want.uid
            if revision not in self.deployments:
                return
            candidate = self.status.candidate
            rebuilt = candidate and (candidate.revision, candidate.stage) == (revision, Stage.BUILD)
            ended = candidate is None and self.status.stable is None  # a first release: nothing takes preview over
            for slot, facts in self.slots.items():
                unseen = slot is Slot.PREVIEW and (rebuilt or ended)  # those pods could not start
                assert unseen or facts.revision != revision, f"{slot} still selects what is removed"
            assert all(route.accepted for route in self.routes.values()), "removed while a route write is in flight"
            self._spend()
            del self.deployments[revision]
            self.pods.pop(revision, None)
        elif want.kind in naming.ROUTE_KINDS.values():
            protocol = next(p for p, kind in naming.ROUTE_KINDS.items() if kind == want.kind)
            if self.routes.pop(protocol, None):
                self._spend()
        elif want.kind == "Job":
            if self.jobs.pop(want.name, None):
                self._spend()
        elif self.records.pop(want.name.removeprefix("digits-"), None):
            self._spend()

    # What the world does

    def finish_jobs(self) -> None:
        for name, job in self.jobs.items():
            if job.state is JobState.ACTIVE:
                version = self.spec.model.version
                accuracy = Metric(value=self.accuracy.get(version, 0.97), rows=270)
                artifact = Artifact(uri=f"file:///artifacts/{job.artifact_key}", digest=f"sha256:{job.artifact_key}")
                result = BuildResult(artifact=artifact, contract=CONTRACT, metrics={"accuracy": accuracy})
                self.jobs[name] = replace(job, state=JobState.SUCCEEDED, result=result)
                self.damaged.discard(job.artifact_key)

    def fail_jobs(self) -> None:
        for name, job in self.jobs.items():
            if job.state is JobState.ACTIVE:
                problem = Problem(reason="OutOfMemory", message="the build was killed at its memory limit", fatal=True)
                self.jobs[name] = replace(job, state=JobState.FAILED, problem=problem)

    def start_pods(self) -> None:
        for revision, facts in self.deployments.items():
            spoilt = self.records[revision].artifact_key in self.damaged and self.pods.get(revision, 0) == 0
            if spoilt or facts.problem:  # pods that failed once are not tried again while somebody watches
                self.deployments[revision] = replace(facts, problem=CORRUPT)
                continue
            self.pods[revision] = facts.replicas
            self.deployments[revision] = replace(facts, ready=facts.replicas, settled=True)

    def kill_pods(self, revision: str) -> None:
        if revision in self.deployments:
            self.pods[revision] = 0
            self.deployments[revision] = replace(self.deployments[revision], ready=0, settled=False)
            self.fill_endpoints()

    def fill_endpoints(self) -> None:
        for slot, facts in self.slots.items():
            ready = self.pods.get(facts.revision, 0)
            self.slots[slot] = replace(facts, ready={facts.revision: ready} if ready else {})

    def accept_routes(self) -> None:
        for route in self.routes.values():
            route.accepted, route.accepted_ppm = True, route.ppm

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def edit(self, spec: Spec) -> None:
        self.spec = spec
        self.generation += 1
        self.release_rv += 1

    def environment(self) -> None:
        self.finish_jobs()
        self.start_pods()
        self.fill_endpoints()
        self.accept_routes()

    def settle(self, *, seconds: float = 30, rounds: int = 200) -> None:
        """Let everything run fairly until two rounds in a row write nothing and no clock is pending."""
        quiet = 0
        for _ in range(rounds):
            before = self.writes
            self.environment()
            plan = self.reconcile()
            quiet = quiet + 1 if self.writes == before and plan.wake_at is None else 0
            if quiet == 3:
                return
            self.advance(seconds)
        raise AssertionError(f"never at rest: {self.status_json}")
