"""What the machine must offer: Linux, root (or sudo without a password), and a few system packages."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from localcluster import parts
from localcluster.errors import ClusterError
from localcluster.progress import Progress

OTHER_WAY = "use a cluster that exists instead: `make demo CONTEXT=NAME`, `pytest --context NAME`"
_KEPT = (
    *("HOME", "PATH", "PYTHONPATH", "GOPROXY", "GOMODCACHE", "GOCACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME"),
    *("MODELRELEASE_CACHE", "MODELRELEASE_STATE", "MODELRELEASE_DOWNLOADS"),
)

# Command -> Debian package. The control plane needs only the first group.
_BASE = {"ip": "iproute2", "unshare": "util-linux", "nsenter": "util-linux", "mount": "mount", "openssl": "openssl"}
_NODE = {"runc": "runc", "iptables": "iptables", "conntrack": "conntrack"}
IMAGES = {"buildah": "buildah", "mmdebstrap": "mmdebstrap", "busybox": "busybox-static", "zstd": "zstd"}


def require_linux() -> None:
    """Refuse, in one sentence, to run where there are no namespaces."""
    if sys.platform != "linux":
        msg = f"the local cluster needs Linux (this is {sys.platform}); {OTHER_WAY}"
        raise ClusterError(msg)


def privilege() -> list[str]:
    """Return the prefix that runs a command as root: empty for root, else sudo if it asks for no password."""
    require_linux()
    if os.geteuid() == 0:
        return []
    if (
        shutil.which("sudo")
        and subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0
    ):
        return ["sudo", "-n", f"--preserve-env={','.join(_KEPT)}"]
    msg = f"the local cluster needs root, or sudo without a password, to make namespaces; {OTHER_WAY}"
    raise ClusterError(msg)


def give_to_caller(*paths: Path) -> None:
    """Hand files to the person who called ``sudo``, so that the commands that need no root work without it."""
    user, group = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if user and group:
        for path in paths:
            os.chown(path, int(user), int(group))


def require_packages(*, size: str, progress: Progress, also: Iterable[tuple[str, str]] = ()) -> None:
    """Install the system packages that are missing where that is possible, else name them in one sentence."""
    needed = _BASE | (_NODE if size == parts.FULL else {}) | dict(also)
    missing = sorted({package for command, package in needed.items() if not find(command)})
    if not missing:
        return
    names = " ".join(missing)
    if not (shutil.which("apt-get") and Path("/etc/debian_version").exists() and os.geteuid() == 0):
        msg = f"these system packages are missing: {names}; install them with the system's package manager"
        raise ClusterError(msg)
    with progress.stage(f"installing system packages {names}"):
        _apt("update", "-q")
        _apt("install", "-q", "-y", "--no-install-recommends", *missing)
    if still := [package for command, package in needed.items() if not find(command)]:
        msg = f"apt-get installed {names}, yet {', '.join(still)} did not bring the command; install it by hand"
        raise ClusterError(msg)


def find(command: str) -> str | None:
    """Return where a system command is; the administrator's folders are looked at even when PATH leaves them out."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin")


def _apt(*arguments: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"apt-get {arguments[0]} failed: {done.stderr.strip().splitlines()[-1:] or done.stdout[-200:]}"
        raise ClusterError(msg)
