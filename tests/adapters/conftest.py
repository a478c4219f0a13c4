"""Real servers for the adapters: an API server, a Prometheus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from kubernetes.aio import client, config
from modelrelease.adapters.errors import KindAbsent
from modelrelease.adapters.kube import KubeClient
from modelrelease.domain import naming

from localcluster.api import Cluster
from tests.adapters.prometheus_looks import release, server, source  # noqa: F401 - fixtures
from tests.cluster_fixtures import control_plane  # noqa: F401 - a fixture

CRD = Path(__file__).parents[2] / "crds" / "modelreleases.yaml"


@pytest.fixture(scope="session")
def api_server(control_plane: Cluster) -> Cluster:  # noqa: F811 - pytest's way to ask
    """An API server that knows ModelReleases."""
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    return control_plane


@pytest.fixture
def namespace(api_server: Cluster) -> Iterator[str]:
    name = api_server.kubectl("create", "-o", "name", "-f", "-", stdin=_NAMESPACE).strip().removeprefix("namespace/")
    yield name
    api_server.kubectl("delete", "namespace", name, "--wait=false")


_NAMESPACE = '{"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "kube-"}}'


@pytest_asyncio.fixture
async def kube(api_server: Cluster) -> AsyncIterator[KubeClient]:
    configuration = client.Configuration()
    await config.load_kube_config(str(api_server.kubeconfig), client_configuration=configuration)
    async with client.ApiClient(configuration) as api:
        made = KubeClient(api)
        await _served(made)
        yield made


async def _served(kube: KubeClient) -> None:
    """Wait until a CRD that was just installed is served."""
    async with asyncio.timeout(30):
        while True:
            try:
                await kube.list(naming.KIND)
                return
            except KindAbsent:
                await asyncio.sleep(0.1)
