"""The demo itself: act by act, each awaited and checked."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from localcluster.demo import checks
from localcluster.demo.acts import Act
from localcluster.demo.checks import Check, Seen
from localcluster.demo.diagnosis import OPERATOR, OPERATOR_NAMESPACE, diagnose
from localcluster.demo.follower import Follower, Source
from localcluster.demo.load import Address, Load, try_both
from localcluster.demo.releases import release, surroundings
from localcluster.demo.screen import Screen
from localcluster.demo.settings import GRPC_HOST, HTTP_HOST, MODEL, NAMESPACE, RELEASE, Settings
from localcluster.demo.show import Show
from localcluster.demo.stage import Stage
from localcluster.demo.timeline import by_version, tally
from localcluster.errors import ClusterError

_OPERATOR_TIMEOUT_S = 120.0
_ACT_TIMEOUT_S = 600.0
_GATEWAY_TIMEOUT_S = 60.0
_CLEAR_TIMEOUT_S = 120.0
_LOOK_S = 0.25


class NotAsToldError(ClusterError):
    """Something that had to come did not."""


@dataclass(kw_only=True)
class Demo:
    """Plays the acts on a stage."""

    settings: Settings
    stage: Stage
    screen: Screen
    show: Show
    load: Load | None = field(default=None, init=False)

    def play(self) -> None:
        """Play all acts that are left; the first that does not end as told is an error."""
        try:
            for index in range(self.show.current, len(self.show.acts)):
                self.show.begin(index)
                act = self.show.act
                found = self._release_act(act) if act.version else self._install()
                self.show.end(found)
                self.screen.update(self.show)
                if self.show.failed(act.key):
                    msg = f"the act {act.title!r} did not end as told\n{diagnose(self.stage.kube)}"
                    raise NotAsToldError(msg)
        finally:
            self.stop()

    def stop(self) -> None:
        """Send no more requests, and follow no more."""
        if self.load is not None:
            self.load.stop()
        if self.show.follower is not None:
            self.show.follower.stop()

    def _install(self) -> list[Check]:
        """CRD and operator from the manifests as they are, and a namespace for the models."""
        kube = self.stage.kube
        self._say(f"kubectl apply -k {self.settings.overlay}")
        kube.apply_folder(self.settings.overlay)
        self._clear()
        kube.apply(surroundings())
        self._wait(
            "the operator's pods to be ready", lambda: self._operator_ready(), timeout=_OPERATOR_TIMEOUT_S, every=1
        )
        account = kube.get("deployment", OPERATOR, "-n", OPERATOR_NAMESPACE)["spec"]["template"]["spec"]
        own = account.get("serviceAccountName", "default")
        os.environ["KUBECONFIG"] = str(kube.kubeconfig)
        from modelrelease.cli.cluster import Cluster  # reads KUBECONFIG when it is imported

        source = cast(Source, Cluster(context=None, namespace=NAMESPACE))
        self.show.follower = Follower(source=source, name=RELEASE)
        return [Check(text=f"the operator runs as {own}, not as an administrator", ok=own == OPERATOR, found=own)]

    def _clear(self) -> None:
        """Remove what an earlier demo left in a cluster that was kept."""
        kube = self.stage.kube
        if kube.get("namespace", NAMESPACE):
            kube.run("delete", "namespace", NAMESPACE, "--wait=false")
            gone = "what an earlier demo left to be gone"
            self._wait(gone, lambda: not kube.get("namespace", NAMESPACE), timeout=_CLEAR_TIMEOUT_S, every=1)

    def _operator_ready(self) -> bool:
        status = self.stage.kube.get("deployment", OPERATOR, "-n", OPERATOR_NAMESPACE).get("status", {})
        return bool(status.get("replicas")) and status.get("availableReplicas") == status.get("replicas")

    def _release_act(self, act: Act) -> list[Check]:
        assert act.version is not None
        assert act.checks is not None
        follower = self.show.follower
        assert follower is not None
        jobs, since = self._jobs(), self.show.act_started
        self._say(f"kubectl apply of the release, version {act.version.name}")
        self.stage.kube.apply([release(version=act.version, settings=self.settings)])
        if not follower.is_alive():
            follower.begin(act.key)
            follower.start()
        generation = int(self.stage.kube.get("modelrelease", RELEASE, "-n", NAMESPACE)["metadata"]["generation"])
        self._wait(
            f"{act.version.name} to end and everything to settle",
            lambda: self._at_rest(follower, generation),
            timeout=_ACT_TIMEOUT_S,
        )
        if self.load is None and follower.statuses()[-1].stable is not None:
            self._start_load()
        elif act.stays_s:
            end = time.monotonic() + act.stays_s
            self._wait("nothing to happen", lambda: time.monotonic() >= end, timeout=2 * act.stays_s)
        served = by_version(tally(self.show.recorder.since(since)), names=self.show.names)
        seen = Seen(statuses=follower.statuses(), jobs_before=jobs, jobs_after=self._jobs(), served=served)
        return act.checks(seen)

    def _at_rest(self, follower: Follower, generation: int) -> bool:
        if self.load is not None and self.load.trouble is not None:
            raise NotAsToldError(f"the load generator broke: {self.load.trouble!r}")
        found = follower.release
        return found is not None and checks.at_rest(found.status, generation=generation)

    def _start_load(self) -> None:
        """Wait until the gateway serves the first version over both protocols, then send until the end."""
        address = Address(gateway=self.stage.gateway_address, http_host=HTTP_HOST, grpc_host=GRPC_HOST, model=MODEL)
        answers: list[str] = []

        def served() -> bool:
            answers.append(try_both(address))
            return not answers[-1]

        self._wait("the gateway to serve the model over HTTP and gRPC", served, timeout=_GATEWAY_TIMEOUT_S, every=0.5)
        self.load = Load(address=address, rate=self.settings.rate, recorder=self.show.recorder)
        self.load.start()

    def _jobs(self) -> frozenset[str]:
        return frozenset(str(job["metadata"]["name"]) for job in self.stage.kube.items("jobs", "-n", NAMESPACE))

    def _say(self, text: str) -> None:
        self.show.wait(text)
        self.screen.update(self.show)

    def _wait(self, what: str, there: Callable[[], bool], *, timeout: float, every: float = _LOOK_S) -> None:
        """Wait until something is there, showing how it goes; a timeout is an error that tells where to look."""
        self.show.wait(what)
        deadline = time.monotonic() + timeout
        look = 0.0
        while True:
            self.screen.update(self.show)
            if time.monotonic() >= look:
                if there():
                    return
                look = time.monotonic() + every
            if time.monotonic() > deadline:
                msg = f"gave up after {timeout:.0f} s waiting for {what}\n{diagnose(self.stage.kube)}"
                raise NotAsToldError(msg)
            time.sleep(_LOOK_S)
