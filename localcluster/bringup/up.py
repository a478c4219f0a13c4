"""``up``: from nothing, from a half-dead cluster, or from one that runs already, to one that works."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from localcluster import binaries, certs, cgroups, configuration, doors, host, namespaces, parts
from localcluster.bringup import base, node, running
from localcluster.bringup.down import stop, wipe
from localcluster.bringup.lock import locked
from localcluster.errors import ClusterError
from localcluster.kube import Api
from localcluster.layout import Layout
from localcluster.plan import Plan
from localcluster.progress import Progress, wait_until
from localcluster.record import Options, Record, Wish

_API_TIMEOUT_S = 60


def up(*, layout: Layout, wish: Wish, bin_dir: Path | None, progress: Progress) -> Record:
    """Return the record of a cluster that works, starting or repairing it where it does not."""
    host.require_linux()
    with locked(layout):
        options = wish.settle(old.options if (old := Record.read(layout.record)) else None)
        if (record := running.repaired(layout=layout, options=options, progress=progress)) is not None:
            progress.say(f"cluster {layout.name} is up")
            return record
        host.require_packages(size=options.size, progress=progress)
        tools = binaries.ensure(bin_dir=bin_dir, full=options.size == parts.FULL, progress=progress)
        kept = _stop_what_is_left(layout=layout, progress=progress)
        try:
            return _start(layout=layout, options=options, tools=tools, progress=progress)
        except ClusterError as error:
            if not kept:
                raise
            # The data of a cluster that died is worth one attempt; then a new cluster is worth more.
            progress.say(f"{error}; the old data can't be used, starting with an empty cluster")
            stop(layout)
            wipe(layout)
            return _start(layout=layout, options=options, tools=tools, progress=progress)


def _stop_what_is_left(*, layout: Layout, progress: Progress) -> bool:
    """Kill the rest of an earlier run; return whether it left data to start from."""
    alive = namespaces.find(state=layout.root) is not None
    kept = (layout.root / "etcd").exists()
    if alive or kept:
        progress.say(f"cluster {layout.name} is not whole: starting it again with the data it has")
        stop(layout)
    return kept


def _start(*, layout: Layout, options: Options, tools: binaries.Toolset, progress: Progress) -> Record:
    old = Record.read(layout.record)
    listening = doors.listen(size=options.size, wanted=old.ports if old else {})
    try:
        record = Record(
            options=options,
            ports={name: listener.getsockname()[1] for name, listener in listening.items()},
            gateway_manifests=str(tools.gateway_manifests),
        )
        with progress.stage("preparing certificates and configuration"):
            _prepare(layout=layout, options=options, tools=tools, record=record)
        descriptors = {name: listener.fileno() for name, listener in listening.items()}
        plan = Plan(parts=parts.parts(size=options.size, sockets=descriptors), sockets=descriptors)
        plan.write(layout.config / "plan.json")
        namespaces.spawn(
            state=layout.root,
            log=layout.logs / "supervisor.log",
            path=parts.search_path(),
            descriptors=tuple(descriptors.values()),
        )
    finally:
        for listener in listening.values():
            listener.close()
    return _finish(layout=layout, record=record, progress=progress)


def _prepare(*, layout: Layout, options: Options, tools: binaries.Toolset, record: Record) -> None:
    for folder in (layout.root, layout.logs):
        folder.mkdir(parents=True, exist_ok=True)
    # Keys lie here, and whoever can reach the control socket can end parts of the cluster.
    layout.root.chmod(0o700)
    tools.link_into(layout.bin)
    certs.ensure(pki=layout.pki)
    runc = host.find("runc") or "runc"
    configuration.write(layout=layout, size=options.size, runc=runc, scrape_interval=options.scrape_interval)
    server = f"https://127.0.0.1:{record.ports['api']}"
    layout.kubeconfig.write_text(certs.kubeconfig(pki=layout.pki, identity="admin", server=server, name=layout.name))
    layout.kubeconfig.chmod(0o600)
    layout.audit_log.touch()
    record.write(layout.record)
    host.give_to_caller(
        layout.root.parent, layout.root, layout.logs, layout.kubeconfig, layout.audit_log, layout.record
    )
    if options.size == parts.FULL:
        cgroups.make(name=layout.cgroup)


def _finish(*, layout: Layout, record: Record, progress: Progress) -> Record:
    """Wait for the API server, install what belongs to the cluster, and note that it is ready."""
    began = datetime.now(tz=UTC)
    with Api(kubeconfig=layout.kubeconfig) as api:
        if record.options.size == parts.CONTROL_PLANE:
            _await_api_server(layout=layout, api=api, progress=progress)
            base.install(api=api, record=record, progress=progress)
        else:
            with node.loading_images(layout=layout, progress=progress) as images:
                _await_api_server(layout=layout, api=api, progress=progress)
                node.install(api=api, record=record, since=began, images=images, progress=progress)
    running.await_parts(layout)
    record = replace(record, ready=True)
    record.write(layout.record)
    progress.say(f"cluster {layout.name} is up")
    return record


def _await_api_server(*, layout: Layout, api: Api, progress: Progress) -> None:
    with progress.stage("waiting for the API server"):
        wait_until(
            lambda: _alive(layout) and api.ready(),
            what="the API server",
            timeout=_API_TIMEOUT_S,
            interval=0.1,
            hint=lambda: running.what_is_down(layout),
        )


def _alive(layout: Layout) -> bool:
    """Return True; raise when the namespaces or a part ended at their start, which no waiting will mend."""
    if namespaces.find(state=layout.root) is None:
        msg = f"the cluster's namespaces could not be set up; see {layout.logs / 'supervisor.log'}"
        raise ClusterError(msg)
    if failing := running.failing_part(layout):
        msg = f"{failing} ends whenever it is started; see {layout.logs / failing}.log"
        raise ClusterError(msg)
    return True
