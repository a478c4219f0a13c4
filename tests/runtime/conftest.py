"""A control plane of this folder's own: its operators serve all namespaces, and it takes definitions away."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcluster import api, parts
from localcluster.api import Cluster
from tests.runtime.operators import ROOT, OperatorProcess, kubeconfig_of

StartOperator = Callable[..., OperatorProcess]


@pytest.fixture(scope="session")
def own_cluster() -> Iterator[Cluster]:
    cluster = api.ensure(name=f"test-operator-{os.getpid()}", size=parts.CONTROL_PLANE)
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
