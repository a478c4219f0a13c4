"""Options and fixtures that every test may use."""

from tests.cluster_fixtures import control_plane, full_cluster, pytest_addoption

__all__ = ["control_plane", "full_cluster", "pytest_addoption"]
