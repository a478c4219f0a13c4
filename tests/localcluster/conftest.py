"""The shared clusters, for the tests of the local cluster itself."""

from tests.cluster_fixtures import control_plane, full_cluster

__all__ = ["control_plane", "full_cluster"]
