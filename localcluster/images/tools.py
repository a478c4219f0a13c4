"""Runs the programs that make images, and says in one sentence what went wrong."""

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from localcluster.errors import ClusterError

_SHOWN = 12
_INTERRUPTED = threading.Event()
_processes: set["subprocess.Popen[bytes]"] = set()


def interrupt() -> None:
    """End what runs in other threads, and let nothing more begin: somebody who pressed Ctrl-C does not wait for it."""
    _INTERRUPTED.set()
    for process in tuple(_processes):
        process.kill()


@contextmanager
def running(argv: Sequence[str], *, log: Path, hand_over: int | None = None) -> Iterator[None]:
    """Run a program with its output in the file `log`; at the end wait for it.

    If it failed, the error has its last lines. The file descriptor `hand_over` is given to the program and closed here.
    """
    if _INTERRUPTED.is_set():
        msg = f"{argv[0]!r} was not started: interrupted"
        raise ClusterError(msg)
    log.parent.mkdir(parents=True, exist_ok=True)
    handed = () if hand_over is None else (hand_over,)
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, pass_fds=handed)
        except FileNotFoundError as error:
            msg = f"images are made with {argv[0]!r}, which is not installed: run `apt-get install {argv[0]}`"
            raise ClusterError(msg) from error
        finally:
            for descriptor in handed:
                os.close(descriptor)
    _processes.add(process)
    with process:
        try:
            yield
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
            _processes.discard(process)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-_SHOWN:])
        msg = f"`{argv[0]}` ended with code {process.returncode}; its whole output is in {log} and ends with:\n{tail}"
        raise ClusterError(msg)


def certificates() -> Path:
    """Return the file of certificate authorities that this machine trusts, so that image builds trust the same."""
    found = ssl.get_default_verify_paths().cafile
    if found is None:
        msg = "no certificate authorities found on this machine: run `apt-get install ca-certificates`"
        raise ClusterError(msg)
    return Path(found).resolve()
