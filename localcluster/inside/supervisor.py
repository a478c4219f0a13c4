"""Start the parts in their order, restart what dies, reap orphans, and answer on the control socket.

This is process 1 of a PID namespace: one thread, no shell, and nothing that can fail for long. What it
supervises is in the plan; it knows nothing of Kubernetes.
"""

import json
import os
import selectors
import signal
import socket
import time
from pathlib import Path
from typing import Any, cast

from localcluster.inside.child import Child
from localcluster.plan import Plan

_TICK_S = 0.05
_IDLE_TICK_S = 0.5


class Supervisor:
    """Keeps the parts of one plan running."""

    def __init__(self, *, plan: Plan, logs: Path, control: Path) -> None:
        logs.mkdir(exist_ok=True)
        sockets = tuple(plan.sockets.values())
        self._children = {part.name: Child(part=part, logs=logs, sockets=sockets) for part in plan.parts}
        self._selector = selectors.DefaultSelector()
        self._control = _listen(control)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._wakeup = _wake_on_child_exit()
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def run(self) -> None:
        """Supervise for ever; the end of this process is the end of the cluster."""
        while True:
            busy = self._start_what_is_due()
            for key, _ in self._selector.select(_TICK_S if busy else _IDLE_TICK_S):
                if key.fileobj is self._wakeup:
                    self._wakeup.recv(4096)
                else:
                    self._serve_one_request()
            self._reap()

    def _start_what_is_due(self) -> bool:
        """Start every child whose time has come; return whether some are still to start or to answer."""
        now = time.monotonic()
        for child in self._children.values():
            if child.due(now=now) and all(self._children[name].ready() for name in child.part.after):
                child.start(now=now)
        return any(not child.settled() for child in self._children.values())

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for child in self._children.values():
                if child.pid == pid:
                    child.ended(code=os.waitstatus_to_exitcode(status), now=time.monotonic())

    def _serve_one_request(self) -> None:
        connection, _ = self._control.accept()
        with connection:
            connection.settimeout(1)
            try:
                request = json.loads(connection.recv(65536))
                answer = self._answer(operation=request["operation"], name=request.get("part", ""))
                connection.sendall(json.dumps(answer).encode())
            except (OSError, ValueError, KeyError):
                return  # a caller that went away or speaks nonsense must not end the cluster

    def _answer(self, *, operation: str, name: str) -> dict[str, object]:
        if operation == "status":
            return {"parts": {name: child.describe() for name, child in self._children.items()}}
        child = self._children.get(name)
        if child is None:
            return {"error": f"there is no part {name!r}; parts are {', '.join(self._children)}"}
        match operation:
            case "kill":
                child.kill()
            case "stop":
                child.stop()
            case "start":
                child.resume()
            case _:
                return {"error": f"unknown operation {operation!r}"}
        return {"parts": {name: child.describe()}}


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(path))
    path.chmod(0o666)  # the folder that it lies in is its owner's alone
    control.listen(16)
    return control


def _wake_on_child_exit() -> socket.socket:
    """Return a socket that becomes readable whenever a child has ended."""
    reader, writer = socket.socketpair()
    for end in (reader, writer):
        end.settimeout(0)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    return reader


def ask(control: Path, *, operation: str, part: str = "", timeout: float = 5) -> dict[str, object]:
    """Send one request to the supervisor that listens at ``control`` (called on the host)."""
    # A path relative to a directory descriptor stays under the 107 bytes that a socket address can hold.
    directory = os.open(control.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(f"/proc/self/fd/{directory}/{control.name}")
            connection.sendall(json.dumps({"operation": operation, "part": part}).encode())
            connection.shutdown(socket.SHUT_WR)
            chunks = iter(lambda: connection.recv(65536), b"")
            answer: dict[str, object] = json.loads(b"".join(chunks))
            return answer
    finally:
        os.close(directory)


def described_parts(control: Path) -> dict[str, dict[str, Any]]:
    """Return what the supervisor says of each part (called on the host)."""
    return cast(dict[str, dict[str, Any]], ask(control, operation="status")["parts"])
