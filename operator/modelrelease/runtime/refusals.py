"""What the API server refused, kept until it is accepted: the reason for `status`, and when to try again.

A quota, a missing permission or a name that is taken goes away without an event that the
operator would see, so the same write is tried again, ever more rarely. Another write of the
same release (a rollback, above all) does not wait for it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from modelrelease.adapters import errors
from modelrelease.domain.problem import Problem
from modelrelease.runtime.store import Key

FIRST = timedelta(seconds=5)
LONGEST = timedelta(seconds=60)


class Refused(Exception):  # noqa: N818 - named for what happened
    """A write that trying again at once does not help."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One refused write."""

    problem: Problem
    tries: int
    retry_at: datetime


class Refusals:
    """The refused writes of each release; the first one is what its status tells."""

    def __init__(self) -> None:
        self._held: dict[Key, dict[str, Refusal]] = {}

    def of(self, key: Key) -> Refusal | None:
        """Return the release's first refusal."""
        return next(iter(self._held.get(key, {}).values()), None)

    def retry_at(self, key: Key) -> datetime | None:
        """Return when the next try of any is due."""
        return min((held.retry_at for held in self._held.get(key, {}).values()), default=None)

    def pending(self, key: Key, write: str, now: datetime) -> bool:
        """Tell whether this very write was refused and its next try is still ahead."""
        held = self._held.get(key, {}).get(write)
        return held is not None and now < held.retry_at

    def note(self, key: Key, write: str, problem: Problem, now: datetime) -> None:
        """Remember that a write was refused."""
        of_key = self._held.setdefault(key, {})
        tries = of_key[write].tries + 1 if write in of_key else 1
        pause = min(LONGEST, FIRST * 2.0 ** min(tries - 1, 10))
        of_key[write] = Refusal(problem=problem, tries=tries, retry_at=now + pause)

    def keep(self, key: Key, writes: Collection[str]) -> None:
        """Forget all but these: the others were accepted, or are no longer wanted."""
        kept = {write: held for write, held in self._held.pop(key, {}).items() if write in writes}
        if kept:
            self._held[key] = kept


def problem_of(error: errors.ApiError, what: str) -> Problem | None:
    """Return the problem that an answer means, None where the same write is worth another try as it is."""
    if isinstance(error, errors.QuotaExceeded):
        message = f"{what} is refused: {error}; free some of the quota or raise it"
        return Problem(reason="QuotaExceeded", message=message, waiting=True, what="room in the ResourceQuota")
    if isinstance(error, errors.Forbidden):
        message = f"{what} is refused: {error}; grant it to the operator's role, or see the admission policy it names"
        return Problem(reason="Forbidden", message=message)
    if isinstance(error, errors.Invalid):
        message = f"{what} is refused: {error}; correct the field of spec that it comes from"
        return Problem(reason="Invalid", message=message)
    if isinstance(error, errors.KindAbsent):
        message = f"{what} can't be created: this cluster does not know the kind; install the Gateway API's CRDs"
        return Problem(reason="GatewayAPINotInstalled", message=message)
    if isinstance(error, errors.NotFound):
        return Problem(reason="NotFound", message=f"{what} can't be created: {error}")
    return None
