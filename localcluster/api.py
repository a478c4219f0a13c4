"""The Python interface of the local cluster, for tests and the demo: ``with api.ensure(...) as cluster``."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from localcluster import host, namespaces, parts
from localcluster.bringup import down
from localcluster.bringup.images import load_image
from localcluster.bringup.lock import locked
from localcluster.bringup.up import up
from localcluster.errors import ClusterError
from localcluster.inside.supervisor import ask, described_parts
from localcluster.kube import Api
from localcluster.layout import DEFAULT_NAME, INSIDE, Layout
from localcluster.progress import Progress, wait_until
from localcluster.record import Record, Wish


class Status(TypedDict):
    """What ``status --json`` prints."""

    name: str
    up: bool
    size: str
    doors: dict[str, str]
    parts: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A cluster that is up."""

    layout: Layout
    record: Record

    @property
    def name(self) -> str:
        """Name of the cluster."""
        return self.layout.name

    @property
    def kubeconfig(self) -> Path:
        """Administrator's kubeconfig; works from the host."""
        return self.layout.kubeconfig

    @property
    def state_dir(self) -> Path:
        """Folder with logs, certificates and data."""
        return self.layout.root

    @property
    def audit_log(self) -> Path:
        """Every write request that the API server answered, one JSON object a line."""
        return self.layout.audit_log

    @property
    def api_server(self) -> str:
        """Address of the API server on the host."""
        return f"https://127.0.0.1:{self.record.ports['api']}"

    @property
    def gateway_address(self) -> str:
        """``host:port`` of the gateway on the host; HTTP and gRPC alike."""
        return f"127.0.0.1:{self._port('gateway')}"

    @property
    def prometheus_url(self) -> str:
        """Address of Prometheus on the host."""
        return f"http://127.0.0.1:{self._port('prometheus')}"

    def doors(self) -> dict[str, str]:
        """Return every address that can be reached from the host."""
        found = {"API server": self.api_server}
        if self.record.options.size == parts.FULL:
            found |= {"gateway": self.gateway_address, "Prometheus": self.prometheus_url}
        return found

    def _port(self, door: str) -> int:
        if door not in self.record.ports:
            msg = f"cluster {self.name} has no {door}: it is of size {self.record.options.size}, use --size full"
            raise ClusterError(msg)
        return self.record.ports[door]

    def client(self) -> Api:
        """Return a small API client with the administrator's rights, to be used in a ``with`` statement."""
        return Api(kubeconfig=self.kubeconfig)

    def kubectl_program(self) -> str:
        """Return where the kubectl of this cluster's version is."""
        return str(self.layout.bin / "kubectl")

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl and return what it printed; with ``check`` a failure is an error with kubectl's words."""
        done = subprocess.run(
            [self.kubectl_program(), *arguments],
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig)},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode != 0:
            msg = f"kubectl {' '.join(arguments)}: {done.stderr.strip()}"
            raise ClusterError(msg)
        return done.stdout

    def environment(self) -> dict[str, str]:
        """Return what a program inside the namespaces needs in its environment."""
        return {"PATH": parts.search_path(), "KUBECONFIG": str(INSIDE / "config" / "admin.kubeconfig")}

    def enter(self, argv: Sequence[str]) -> list[str]:
        """Return the command line that runs ``argv`` inside the cluster's namespaces."""
        running = namespaces.find(state=self.layout.root)
        if running is None:
            msg = f"cluster {self.name} is not running; bring it up with `python -m localcluster up`"
            raise ClusterError(msg)
        return [*host.privilege(), *namespaces.enter(running, argv=list(argv))]

    def exec_in_namespaces(self, *argv: str, check: bool = True) -> str:
        """Run a program on the cluster's node (its network, mounts and processes); return what it printed."""
        environment = {**os.environ, **self.environment()}
        done = subprocess.run(self.enter(argv), env=environment, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            msg = f"{' '.join(argv)} on the node of {self.name}: {done.stderr.strip()}"
            raise ClusterError(msg)
        return done.stdout

    def load(self, image: str | Path) -> None:
        """Give the node an image: an OCI archive, or the name of one of this project's images."""
        if prefix := host.privilege():
            _as_root(prefix, self.name, "load", str(image))
        else:
            load_image(layout=self.layout, image=str(image), progress=Progress())

    def kill(self, part: str) -> None:
        """Kill a part as a crash would; the supervisor starts it again at once."""
        self._operate("kill", part)

    def stop(self, part: str) -> None:
        """Take a part down until ``start``."""
        self._operate("stop", part)
        self._await(part, running=False)

    def start(self, part: str) -> None:
        """Start a part that ``stop`` took down, and wait until it accepts connections."""
        self._operate("start", part)
        self._await(part, running=True)

    def restart(self, part: str) -> None:
        """Stop and start a part."""
        self.stop(part)
        self.start(part)

    def part(self, name: str) -> dict[str, Any]:
        """Return what the supervisor knows of a part: ``pid``, ``running``, ``ready``, ``starts``, ``lastExit``."""
        return described_parts(self.layout.control_socket)[name]

    def down(self, *, purge: bool = False) -> None:
        """Take the cluster down."""
        take_down(name=self.name, purge=purge)

    def _operate(self, operation: str, part: str) -> None:
        answer = ask(self.layout.control_socket, operation=operation, part=part)
        if "error" in answer:
            raise ClusterError(str(answer["error"]))

    def _await(self, part: str, *, running: bool) -> None:
        key = "ready" if running else "running"
        wait_until(
            lambda: self.part(part)[key] is running, what=f"{part} to {'start' if running else 'stop'}", timeout=30
        )


def ensure(
    *, name: str = DEFAULT_NAME, size: str = parts.FULL, gpus: int | None = None, scrape_interval: str | None = None
) -> Cluster:
    """Return a working cluster of that name and size; one that runs already is used, adjusted to what is given."""
    return bring_up(name=name, wish=Wish(size=size, gpus=gpus, scrape_interval=scrape_interval))


def bring_up(*, name: str, wish: Wish, bin_dir: Path | None = None) -> Cluster:
    """Bring a cluster up, with progress on standard error."""
    layout = Layout.of(name=name)
    if prefix := host.privilege():
        options = {"--gpus": wish.gpus, "--scrape-interval": wish.scrape_interval, "--bin-dir": bin_dir}
        given = [text for option, value in options.items() if value is not None for text in (option, str(value))]
        _as_root(prefix, name, "up", "--size", wish.size, *given)
        return attach(name=name)
    return Cluster(layout=layout, record=up(layout=layout, wish=wish, bin_dir=bin_dir, progress=Progress()))


def _as_root(prefix: Sequence[str], name: str, *command: str) -> None:
    """Run one of our own commands with ``sudo``; it reports to the person itself."""
    argv = [*prefix, sys.executable, "-m", "localcluster", "--name", name, *command]
    environment = {**os.environ, **namespaces.python_environment()}
    if subprocess.run(argv, env=environment, stdout=subprocess.DEVNULL, check=False).returncode != 0:
        msg = f"`localcluster {' '.join(command)}` of cluster {name} failed as root"
        raise ClusterError(msg)


def attach(*, name: str = DEFAULT_NAME) -> Cluster:
    """Return a cluster that is up, without touching it."""
    layout = Layout.of(name=name)
    record = Record.read(layout.record)
    if record is None or namespaces.find(state=layout.root) is None:
        msg = f"cluster {name} is not up; bring it up with `python -m localcluster --name {name} up`"
        raise ClusterError(msg)
    return Cluster(layout=layout, record=record)


def take_down(*, name: str, purge: bool = False) -> None:
    """End a cluster and remove its state; images stay unless ``purge`` is given."""
    layout = Layout.of(name=name)
    if prefix := host.privilege():
        _as_root(prefix, name, "down", *(["--purge"] if purge else []))
        return
    with locked(layout):
        down.stop(layout)
        if purge:
            down.purge(layout)
        else:
            down.wipe(layout)


def status(*, name: str) -> Status:
    """Return what is known of a cluster, whether it is up or not."""
    layout = Layout.of(name=name)
    record = Record.read(layout.record)
    running = namespaces.find(state=layout.root) is not None
    cluster = Cluster(layout=layout, record=record) if record else None
    try:
        found = described_parts(layout.control_socket) if running else {}
    except (OSError, ValueError):
        found = {}
    return Status(
        name=name,
        up=bool(record and record.ready and found and all(part["running"] for part in found.values())),
        size=record.options.size if record else "",
        doors=cluster.doors() if cluster and running else {},
        parts=found,
    )
