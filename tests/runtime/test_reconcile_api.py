"""A whole release on the real API server and its real controllers; the test plays kubelet and gateway.

What the in-memory cluster can't tell: whether the API server takes what is rendered, what it
makes of it, and whether a release at rest is at rest in spite of all defaults.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from modelrelease.adapters.errors import Conflict
from modelrelease.adapters.kinds import Manifest
from modelrelease.adapters.kube import KubeClient
from modelrelease.domain import naming
from modelrelease.domain.observed import PPM
from modelrelease.render import RenderConfig
from modelrelease.runtime.apply import Applier
from modelrelease.runtime.golden import GoldenWatch
from modelrelease.runtime.metered import MeteredKube
from modelrelease.runtime.metrics import Metrics
from modelrelease.runtime.observe import Observer
from modelrelease.runtime.reconcile import Reconciler
from modelrelease.runtime.routes import Routes
from modelrelease.runtime.store import Store

from tests.adapters.conftest import api_server, kube, namespace  # noqa: F401 - fixtures
from tests.cluster_fixtures import control_plane  # noqa: F401 - a fixture
from tests.fakes.controllers import ANSWER, GATEWAY
from tests.fakes.outside import FakeGateway, Outside
from tests.fakes.samples import release, set_version

pytestmark = pytest.mark.api

NAME = "digits"
READY = [{"type": kind, "status": "True"} for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")]


class CountedKube(MeteredKube):
    """The adapter, with its writes on record."""

    def __init__(self, real: KubeClient) -> None:
        super().__init__(kube=real, metrics=Metrics())
        self.writes: list[str] = []

    async def apply(self, manifest: Manifest, **options: object) -> Manifest:  # type: ignore[override] # passed on
        self.writes.append(f"apply {manifest['kind']}")
        return await super().apply(manifest, **options)  # type: ignore[arg-type] # passed on

    async def replace_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        self.writes.append("status")
        return await super().replace_status(manifest, manager=manager)


@dataclass(kw_only=True)
class Rig:
    """An operator on a real API server, on a clock of its own."""

    kube: KubeClient
    namespace: str
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    store: Store = field(init=False)
    outside: Outside = field(default_factory=Outside)

    def __post_init__(self) -> None:
        self.store = Store(namespaces=(self.namespace,))
        self.outside.release = lambda: self.store.release((self.namespace, NAME)) or {}
        self.counted = CountedKube(self.kube)
        gateway = FakeGateway()
        self.reconciler = Reconciler(
            store=self.store,
            observer=Observer(
                store=self.store,
                kube=self.counted,
                prober=self.outside,
                golden=GoldenWatch(self.outside),
                evidence=self.outside,
                gateway=gateway,
            ),
            applier=Applier(
                kube=self.counted,
                store=self.store,
                routes=Routes(store=self.store, gateway=gateway),
                config=RenderConfig(puller_image="registry.example/model-builder:1"),
            ),
            clock=lambda: self.now,
        )

    async def live(self) -> Manifest:
        return await self.kube.get(naming.KIND, namespace=self.namespace, name=NAME)

    async def reconcile(self) -> None:
        for _ in range(20):
            await self.store.resync(self.kube)
            try:
                wake_at = await self.reconciler.reconcile((self.namespace, NAME))
            except Conflict:
                continue
            if wake_at is None or wake_at > self.now:
                return

    async def until(self, reached: Callable[[Manifest], bool], *, seconds: int = 0) -> Manifest:
        """Go on, with kubelet and gateway at work, until the status is as expected; each round takes some seconds."""
        async with asyncio.timeout(60):
            while True:
                await self.reconcile()
                status: Manifest = (await self.live()).get("status", {})
                if reached(status):
                    return status
                await self.play()
                self.now += timedelta(seconds=seconds)

    async def play(self) -> None:
        for pod in (await self.kube.list("Pod", namespace=self.namespace)).items:
            if pod["status"]["phase"] == "Pending":
                await self._run(pod)
        pods = (await self.kube.list("Pod", namespace=self.namespace)).items
        for service in (await self.kube.list("Service", namespace=self.namespace)).items:
            await self._publish(service, pods)
        for kind in ("HTTPRoute", "GRPCRoute"):
            for route in (await self.kube.list(kind, namespace=self.namespace)).items:
                await self._accept(route)

    async def _publish(self, service: Manifest, pods: tuple[Manifest, ...]) -> None:
        """Make the slice that the cluster's own controller makes only for pods on a node."""
        meta = service["metadata"]
        chosen = [pod for pod in pods if service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()]
        labels = {**meta["labels"], "kubernetes.io/service-name": meta["name"]}
        slice_meta = {"name": f"{meta['name']}-tests", "namespace": self.namespace, "labels": labels}
        endpoints = [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": self.namespace},
            }
            for pod in chosen
            if "podIP" in pod["status"] and "deletionTimestamp" not in pod["metadata"]
        ]
        head = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4"}
        await self.kube.apply({**head, "metadata": slice_meta, "endpoints": endpoints}, manager="tests")

    async def _run(self, pod: Manifest) -> None:
        container = pod["spec"]["containers"][0]["name"]
        status: Manifest = {"name": container, "image": "i", "imageID": "", "restartCount": 0}
        if "job-name" in pod["metadata"]["labels"]:
            ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(ANSWER)}
            own = {
                "phase": "Succeeded",
                "containerStatuses": [{**status, "ready": False, "state": {"terminated": ended}}],
            }
        else:
            running = {**status, "ready": True, "state": {"running": {}}}
            address = f"10.1.0.{int(pod['metadata']['resourceVersion']) % 250 + 1}"
            own = {
                "phase": "Running",
                "conditions": READY,
                "podIP": address,
                "podIPs": [{"ip": address}],
                "containerStatuses": [running],
            }
        await self._say(pod, {**pod["status"], **own})

    async def _accept(self, route: Manifest) -> None:
        generation = route["metadata"]["generation"]
        said = [
            {
                "type": kind,
                "status": "True",
                "reason": kind,
                "message": "",
                "observedGeneration": generation,
                "lastTransitionTime": "2026-11-01T12:00:00Z",
            }
            for kind in ("Accepted", "ResolvedRefs")
        ]
        parents = [
            {"parentRef": ref, "controllerName": GATEWAY, "conditions": said} for ref in route["spec"]["parentRefs"]
        ]
        await self._say(route, {"parents": parents})

    async def _say(self, obj: Manifest, status: Manifest) -> None:
        try:
            await self.kube.replace_status({**obj, "status": status}, manager="tests")
        except Conflict:
            return  # a controller was faster; the next round is another chance


