"""A full cluster with the operator, and a namespace for releases: what end-to-end tests and benchmarks stand on."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelrelease.cli.release import Release, parse
from modelrelease.domain.commands import Verb, annotation, format_command
from modelrelease.domain.status import Condition, Status

from localcluster.api import Cluster
from localcluster.demo.checks import at_rest
from localcluster.demo.load import Address, Load, try_both
from localcluster.demo.records import Recorder, Request
from localcluster.images.build import find
from localcluster.kube import Api
from tests.e2e.releases import CLAIM, grpc_host, http_host, surroundings

Object = dict[str, Any]

ROOT = Path(__file__).parents[2]
IMAGES = ("operator", "puller", "builder", "triton")
SYSTEM = "modelrelease-system"
OPERATOR = "modelrelease-operator"
MODEL = "digits"
LOOK_S = 0.2
_GATEWAY_API = "/apis/gateway.networking.k8s.io/v1"


def prepare(cluster: Cluster) -> None:
    """Give the node the images, install the operator as its manifests say, and wait until it is ready."""
    for image in IMAGES:
        cluster.load(image)
    overlay = ROOT / "manifests" / "overlays" / "local"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
    if (archive := find("operator")) is not None:
        # Its tag is always the same: pods of an older image start anew.
        stamp = {"spec": {"template": {"metadata": {"annotations": {"modelrelease.dev/image": archive.stem}}}}}
        cluster.kubectl("-n", SYSTEM, "patch", "deployment", OPERATOR, "-p", json.dumps(stamp))
    crd = str(ROOT / "crds" / "modelreleases.yaml")
    cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crd)
    cluster.kubectl("-n", SYSTEM, "rollout", "status", f"deployment/{OPERATOR}", "--timeout=180s")


@dataclass(frozen=True, kw_only=True)
class Stand:
    """One namespace on a prepared cluster."""

    cluster: Cluster
    namespace: str
    api: Api = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "api", self.cluster.client())

    def apply(self, *objects: Object) -> None:
        """Apply objects as a person would."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def kubectl(self, *arguments: str, check: bool = True) -> str:
        """Run kubectl in this namespace."""
        return self.cluster.kubectl("-n", self.namespace, *arguments, check=check)

    def release(self, name: str = MODEL) -> Release:
        """Return a release as it is now."""
        path = f"/apis/modelrelease.dev/v1alpha1/namespaces/{self.namespace}/modelreleases/{name}"
        found = self.api.get(path)
        assert found is not None, f"there is no release {name}"
        return parse(found)

    def status(self, name: str = MODEL) -> Status:
        """Return a release's status as it is now."""
        return self.release(name).status

    def route(self, kind: str = "httproutes", name: str = MODEL) -> Object:
        """Return a route of a release; an empty object where there is none."""
        return self.api.get(f"{_GATEWAY_API}/namespaces/{self.namespace}/{kind}/{name}") or {}

    def until(self, there: Callable[[Status], object], *, what: str, name: str = MODEL, within: float = 90.0) -> Status:
        """Wait until a release's status is as expected; tell what it was otherwise."""
        end = time.monotonic() + within
        while True:
            status = self.status(name)
            if there(status):
                return status
            assert time.monotonic() < end, f"not within {within:.0f} s: {what}; {told(status)}"
            time.sleep(LOOK_S)

    def settled(self, *, name: str = MODEL, within: float = 120.0) -> Status:
        """Wait until a release has nothing left to do for the spec as it is."""
        generation = self.release(name).generation
        return self.until(
            lambda status: at_rest(status, generation=generation), what=f"{name} at rest", name=name, within=within
        )

    def order(self, verb: Verb, *, name: str = MODEL) -> None:
        """Give an imperative command about what is under way."""
        status = self.status(name)
        meant = status.rejected if verb is Verb.RETRY else status.candidate
        assert meant is not None, told(status)
        value = format_command(revision=meant.revision, attempt=meant.attempt, step=None, token=uuid.uuid4().hex[:8])
        self.kubectl("annotate", "--overwrite", "modelrelease", name, f"{annotation(verb)}={value}")

    def address(self, name: str = MODEL) -> Address:
        """Return where clients reach a release."""
        return Address(
            gateway=self.cluster.gateway_address, http_host=http_host(name), grpc_host=grpc_host(name), model=MODEL
        )

    def served(self, name: str = MODEL, *, within: float = 60.0) -> None:
        """Wait until the gateway serves a release over HTTP and gRPC."""
        end = time.monotonic() + within
        while wrong := try_both(self.address(name)):
            assert time.monotonic() < end, f"{name} is not served: {wrong}"
            time.sleep(LOOK_S)

    @contextmanager
    def traffic(self, *, rate: float = 40.0, name: str = MODEL) -> Iterator[Recorder]:
        """Send inference over both protocols while the block runs."""
        recorder = Recorder()
        load = Load(address=self.address(name), rate=rate, recorder=recorder)
        load.start()
        try:
            yield recorder
        finally:
            load.stop()
        assert load.trouble is None, load.trouble

    def volume(self) -> Path:
        """Return the folder behind the claim, as this machine sees it."""
        name = self.kubectl("get", "pvc", CLAIM, "-o", "jsonpath={.spec.volumeName}")
        return self.cluster.state_dir / "volumes" / name

    def operators(self) -> list[int]:
        """Return the operator's processes, by their ids on this machine."""
        every = (int(entry) for entry in os.listdir("/proc") if entry.isdigit())
        return [pid for pid in every if _is_operator(pid, cgroup=self.cluster.layout.cgroup)]

    def kill_operators(self) -> None:
        """End every operator process as a crash would."""
        found = self.operators()
        assert found, "no operator runs"
        for pid in found:
            os.kill(pid, signal.SIGKILL)


