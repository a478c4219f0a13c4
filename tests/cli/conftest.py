"""The control plane with the project's CRD, as in `tests/api`."""

from tests.api.conftest import modelrelease_api  # noqa: F401 - a fixture
from tests.cluster_fixtures import control_plane  # noqa: F401 - a fixture
