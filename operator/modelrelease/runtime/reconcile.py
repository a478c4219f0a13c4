"""One look at one release: observe, decide, apply.

What is kept in memory is either a copy of the cluster (`store`) or a matter of pace (when
evidence was last read, when to try a refused write again). A restart loses no more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import codec
from modelrelease.domain.decide import decide
from modelrelease.domain.status import Verdict
from modelrelease.runtime.apply import Applier
from modelrelease.runtime.malformed import stalled
from modelrelease.runtime.observe import Observer
from modelrelease.runtime.store import Key, Store


def _now() -> datetime:
    return datetime.now(UTC)


def _nobody(key: Key, verdicts: Sequence[Verdict]) -> None:
    """Tell nobody what a look has shown."""


@dataclass(frozen=True, kw_only=True)
class Reconciler:
    """Brings releases towards what they should be."""

    store: Store
    observer: Observer
    applier: Applier
    clock: Callable[[], datetime] = _now
    tell: Callable[[Key, Sequence[Verdict]], None] = _nobody
    _checked: dict[Key, datetime] = field(default_factory=dict)

    async def reconcile(self, key: Key) -> datetime | None:
        """Do what can be done now for a release; return when there may be more, None if only an event tells.

        Raises:
            ApiError: the API server did not do its part; to be tried again.
        """
        release = self.store.release(key)
        if release is None:
            self._forget(key)
            return None
        # Status knows whole seconds; a moment that reads back as another would look like news.
        now = self.clock().replace(microsecond=0)
        refused = self.applier.refusals.of(key)
        problem = refused.problem if refused else None
        try:
            observed = await self.observer.observe(
                release, now=now, checked=self._checked.get(key), write_problem=problem
            )
        except codec.Malformed as error:
            await self._stall(release, str(error), now)
            return None
        plan = decide(observed, now)
        if plan.judged or plan.status.candidate is None:
            self.tell(key, plan.judged)
        written = await self.applier.apply(release, observed, plan, now=now)
        if observed.evidence is not None:
            self._checked[key] = observed.evidence.end
        held = self.applier.refusals.of(key)
        if written or (held.problem if held else None) != problem:
            return now
        moments = (plan.wake_at, self.applier.refusals.retry_at(key), self.observer.look_again(key, now=now))
        return min((moment for moment in moments if moment is not None), default=None)

    async def _stall(self, release: Manifest, message: str, now: datetime) -> None:
        """Say in the status that the object can't be understood; whatever serves goes on serving."""
        status = stalled(release, message=message, now=now)
        if status != (release.get("status") or {}):
            await self.applier.writer.replace_status(release, status)

    def _forget(self, key: Key) -> None:
        self._checked.pop(key, None)
        self.tell(key, ())
        self.observer.golden.forget(key)
        self.applier.forget(key)
