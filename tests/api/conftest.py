"""The project's CRD on the control plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from kubernetes import client, config

from localcluster.api import Cluster
from tests.api.case import ROOT
from tests.cluster_fixtures import control_plane  # noqa: F401 - a fixture


@pytest.fixture(scope="session")
def modelrelease_api(control_plane: Cluster) -> Iterator[client.ApiClient]:  # noqa: F811 - pytest's way to ask
    """A client of an API server that knows ModelReleases. The CRD stays: other tests use the same server."""
    crd = str(ROOT / "crds" / "modelreleases.yaml")
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", crd)
    with config.new_client_from_config(str(control_plane.kubeconfig)) as api:
        yield api
