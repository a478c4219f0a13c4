"""Runs the programs that make images, and says in one sentence what went wrong."""

import shutil
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from localcluster.errors import ClusterError

_SHOWN = 12


def run(argv: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
    """Run a program with its output in the file `log`; raise with the last lines of it if it fails."""
    if shutil.which(argv[0]) is None:
        msg = f"the program {argv[0]!r} is needed to build images and is not installed: run `apt-get install {argv[0]}`"
        raise ClusterError(msg)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        ended = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, check=False)
    if ended.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN:])
        msg = f"`{argv[0]}` ended with code {ended.returncode}; the whole output is in {log}, it ends with:\n{tail}"
        raise ClusterError(msg)


def certificates() -> Path:
    """Return the file of certificate authorities that this machine trusts, so that image builds trust the same."""
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        msg = "no certificate authorities found on this machine: run `apt-get install ca-certificates`"
        raise ClusterError(msg)
    return Path(found).resolve()
