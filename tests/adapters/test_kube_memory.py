"""The API server in memory keeps the promises that the tests of the runtime rest on."""

from __future__ import annotations

import pytest

from tests.adapters.kube_contract import TestApply, TestDelete, TestStatus
from tests.fakes.cluster import Cluster

__all__ = ["TestApply", "TestDelete", "TestStatus"]


@pytest.fixture
def kube() -> Cluster:
    return Cluster()


@pytest.fixture
def namespace() -> str:
    return "vision"
