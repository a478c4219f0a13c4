"""Options and fixtures that every test may use."""

from hypothesis import settings

from tests.cluster_fixtures import control_plane, full_cluster, pytest_addoption

__all__ = ["control_plane", "full_cluster", "pytest_addoption"]

# No deadline: on a busy machine an example may take longer than others, which says nothing about the code.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=25)
settings.load_profile("full")
