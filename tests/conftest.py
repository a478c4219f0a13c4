"""Options and fixtures that every test may use."""

import gc

from hypothesis import settings

from tests.cluster_fixtures import control_plane, full_cluster, pytest_addoption

__all__ = ["control_plane", "full_cluster", "pytest_addoption"]

# No deadline: on a busy machine an example may take longer than others, which says nothing about the code.
settings.register_profile("full", deadline=None)
settings.register_profile("quick", deadline=None, max_examples=10, database=None)
settings.load_profile("full")

gc.disable()  # while thousands of tests are collected: all of it lives to the end


def pytest_collection_finish() -> None:
    """Collect garbage again, seldom, and spare what lives to the end: the tests and the modules that they import."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    gc.enable()
