"""What the view shows, kept up to date by the demo."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from localcluster.demo.acts import Act
from localcluster.demo.checks import Check
from localcluster.demo.follower import Follower
from localcluster.demo.records import Count, Recorder, Span
from localcluster.demo.timeline import by_version, remaining

RECENT_S = 5.0


@dataclass(kw_only=True)
class Show:
    """The state of the whole demo at this moment."""

    acts: Sequence[Act]
    started: float
    rate: float
    current: int = 0
    act_started: float = 0.0
    spans: list[Span] = field(default_factory=list)
    checks: dict[str, list[Check]] = field(default_factory=dict)
    waiting: str = ""
    waiting_since: float = 0.0
    follower: Follower | None = None
    recorder: Recorder = field(default_factory=Recorder)
    clock: Callable[[], float] = time.time

    @property
    def act(self) -> Act:
        """The act that is on."""
        return self.acts[min(self.current, len(self.acts) - 1)]

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return self.clock() - self.started

    @property
    def left(self) -> float:
        """Seconds that it should still take."""
        expected = [act.expected for act in self.acts]
        return remaining(expected=expected, current=self.current, spent=self.clock() - self.act_started)

    @property
    def names(self) -> dict[str, str]:
        """Version by revision."""
        return dict(self.follower.names) if self.follower else {}

    def counts(self) -> dict[str, Count]:
        """Return the requests so far by version."""
        return by_version(self.recorder.counts(), names=self.names)

    def wait(self, what: str) -> None:
        """Say what is awaited from now on."""
        if what != self.waiting:
            self.waiting, self.waiting_since = what, self.clock()

    def begin(self, index: int) -> None:
        """Begin an act."""
        self.current, self.act_started = index, self.clock()
        if self.follower:
            self.follower.begin(self.act.key)

    def end(self, checks: list[Check]) -> None:
        """End the act that is on."""
        act = self.act
        self.spans.append(Span(act=act.key, title=act.title, start=self.act_started, end=self.clock()))
        self.checks[act.key] = checks
        self.waiting = ""
        if all(check.ok for check in checks):
            self.current += 1

    def failed(self, key: str) -> bool:
        """Tell whether an act ended otherwise than told."""
        return any(not check.ok for check in self.checks.get(key, ()))
