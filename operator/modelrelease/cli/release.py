"""A ModelRelease as the command line sees it: the typed object and what can be read off it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelrelease.cli.errors import CommandError
from modelrelease.domain import codec
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import HistoryEntry, Outcome, Status


@dataclass(frozen=True, kw_only=True)
class Release:
    """One object, typed. `generation` is that of the spec as it is now."""

    name: str
    namespace: str
    generation: int
    spec: Spec
    status: Status

    @property
    def current(self) -> bool:
        """Whether the status answers the spec as it is now."""
        return self.status.observed_generation >= self.generation

    @property
    def failure(self) -> HistoryEntry | None:
        """The history entry of the rejected try, where the wanted revision was rejected."""
        rejected = self.status.rejected
        if rejected is None:
            return None
        tries = (e for e in self.status.history if (e.revision, e.attempt) == (rejected.revision, rejected.attempt))
        return next(tries, None)


def parse(body: Mapping[str, Any]) -> Release:
    """Return the typed release.

    Raises:
        CommandError: the object is not what this version of the command knows.

    """
    meta = body["metadata"]
    try:
        return Release(
            name=meta["name"],
            namespace=meta["namespace"],
            generation=int(meta.get("generation", 0)),
            spec=codec.decode(Spec, body.get("spec", {}), "spec"),
            status=codec.decode(Status, body.get("status", {}), "status"),
        )
    except codec.Malformed as error:
        raise CommandError(
            f"{meta['name']} can not be read: {error}; is the operator newer than this command?"
        ) from error


def ended(release: Release) -> Outcome | None:
    """Return how the wanted version ended, None while it is on its way.

    Promoted also stands for a release at rest whose wanted version serves already.
    """
    status = release.status
    if not release.current or status.candidate is not None:
        return None
    if status.rejected is not None:
        return release.failure.outcome if release.failure else Outcome.FAILED
    at_rest = status.stable is not None and status.waiting_for is None
    return Outcome.PROMOTED if at_rest else None
