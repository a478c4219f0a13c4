"""A control plane of this folder's own: its operators serve all namespaces, and it takes definitions away."""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcluster import api, parts
from localcluster.api import Cluster
from localcluster.layout import states_dir
from tests.runtime.operators import ROOT, OperatorProcess, kubeconfig_of

StartOperator = Callable[..., OperatorProcess]


@pytest.fixture(scope="session")
def own_cluster() -> Iterator[Cluster]:
    # One test process at a time: there is one Lease. A cluster left behind by a killed one is replaced.
    name = "test-operator-" + hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    states_dir().mkdir(parents=True, exist_ok=True)
    with (states_dir() / f".{name}.user").open("w") as user:
        fcntl.flock(user, fcntl.LOCK_EX)
        api.take_down(name=name)
        cluster = api.ensure(name=name, size=parts.CONTROL_PLANE)
        try:
            cluster.kubectl("apply", "--server-side", "-k", str(ROOT / "manifests" / "overlays" / "local"))
            crd = str(ROOT / "crds" / "modelreleases.yaml")
            cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crd)
            yield cluster
        finally:
            cluster.down()


@pytest.fixture
def namespace(own_cluster: Cluster) -> Iterator[str]:
    made = own_cluster.kubectl(
        "create",
        "-o",
        "name",
        "-f",
        "-",
        stdin='{"apiVersion":"v1","kind":"Namespace","metadata":{"generateName":"t-"}}',
    )
    name = made.strip().removeprefix("namespace/")
    yield name
    own_cluster.kubectl("-n", name, "delete", "modelreleases", "--all")
    own_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def start_operator(own_cluster: Cluster, tmp_path: Path) -> Iterator[StartOperator]:
    """Start operators; what still runs at the end of a test is killed, and its Lease removed."""
    started: list[OperatorProcess] = []
    kubeconfig = kubeconfig_of(own_cluster, tmp_path)

    def start(*arguments: str) -> OperatorProcess:
        number = len(started)
        started.append(
            OperatorProcess(kubeconfig=kubeconfig, folder=tmp_path, name=f"operator-{number}", arguments=arguments)
        )
        return started[-1]

    yield start
    for operator in started:
        operator.stop()
    own_cluster.kubectl("-n", "modelrelease-system", "delete", "lease", "--all")
