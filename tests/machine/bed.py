"""A cluster, one or two operator processes, and everybody else; nothing moves unless it is told to."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import naming

from tests.fakes import controllers, ownership
from tests.fakes.samples import NAME, NAMESPACE, release
from tests.machine.guard import Design
from tests.machine.guarded import ROUTES, GuardedCluster
from tests.machine.operators import Ended, Operator, Outside
from tests.machine.wire import Mishap

KEY = (NAMESPACE, NAME)
T = TypeVar("T")

_LOOP = asyncio.new_event_loop()  # nothing of a test stays in it: every request in flight is ended with its bed


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end."""
    return _LOOP.run_until_complete(work)


class Bed:
    """Everything, in one place."""

    def __init__(self) -> None:
        self.cluster = GuardedCluster()
        self.cluster.guard = Design(cluster=self.cluster)
        self.outside = Outside()
        self.operators: list[Operator] = []
        self.squatters: list[Manifest] = []  # objects of others under names of ours
        self.spoilt = False  # whether the store gives no artifact to pods that start; a build puts it right

    def branch(self) -> Bed:
        """Return a bed with the same cluster, as it is now, and no process yet."""
        twin = Bed.__new__(Bed)
        twin.cluster = self.cluster.branch()
        twin.cluster.guard = Design(cluster=twin.cluster)
        twin.outside = copy.copy(self.outside)
        twin.operators, twin.squatters, twin.spoilt = [], [], self.spoilt
        return twin

    # -- operators ------------------------------------------------------------------------

    def add_operator(self) -> Operator:
        """Start another process."""
        self.operators.append(Operator(cluster=self.cluster, outside=self.outside, key=KEY))
        run(self.operators[-1].resync())
        return self.operators[-1]

    def look(self, operator: Operator, mishap: Mishap | None = None) -> Ended:
        """Let a process reconcile once; whoever dies starts anew."""
        return self._after(operator, run(operator.look(mishap)))

    def arrive(self, operator: Operator, *, dies: bool = False) -> Ended:
        """Let a process's delayed request arrive; it may be the last thing that is heard of the process."""
        return self._after(operator, run(operator.arrive(dies=dies)))

    def resync(self, operator: Operator) -> None:
        """Let a process list everything, as it does now and then."""
        run(operator.resync())

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.cluster.now += timedelta(seconds=seconds)

    def _after(self, operator: Operator, ended: Ended) -> Ended:
        if ended is Ended.DIED:
            self.restart(operator)
        return ended

    def restart(self, operator: Operator) -> None:
        """Kill a process and start it anew. What it had on its way is lost."""
        self.abandon(operator)
        operator.boot()
        while not run(operator.resync()):
            pass

    def abandon(self, operator: Operator) -> None:
        """End what a process has on its way without letting it arrive."""
        if operator.task is not None:
            operator.task.cancel()
            run(asyncio.wait({operator.task}))
            operator.task = None

    # -- everybody else -------------------------------------------------------------------

    def exists(self, kind: str, name: str = NAME) -> bool:
        """Tell whether an object is there."""
        return (kind, NAMESPACE, name) in self.cluster.objects

    def create(self, spec: Mapping[str, Any]) -> None:
        """A person applies the release."""
        made = release()
        self.cluster.create({**made, "spec": dict(spec)})

    def edit(self, spec: Mapping[str, Any]) -> None:
        """A person applies another spec."""
        self.cluster.edit(naming.KIND, *KEY, lambda live: live.update(spec=ownership.clone(dict(spec))))

    def annotate(self, name: str, value: str | None) -> None:
        """A person sets or removes an annotation of the release."""

        def change(live: Manifest) -> None:
            annotations = dict(live["metadata"].get("annotations") or {})
            annotations.pop(name, None)
            live["metadata"]["annotations"] = annotations | ({name: value} if value else {})

        self.cluster.edit(naming.KIND, *KEY, change)

    @property
    def spec(self) -> Manifest:
        """The release's spec."""
        found: Manifest = self.cluster.at(naming.KIND, *KEY)["spec"]
        return found

    @property
    def status(self) -> Manifest:
        """The release's status, as stored."""
        found: Manifest = self.cluster.at(naming.KIND, *KEY).get("status") or {}
        return found

    def finish_jobs(self, *, accuracy: float = 0.97) -> None:
        """Every build that runs comes to its end."""
        answer = {**controllers.ANSWER, "metrics": {"accuracy": {"value": accuracy, "rows": 270}}}
        for job in self.cluster.all("Job"):
            if not job.get("status"):
                self.spoilt = False
                controllers.finish_job(self.cluster, NAMESPACE, job["metadata"]["name"], answer)

    def fail_jobs(self) -> None:
        """Every build that runs fails."""
        for job in self.cluster.all("Job"):
            if not job.get("status"):
                controllers.fail_job(self.cluster, NAMESPACE, job["metadata"]["name"])

    def roll(self, *, ready: int | None = None, revision: str | None = None) -> None:
        """Pods of all Deployments, or of one, become what they should be; `ready` of them ready."""
        for deployment in self.cluster.all("Deployment"):
            own, name = deployment["metadata"]["labels"].get(naming.LABEL_REVISION), deployment["metadata"]["name"]
            if revision not in (None, own):
                continue
            if self.spoilt and not (deployment.get("status") or {}).get("readyReplicas"):
                controllers.roll(self.cluster, NAMESPACE, name, ready=0)
                controllers.refuse_artifact(self.cluster, NAMESPACE, name)
            else:
                controllers.roll(self.cluster, NAMESPACE, name, ready=ready)

    def endpoints(self) -> None:
        """EndpointSlices follow the pods."""
        controllers.sync_endpoints(self.cluster, NAMESPACE)

    def accept(self, *kinds: str, refused: str | None = None) -> None:
        """The gateway answers for these routes."""
        for kind in kinds:
            if self.exists(kind):
                controllers.accept(self.cluster, kind, NAMESPACE, NAME, refused=refused)

    def controllers(self) -> list[Callable[[], None]]:
        """Return what each controller does, in an order in which every one has to wait for the others."""
        return [
            self.finish_jobs,
            lambda: controllers.collect_garbage(self.cluster),
            *(partial(self.accept, kind) for kind in ROUTES),
            self.endpoints,
            self.roll,
        ]

    def settle(self) -> None:
        """Every controller does all that it can."""
        self.finish_jobs()
        controllers.collect_garbage(self.cluster)
        self.roll()
        self.endpoints()
        self.accept(*ROUTES)
