"""What the load generator and the watcher write down, and counts that are kept as it comes in."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

HTTP, GRPC = "http", "grpc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One inference, as the client saw it."""

    at: float
    """When it was sent, in seconds since the epoch."""
    protocol: str
    ok: bool
    latency_ms: float
    revision: str
    """The `x-model-revision` header of the answer; empty where there was no answer, or none from a slot."""
    error: str = ""
    """What went wrong: HTTP status or gRPC code, and what was said."""


@dataclass(frozen=True, kw_only=True)
class Count:
    """Requests of one revision."""

    ok: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.ok + self.failed


@dataclass(kw_only=True)
class Recorder:
    """Takes requests from one thread; others may read at any time."""

    requests: list[Request] = field(default_factory=list)
    _counts: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))

    def add(self, request: Request) -> None:
        """Write one request down."""
        self.requests.append(request)
        count = self._counts[request.revision]
        self._counts[request.revision] = Count(ok=count.ok + request.ok, failed=count.failed + (not request.ok))

    def counts(self) -> Mapping[str, Count]:
        """Return the counts by revision as of now."""
        return dict(self._counts)

    def since(self, moment: float) -> list[Request]:
        """Return the requests that were sent at that moment or later; answers come in a slightly different order."""
        found = []
        late = 12.0  # no request takes longer: behind one that was sent so much earlier there is none to be found
        for request in reversed(self.requests):
            if request.at < moment - late:
                break
            if request.at >= moment:
                found.append(request)
        return found


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The release at a moment in which something about it changed."""

    at: float
    act: str
    phase: str
    step: str
    desired: int
    accepted: int
    candidate: str
    """Version of the candidate; empty without one."""
    stable: str
    """Version that is stable; empty before the first."""

    def shares(self) -> dict[str, int]:
        """Return the percent of the traffic that the gateway was told to give to each version."""
        if not self.stable:
            return {}
        if not self.candidate or not self.accepted:
            return {self.stable: 100}
        return {self.stable: 100 - self.accepted, self.candidate: self.accepted}


@dataclass(frozen=True, kw_only=True)
class Span:
    """One act from its beginning to its end."""

    act: str
    title: str
    start: float
    end: float