@contextmanager
def stand(cluster: Cluster, *, namespace: str) -> Iterator[Stand]:
    """Give a namespace with a claim for artifacts on a prepared cluster; it is removed afterwards."""
    made = Stand(cluster=cluster, namespace=namespace)
    made.apply(*surroundings(namespace))
    try:
        yield made
    finally:
        made.api.close()
        cluster.kubectl("-n", namespace, "delete", "modelreleases", "--all", "--wait=false", check=False)
        cluster.kubectl("delete", "namespace", namespace, "--wait=false", check=False)


def condition(status: Status, kind: str) -> Condition:
    """Return a condition of a status."""
    found = next((one for one in status.conditions if one.type == kind), None)
    assert found is not None, f"no condition {kind}; {told(status)}"
    return found


def awaits(status: Status, reason: str) -> bool:
    """Tell whether a release waits for this."""
    return status.waiting_for is not None and status.waiting_for.reason == reason


def told(status: Status) -> str:
    """Return what a status says, for people."""
    bad = [f"{one.type}={one.status} {one.reason}: {one.message}" for one in status.conditions]
    return f"the status says {status.phase}: {status.message}; {bad}"


def failures(recorder: Recorder) -> list[Request]:
    """Return the requests that failed."""
    return [request for request in recorder.requests if not request.ok]


def weights(route: Object) -> list[int]:
    """Return the weights that a route gives to stable and candidate."""
    return [backend["weight"] for rule in route["spec"]["rules"] for backend in rule["backendRefs"]]


def accepted(route: Object) -> bool:
    """Tell whether the gateway has accepted a route as it is."""
    generation = route["metadata"]["generation"]
    said = [c for parent in route.get("status", {}).get("parents", ()) for c in parent["conditions"]]
    wanted = {"Accepted", "ResolvedRefs"}
    good = {c["type"] for c in said if c["status"] == "True" and c.get("observedGeneration", 0) >= generation}
    return bool(route) and wanted <= good


def _is_operator(pid: int, *, cgroup: str) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        groups = Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False
    return words[1:3] == [b"-m", b"modelrelease"] and f"/{cgroup}/" in groups
