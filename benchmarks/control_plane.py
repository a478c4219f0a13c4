"""What needs no node: from apply to build Job, the operator's memory, and how fast a control plane comes up."""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from benchmarks.audit import Write, writes
from benchmarks.figures import Figure, quantile
from benchmarks.settings import Settings
from localcluster import api, parts
from localcluster.api import Cluster
from localcluster.progress import wait_until
from tests.e2e.releases import release, surroundings
from tests.runtime.operators import ROOT, OperatorProcess, kubeconfig_of

_NAMESPACE = "bench"
_MEMORY_LIMIT_MB = 150
_UP_LIMIT_S = {parts.CONTROL_PLANE: 5.0, parts.FULL: 40.0}
_P99_LIMIT_S = 1.0


def up_times(settings: Settings, *, size: str) -> Iterator[Figure]:
    """Bring a cluster up a few times, as a person does; programs and images are there from a first one."""
    name = f"{settings.name}-up"
    seconds = []
    try:
        for _ in range(settings.ups + 1):
            began = time.monotonic()
            command = [sys.executable, "-m", "localcluster", "--name", name, "up", "--size", size]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds.append(time.monotonic() - began)
            api.take_down(name=name)
    finally:
        api.take_down(name=name)
    measured = sorted(seconds[1:])
    limit = _UP_LIMIT_S[size]
    median = measured[len(measured) // 2]
    yield Figure(
        key=f"up-{size}",
        what=f"local cluster up, {size}, cached",
        value=f"{median:.1f} s (of {', '.join(f'{s:.1f}' for s in measured)})",
        target=f"under {limit:.0f} s",
        met=median < limit,
        how=f"median of {settings.ups} times `python -m localcluster up --size {size}`",
    )


def many_releases(settings: Settings) -> Iterator[Figure]:
    """Apply many releases at once on a control plane with a real operator process; then weigh the operator."""
    with _operator(f"{settings.name}-control") as (cluster, operator):
        for key, what, apply in _WAYS:
            namespace = f"{_NAMESPACE}-{key}"
            _prepare(cluster, namespace)
            seconds = _to_job(cluster, namespace, settings.releases, apply)
            yield _latency(key, what, seconds)
            _await_rest(cluster)
            if key == "one-file":
                yield _memory(operator, settings)
            _clear(cluster, namespace, operator)


def _latency(key: str, what: str, seconds: list[float]) -> Figure:
    half, most = quantile(seconds, 0.5), quantile(seconds, 0.99)
    return Figure(
        key=f"apply-to-job-{key}",
        what="`kubectl apply` to build Job created, p50 / p99",
        value=f"{half:.2f} s / {most:.2f} s",
        target=f"p99 under {_P99_LIMIT_S:.0f} s",
        met=most < _P99_LIMIT_S,
        how=f"{what}; from the API server's answer to each create to its answer to the Job's, by the audit log",
    )


def _memory(operator: OperatorProcess, settings: Settings) -> Figure:
    now, peak = _resident(operator, "VmRSS"), _resident(operator, "VmHWM")
    return Figure(
        key="memory",
        what=f"operator memory with {settings.releases} releases",
        value=f"{now:.0f} MB (peak {peak:.0f} MB)",
        target=f"under {_MEMORY_LIMIT_MB} MB",
        met=peak < _MEMORY_LIMIT_MB,
        how="resident set of the process, each release with a build Job and its pod",
    )


@contextmanager
def _operator(name: str) -> Iterator[tuple[Cluster, OperatorProcess]]:
    cluster = api.ensure(name=name, size=parts.CONTROL_PLANE)
    try:
        cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "overlays" / "local"))
        crd = str(ROOT / "crds" / "modelreleases.yaml")
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crd)
        with tempfile.TemporaryDirectory() as folder:
            kubeconfig = kubeconfig_of(cluster, Path(folder))
            operator = OperatorProcess(kubeconfig=kubeconfig, folder=Path(folder), name="operator")
            try:
                operator.await_line("listed")
                yield cluster, operator
            finally:
                operator.stop()
    finally:
        cluster.down()


def _prepare(cluster: Cluster, namespace: str) -> None:
    with cluster.client() as client:
        client.install_all(surroundings(namespace)[:1])


def _to_job(
    cluster: Cluster, namespace: str, count: int, apply: Callable[[Cluster, list[dict[str, object]]], None]
) -> list[float]:
    """Return for each release the seconds from the answer to its create to the answer to its Job's."""
    apply(cluster, [release(namespace=namespace, name=f"model-{number:03}") for number in range(count)])

    def found() -> tuple[dict[str, Write], dict[str, Write]]:
        good = [w for w in writes(cluster.audit_log) if w.namespace == namespace and w.code < 300]
        asked = {w.name: w for w in good if w.resource == "modelreleases" and w.user == "admin"}
        return asked, {w.name.partition("-build-")[0]: w for w in good if w.resource == "jobs"}

    wait_until(lambda: len(found()[1]) == count, what="a Job for every release", timeout=120, interval=0.5)
    asked, made = found()
    assert asked.keys() == made.keys(), "every release that was applied has its Job"
    return [made[name].answered - asked[name].answered for name in asked]


def _in_one_file(cluster: Cluster, releases: list[dict[str, object]]) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": releases}))


def _in_a_burst(cluster: Cluster, releases: list[dict[str, object]]) -> None:
    """Create all at the same moment, each on a connection of its own."""
    gate = threading.Barrier(len(releases))

    def create(one: dict[str, object]) -> None:
        with cluster.client() as client:
            client.ready()  # the connection is open before the start
            gate.wait()
            client.install(one)

    with ThreadPoolExecutor(len(releases)) as pool:
        list(pool.map(create, releases))


_WAYS = (
    ("one-file", "one `kubectl apply -f` of 100 releases", _in_one_file),
    ("burst", "100 clients that create one release each at the same moment", _in_a_burst),
)


def _await_rest(cluster: Cluster) -> None:
    """Wait until nobody has written anything for a while."""

    def quiet() -> bool:
        before = sum(1 for _ in cluster.audit_log.open())
        time.sleep(2)
        return sum(1 for _ in cluster.audit_log.open()) - before < 5

    wait_until(quiet, what="a cluster at rest", timeout=120)


def _clear(cluster: Cluster, namespace: str, operator: OperatorProcess) -> None:
    cluster.kubectl("-n", namespace, "delete", "modelreleases", "--all", "--wait=false")
    assert operator.process.poll() is None, operator.log.read_text()[-2000:]
    cluster.kubectl("-n", namespace, "delete", "jobs,pods", "--all", "--grace-period=0", "--force", "--wait=false")
    _await_rest(cluster)


def _resident(operator: OperatorProcess, field: str) -> float:
    lines = Path(f"/proc/{operator.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024
