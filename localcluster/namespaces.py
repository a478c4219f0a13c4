"""Make, find, enter and end the namespaces of a cluster, from the host.

Process 1 of a cluster is found by its command line, never by a stored process id: a file can be stale or lost,
the command line can't.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcluster.errors import ClusterError
from localcluster.progress import wait_until

_MODULE = "localcluster.inside"
_INIT = "init"
_SPAWN_S = 10
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Running:
    """The two processes that hold a cluster's namespaces, by their ids on the host."""

    holder: int
    """``unshare``: when it dies, the kernel kills ``init``."""
    init: int
    """Process 1 of the PID namespace: when it dies, the kernel kills everything in it."""


def python_environment() -> dict[str, str]:
    """Return the environment in which ``python -m localcluster...`` finds this package."""
    return {"PYTHONPATH": str(_ROOT), "PYTHONUNBUFFERED": "1"}


def spawn(*, state: Path, log: Path, path: str, descriptors: tuple[int, ...]) -> None:
    """Start process 1 in new namespaces, in a session of its own, so that it outlives this process."""
    command = ["setsid", "--fork", "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    with log.open("ab") as output:
        subprocess.run(
            [*command, sys.executable, "-m", _MODULE, str(state)],
            env={**os.environ, **python_environment(), "PATH": path},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
            check=True,
        )
    _note_init(state)


def _note_init(state: Path) -> None:
    """Write down which process is the cluster's process 1, for the moment in which it can't be found any more."""

    def noted() -> bool:
        running = find(state=state)
        if running is not None and running.init != running.holder:
            (state / _INIT).write_text(_life(running.init))
        return running is None or running.init != running.holder

    wait_until(noted, what="process 1 of the cluster", timeout=_SPAWN_S, interval=0.01)


def _life(pid: int) -> str:
    """Return the process id and when the process started, which together are unique; empty when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else f"{pid} {fields[19]}"


def find(*, state: Path) -> Running | None:
    """Return the processes that hold this state directory's namespaces, or None when the cluster is not up."""
    wanted = ["-m", _MODULE, str(state)]
    ids = [pid for pid, command in _commands() if command[-3:] == wanted]
    holders = {pid: _parent(pid) for pid in ids}
    for pid, parent in holders.items():
        if parent in holders:
            return Running(holder=parent, init=pid)
    # The holder is there but its child is not (yet, or any more).
    return Running(holder=ids[0], init=ids[0]) if ids else None


def end(*, state: Path, timeout: float = 20) -> None:
    """Kill everything in the cluster's namespaces and wait until it is gone."""
    while (running := find(state=state)) is not None:
        for pid in {running.holder, running.init}:
            _kill_and_wait(pid=pid, timeout=timeout)
    # Somebody else may have killed it just now: a process that is ending has no command line any more, but the
    # kernel lets process 1 become a zombie only after everything else in its namespace is gone.
    with contextlib.suppress(FileNotFoundError):
        last = (state / _INIT).read_text()
        wait_until(lambda: _life(int(last.split()[0])) != last, what="processes to end", timeout=timeout)


def enter(running: Running, *, argv: list[str]) -> list[str]:
    """Return the command line that runs ``argv`` inside the namespaces."""
    return ["nsenter", "-t", str(running.init), "-n", "-m", "-p", "--", *argv]


def members(running: Running) -> list[int]:
    """Return the host process ids of everything inside the cluster's PID namespace."""
    with contextlib.suppress(OSError):
        space = os.readlink(f"/proc/{running.init}/ns/pid")
        return [pid for pid in _process_ids() if _namespace(pid) == space]
    return []


def _namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def _process_ids() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]


def _commands() -> Iterator[tuple[int, list[str]]]:
    for pid in _process_ids():
        with contextlib.suppress(OSError):
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
            yield pid, [part.decode(errors="replace") for part in raw.split(b"\0")[:-1]]


def _parent(pid: int) -> int:
    try:
        # The name of the process is in parentheses and may contain anything; the fields follow the last one.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _kill_and_wait(*, pid: int, timeout: float) -> None:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], timeout)[0]:
            msg = f"process {pid} did not end within {timeout:.0f} s of being killed; look at /proc/{pid}/stack"
            raise ClusterError(msg)
    finally:
        os.close(handle)