@pytest.fixture
async def rig(kube: KubeClient, namespace: str) -> AsyncIterator[Rig]:  # noqa: F811 - pytest's way to ask
    made = Rig(kube=kube, namespace=namespace)
    await kube.apply(release(namespace=namespace), manager="tests")
    yield made
    live = (await made.live())["metadata"]
    await kube.delete(
        naming.KIND, namespace=namespace, name=NAME, uid=live["uid"], resource_version=live["resourceVersion"]
    )


async def test_a_release_is_promoted_and_then_at_rest(rig: Rig) -> None:
    first = await rig.until(lambda status: status.get("phase") == "Ready" and routed(status))
    assert first["stable"]["version"] == "1"

    before = len(rig.counted.writes)
    for _ in range(5):
        await rig.play()
        await rig.reconcile()
        rig.now += timedelta(minutes=10)
    assert rig.counted.writes[before:] == [], "at rest nothing is written"

    changed = release(namespace=rig.namespace)
    set_version(changed["spec"], "2")
    await rig.kube.apply(changed, manager="tests")
    done = await rig.until(lambda status: settled(status, "2"), seconds=10)
    assert done["history"][0]["outcome"] == "Promoted"
    rig.now += timedelta(minutes=1)
    await rig.until(lambda status: "retired" not in status, seconds=10)
    names = [d["metadata"]["name"] for d in (await rig.kube.list("Deployment", namespace=rig.namespace)).items]
    assert names == [naming.deployment(NAME, done["stable"]["revision"])]
    for kind in ("HTTPRoute", "GRPCRoute"):
        route = await rig.kube.get(kind, namespace=rig.namespace, name=NAME)
        assert [backend["weight"] for backend in route["spec"]["rules"][0]["backendRefs"]] == [PPM - 1, 1]


async def test_a_restart_at_rest_writes_nothing(rig: Rig) -> None:
    await rig.until(lambda status: status.get("phase") == "Ready" and routed(status))
    again = Rig(kube=rig.kube, namespace=rig.namespace, now=rig.now)
    await again.reconcile()
    assert again.counted.writes == []


async def test_each_edit_of_a_child_is_undone_with_one_write(rig: Rig) -> None:
    await rig.until(lambda status: status.get("phase") == "Ready" and routed(status))
    before = len(rig.counted.writes)
    service = await rig.kube.get("Service", namespace=rig.namespace, name=f"{NAME}-stable")
    wrong = {**service, "spec": {"selector": {"app": "wrong"}, "ports": service["spec"]["ports"]}}
    wrong["metadata"] = {"name": f"{NAME}-stable", "namespace": rig.namespace}
    await rig.kube.apply({k: wrong[k] for k in ("apiVersion", "kind", "metadata", "spec")}, manager="somebody")
    await rig.reconcile()
    assert "apply Service" in rig.counted.writes[before:]
    assert rig.counted.writes[before:].count("apply Service") == 1
    repaired = await rig.kube.get("Service", namespace=rig.namespace, name=f"{NAME}-stable")
    assert set(repaired["spec"]["selector"]) == {naming.LABEL_RELEASE, naming.LABEL_REVISION}


def routed(status: Manifest) -> bool:
    return any(c["type"] == "RouteReady" and c["status"] == "True" for c in status.get("conditions", ()))


def settled(status: Manifest, version: str) -> bool:
    return status.get("phase") == "Ready" and status["stable"]["version"] == version
