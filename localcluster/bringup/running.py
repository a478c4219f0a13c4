"""What can be said of, and mended in, a cluster whose supervisor is alive."""

import contextlib

from localcluster import configuration, namespaces
from localcluster.bringup import node
from localcluster.errors import ClusterError
from localcluster.inside.supervisor import ask, described_parts
from localcluster.kube import Api
from localcluster.layout import Layout
from localcluster.progress import Progress, wait_until
from localcluster.record import Options, Record

_PARTS_TIMEOUT_S = 30
_HEALING_S = 20
# With the growing pauses between them, some seven seconds.
_STARTS_THAT_ARE_ENOUGH = 6


def repaired(*, layout: Layout, options: Options, progress: Progress) -> Record | None:
    """Return the record of a cluster that runs and answers, adjusted to ``options``; None when it must be restarted.

    The supervisor restarts what dies by itself: it is given some seconds to, before a restart ends every pod.
    """
    record = Record.read(layout.record)
    if record is None or not record.ready or namespaces.find(state=layout.root) is None:
        return None
    if record.options.size != options.size:
        return None
    try:
        _start_what_was_stopped(layout)
        await_parts(layout, timeout=_HEALING_S)
        with Api(kubeconfig=layout.kubeconfig) as api:
            wait_until(api.ready, what="the API server", timeout=_HEALING_S)
            return _adjust(layout=layout, record=record, options=options, api=api, progress=progress)
    except (ClusterError, OSError, ValueError, KeyError) as error:
        progress.say(f"cluster {layout.name} does not mend itself: {error}")
        return None


def _start_what_was_stopped(layout: Layout) -> None:
    for name, part in described_parts(layout.control_socket).items():
        if not part["wanted"]:
            ask(layout.control_socket, operation="start", part=name)


def _adjust(*, layout: Layout, record: Record, options: Options, api: Api, progress: Progress) -> Record:
    """Bring a running cluster to other options, without touching what runs on it."""
    if options == record.options:
        return record
    if options.gpus != record.options.gpus:
        progress.say(f"the node now has {options.gpus} GPUs")
        node.advertise_gpus(api=api, count=options.gpus)
    if options.scrape_interval != record.options.scrape_interval:
        progress.say(f"Prometheus now scrapes every {options.scrape_interval}")
        configuration.write_prometheus(layout=layout, scrape_interval=options.scrape_interval)
        ask(layout.control_socket, operation="kill", part="prometheus")
        await_parts(layout)
    adjusted = Record(options=options, ports=record.ports, ready=True, gateway_manifests=record.gateway_manifests)
    adjusted.write(layout.record)
    return adjusted


def await_parts(layout: Layout, *, timeout: float = _PARTS_TIMEOUT_S) -> None:
    """Wait until every part has answered."""

    def all_ready() -> bool:
        return all(part["ready"] for part in described_parts(layout.control_socket).values())

    wait_until(all_ready, what="every part to answer", timeout=timeout, hint=lambda: what_is_down(layout))


def what_is_down(layout: Layout) -> str:
    """Name the parts that do not answer and where their logs are, for an error message."""
    try:
        down = [name for name, part in described_parts(layout.control_socket).items() if not part["ready"]]
    except (OSError, ValueError, KeyError):
        down = ["supervisor"]
    return f"not answering: {', '.join(down) or 'nothing'}; logs in {layout.logs}"


def failing_part(layout: Layout) -> str:
    """Return the name of a part that has been started again and again and does not stay, or an empty string."""
    with contextlib.suppress(OSError, ValueError, KeyError):
        for name, part in described_parts(layout.control_socket).items():
            if not part["ready"] and part["starts"] >= _STARTS_THAT_ARE_ENOUGH:
                return name
    return ""
