"""One supervised process: when it may start, whether it answers, and how long to wait after it died."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

from localcluster.plan import Part

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_HEALTHY_AFTER_S = 30.0
_PROBE_S = 0.5


class Child:
    """A part of the plan and the process that runs it, if any."""

    def __init__(self, *, part: Part, logs: Path, sockets: tuple[int, ...]) -> None:
        self.part = part
        self._log = logs / f"{part.name}.log"
        self._sockets = sockets if part.keeps_sockets else ()
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = True
        self._answered = False
        self._start_at = 0.0
        self._started_at = 0.0
        self._pause = _FIRST_PAUSE_S
        self._starts = 0
        self._last_exit: int | None = None

    @property
    def pid(self) -> int | None:
        """Process id inside the namespace, or None when it is not running."""
        return self._process.pid if self._process else None

    def due(self, *, now: float) -> bool:
        """Return whether the process should be started now."""
        return self._wanted and self._process is None and now >= self._start_at

    def settled(self) -> bool:
        """Return whether nothing has to be polled: it answers, or it is meant to be down."""
        return self.ready() if self._wanted else True

    def start(self, *, now: float) -> None:
        """Start the process, with its output appended to its log."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.part.argv,
                env={**os.environ, **self.part.env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=self._sockets,
                start_new_session=True,
            )
        self._started_at, self._answered = now, False
        self._starts += 1

    def ready(self) -> bool:
        """Return whether the process runs and has answered since it was started."""
        if self._process is None:
            return False
        if not self._answered:
            self._answered = not self.part.probe or _answers(self.part.probe)
        return self._answered

    def ended(self, *, code: int, now: float) -> None:
        """Note that the process is gone (already reaped) and when to start it again."""
        if self._process is not None:
            self._process.returncode = code
        self._process = None
        self._last_exit = code
        self._pause = _FIRST_PAUSE_S if now - self._started_at > _HEALTHY_AFTER_S else self._pause
        self._start_at = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)

    def kill(self) -> None:
        """End the process without warning; it is started again as after any crash."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """End the process and leave it down until ``resume``."""
        self._wanted = False
        self.kill()

    def resume(self) -> None:
        """Start again what ``stop`` took down."""
        self._wanted = True
        self._start_at, self._pause = 0.0, _FIRST_PAUSE_S

    def describe(self) -> dict[str, object]:
        """Return what ``status`` shows."""
        return {
            "pid": self.pid,
            "running": self._process is not None,
            "ready": self.ready(),
            "wanted": self._wanted,
            "starts": self._starts,
            "lastExit": self._last_exit,
        }


def _answers(where: str) -> bool:
    try:
        if where.startswith("https://"):
            _get(where)
        elif where.startswith("/"):
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(where)
        else:
            host, _, port = where.rpartition(":")
            socket.create_connection((host, int(port)), timeout=_PROBE_S).close()
    except OSError:
        return False
    return True


def _get(url: str) -> None:
    """Fetch ``url``; an error status is an error, an unknown authority is not: this only asks whether it is up."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    urllib.request.urlopen(url, timeout=_PROBE_S, context=context).close()  # noqa: S310 - from our own plan
