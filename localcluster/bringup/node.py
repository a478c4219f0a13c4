"""What the full size has: a node, DNS, storage, the gateway and metrics."""

from localcluster.kube import Api
from localcluster.layout import Layout
from localcluster.progress import Progress
from localcluster.record import Record


def install(*, layout: Layout, api: Api, record: Record, progress: Progress) -> None:
    """Install them."""
    raise NotImplementedError((layout, api, record, progress))
