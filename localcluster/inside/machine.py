"""Make a fresh set of namespaces look like a machine: addresses, routes, and folders that nobody else sees.

Every mount made here lives in the cluster's own mount namespace and ends with it.
"""

import subprocess
from pathlib import Path

from localcluster import network
from localcluster.layout import INSIDE


def prepare(*, state: Path) -> None:
    """Set up mounts and network. Called once, by process 1, before anything is started."""
    _mounts(state=state)
    _network()


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True)


def _mounts(*, state: Path) -> None:
    # -n throughout: mount's own table lies in /run, which is being replaced.
    _run("mount", "-n", "--make-rprivate", "/")
    # /run of one's own: sockets, locks (xtables.lock) and network namespaces of several clusters never meet.
    # The state directory is bound into it before it covers the host's /run, in case it lies there itself.
    scratch = state / "run"
    scratch.mkdir(exist_ok=True)
    _run("mount", "-n", "-t", "tmpfs", "-o", "mode=755", "run", str(scratch))
    (scratch / INSIDE.name).mkdir()
    _run("mount", "-n", "--bind", str(state), str(scratch / INSIDE.name))
    _run("mount", "-n", "--move", str(scratch), "/run")
    # kubelet, containerd and CNI write to fixed places under /var: let them, into a layer that vanishes.
    layers = Path("/run/var")
    for name in ("upper", "work"):
        (layers / name).mkdir(parents=True)
    options = f"lowerdir=/var,upperdir={layers}/upper,workdir={layers}/work"
    _run("mount", "-n", "-t", "overlay", "-o", options, "var", "/var")
    resolv = INSIDE / "config" / "resolv.conf"
    if resolv.exists():
        # Names are asked of the cluster's DNS, which refuses what it does not know at once: a pull of an
        # image that nobody built fails in milliseconds instead of waiting for a name server out of reach.
        _run("mount", "-n", "--bind", str(resolv), str(Path("/etc/resolv.conf").resolve()))


def _network() -> None:
    """Loopback, and a bridge that carries the node's address (the kernel may lack the dummy device)."""
    device = network.NODE_DEVICE
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "add", device, "type", "bridge")
    _run("ip", "address", "add", f"{network.NODE_ADDRESS}/{network.NODE_PREFIX}", "dev", device)
    _run("ip", "link", "set", device, "up")
    # Service addresses need some route before kube-proxy's rules can redirect them.
    _run("ip", "route", "add", "default", "dev", device)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
