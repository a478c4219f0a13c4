"""Fixtures that give tests a real cluster, shared by all test processes on the machine.

A cluster is brought up by whoever needs it first and taken down by whoever leaves last. Each user holds a shared
lock on a file, so that a test process that is killed stops counting at once. ``MODELRELEASE_KEEP=1`` leaves the
clusters up for the next run. With ``--context NAME`` the end-to-end tests use a cluster that exists.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localcluster import api, existing, parts
from localcluster.api import Cluster
from localcluster.layout import states_dir

# Two checkouts may differ in what they install: they never share a cluster.
_CHECKOUT = hashlib.sha256(str(Path(__file__).resolve().parent.parent).encode()).hexdigest()[:6]


@contextmanager
def shared_cluster(*, size: str) -> Iterator[Cluster]:
    """Give a cluster of that size to one test process for as long as it wants it."""
    name = f"test-{size}-{_CHECKOUT}"
    folder = states_dir()
    folder.mkdir(parents=True, exist_ok=True)
    users = os.open(folder / f".{name}.users", os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(users, fcntl.LOCK_SH)
        yield api.ensure(name=name, size=size, scrape_interval="2s")
        if os.environ.get("MODELRELEASE_KEEP") != "1" and _last(users):
            api.take_down(name=name)
    finally:
        os.close(users)


def _last(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """A real API server with its controllers and the Gateway API's definitions; no node."""
    with shared_cluster(size=parts.CONTROL_PLANE) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def full_cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A whole cluster: node, DNS, storage, gateway and metrics; with ``--context`` one that exists already."""
    context = request.config.getoption("--context", None)
    if context:
        yield existing.attach(
            context=context,
            gateway=request.config.getoption("--gateway-address"),
            prometheus=request.config.getoption("--prometheus-url"),
            folder=tmp_path_factory.mktemp("existing"),
        )
        return
    with shared_cluster(size=parts.FULL) as cluster:
        yield cluster


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let end-to-end tests run on a cluster that exists (imported by ``tests/conftest.py``)."""
    group = parser.getgroup("cluster")
    group.addoption("--context", help="run end-to-end tests on the cluster of this kubeconfig context")
    group.addoption("--gateway-address", default="", help="host:port where that cluster's gateway answers")
    group.addoption("--prometheus-url", default="", help="where that cluster's Prometheus answers")
