"""One namespace with one served release on the shared full cluster; each test leaves it at rest."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator

import pytest
from modelrelease.domain.status import Status

from localcluster.api import Cluster
from localcluster.existing import ExistingCluster
from tests.e2e.releases import release
from tests.e2e.stand import MODEL, Stand, prepare, stand

_FIRST = 100
NextDelay = Callable[[], int]


@pytest.fixture(scope="session")
def home(full_cluster: Cluster) -> Iterator[Stand]:
    """The operator, and a release that was built and is served."""
    prepare(full_cluster)
    with stand(full_cluster, namespace=f"e2e-{os.getpid()}") as made:
        made.apply(release(namespace=made.namespace, delay=_FIRST))
        made.settled(within=300)
        made.served()
        yield made


@pytest.fixture
def digits(home: Stand) -> Stand:
    """The release at rest, whatever the test before left behind."""
    stable = home.status().stable
    assert stable is not None
    home.apply(release(namespace=home.namespace, delay=int(stable.version.removeprefix("delay-"))))
    home.settled()
    home.served()
    return home


@pytest.fixture(scope="session")
def delays() -> NextDelay:
    """Delays that no test has used: each is a revision of its own that needs no build."""
    counter = itertools.count(_FIRST + 1)
    return lambda: next(counter)


@pytest.fixture
def scratch(home: Stand) -> Iterator[str]:
    """The name of a second release, which is removed afterwards."""
    name = "scratch"
    yield name
    home.kubectl("delete", "modelrelease", name, "--ignore-not-found", "--timeout=60s")


@pytest.fixture
def node(full_cluster: Cluster) -> Cluster:
    """The cluster as a machine that may be broken: only a local one."""
    if isinstance(full_cluster, ExistingCluster):
        pytest.skip("breaks parts of the cluster: only on a local one")
    return full_cluster


def serves(home: Stand, before: Status) -> None:
    """Check that stable is what it was, and that it answers over both protocols."""
    stable = home.status(MODEL).stable
    assert stable is not None and before.stable is not None
    assert stable.revision == before.stable.revision
    home.served(within=5)
