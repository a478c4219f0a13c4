"""Follows the release: every change of its status is kept, with the moment in which it was seen."""

import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from modelrelease.cli.errors import CommandError
from modelrelease.cli.release import Release, parse
from modelrelease.domain.status import Status

from localcluster.demo.records import Moment


class Source(Protocol):
    """What yields a release now and after each change."""

    def follow(self, name: str) -> Iterator[Mapping[str, Any] | None]:
        """Yield the release, None once it is deleted; ends when the server ends the watch."""


class Follower(threading.Thread):
    """Watches one release in a thread of its own."""

    def __init__(self, *, source: Source, name: str, retry_s: float = 1.0) -> None:
        super().__init__(name="follower", daemon=True)
        self._source, self._name, self._retry_s = source, name, retry_s
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._statuses: list[Status] = []
        self.act = ""
        """The act that is on: what changes now belongs to it."""
        self.moments: list[Moment] = []
        self.release: Release | None = None
        self.names: dict[str, str] = {}
        """Version by revision, for every revision that was seen."""
        self.trouble = ""
        """Why the release can't be followed just now."""

    def stop(self) -> None:
        """Follow no longer. The thread ends with the next change, at the latest with the process."""
        self._done.set()

    def begin(self, act: str) -> None:
        """Begin an act: the statuses before it are forgotten, the last one apart, which is its beginning."""
        with self._lock:
            self.act = act
            self._statuses = self._statuses[-1:]
            if self.moments:
                self.moments.append(_moment(at=time.time(), act=act, status=self._statuses[-1]))

    def statuses(self) -> tuple[Status, ...]:
        """Return the statuses of this act, beginning with the one before it."""
        with self._lock:
            return tuple(self._statuses)

    def run(self) -> None:
        """Follow until stopped; a lost connection is taken up again."""
        while not self._done.is_set():
            try:
                for body in self._source.follow(self._name):
                    if self._done.is_set():
                        return
                    if body is not None:
                        self.take(body)
            except CommandError as error:
                self.trouble = str(error)
                self._done.wait(self._retry_s)

    def take(self, body: Mapping[str, Any]) -> None:
        """Keep what one change brought."""
        release = parse(body)
        status, self.trouble = release.status, ""
        with self._lock:
            self.release = release
            for owner in (status.stable, status.candidate, *status.history):
                if owner is not None:
                    self.names[owner.revision] = owner.version
            if not self._statuses or status != self._statuses[-1]:
                self._statuses.append(status)
                moment = _moment(at=time.time(), act=self.act, status=status)
                self.moments.append(moment)


def _moment(*, at: float, act: str, status: Status) -> Moment:
    candidate = status.candidate
    return Moment(
        at=at,
        act=act,
        phase=status.phase or "Pending",
        step=status.step,
        desired=candidate.weight.desired if candidate else 0,
        accepted=candidate.weight.accepted if candidate else 0,
        candidate=candidate.version if candidate else "",
        stable=status.stable.version if status.stable else "",
    )
