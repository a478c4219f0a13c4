"""The images of the local cluster, as OCI archives, made without Docker and without a container registry.

`buildah` builds the project's real Dockerfile on a base made of Debian packages; images of one static binary are
written directly. What is built is kept under the cache directory and rebuilt only when what it is made of has changed.
"""

from localcluster.images.build import NAMES, build, build_all, reference
from localcluster.images.tools import interrupt

__all__ = ["NAMES", "build", "build_all", "interrupt", "reference"]
