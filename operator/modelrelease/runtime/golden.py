"""Golden requests beside the reconcile loop: a run that hangs holds up no decision.

A run that is due is started and waited for a moment, which is enough for a model that answers. What
a slower one finds is told at the next look. The last run's answers are told at every look until the
next run is done, so that a look between two runs knows as much as the one before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from modelrelease.adapters.triton import GoldenAnswers
from modelrelease.domain.observed import Meta, Record
from modelrelease.domain.policy import OutputComparison
from modelrelease.runtime.store import Key

log = logging.getLogger(__name__)

# A healthy run takes some hundredths of a second.
PATIENCE_SECONDS = 2.0
# Whoever rolls out a thousand models at once still asks a few at a time.
AT_ONCE = 4

_NOTHING = GoldenAnswers(checks=())


class Asks(Protocol):
    """Runs golden requests."""

    async def ask(
        self,
        *,
        meta: Meta,
        model: str,
        candidate: Record,
        stable: Record | None,
        compare: tuple[OutputComparison, ...],
        now: datetime,
    ) -> GoldenAnswers:
        """Return what one run found; never raises."""


@dataclass(kw_only=True)
class _Release:
    """The last answers of two revisions, and the run that is under way."""

    revisions: tuple[str, str | None]
    answers: GoldenAnswers = _NOTHING
    run: asyncio.Task[GoldenAnswers] | None = None


class GoldenWatch:
    """Keeps each release's last answers, in memory only: after a restart it is asked anew."""

    def __init__(self, prober: Asks, *, patience: float = PATIENCE_SECONDS, at_once: int = AT_ONCE) -> None:
        self._prober = prober
        self._patience = patience
        self._turns = asyncio.Semaphore(at_once)
        self._releases: dict[Key, _Release] = {}

    async def latest(
        self,
        *,
        meta: Meta,
        model: str,
        candidate: Record,
        stable: Record | None,
        compare: tuple[OutputComparison, ...],
        due: bool,
        now: datetime,
    ) -> GoldenAnswers:
        """Return the newest answers of these two revisions, after a new run where one is `due`.

        `compare` is how the next run compares answers. No checks at all where nothing is known yet.
        """
        key = (meta.namespace, meta.name)
        revisions = (candidate.revision, stable.revision if stable else None)
        known = self._releases.get(key)
        if known is None or known.revisions != revisions:
            self.forget(key)
            known = self._releases[key] = _Release(revisions=revisions)
        if due and known.run is None:
            ask = partial(
                self._prober.ask, meta=meta, model=model, candidate=candidate, stable=stable, compare=compare, now=now
            )
            known.run = asyncio.create_task(self._run(ask))
        if known.run is not None:
            await asyncio.wait({known.run}, timeout=self._patience)
            self._take(known)
        return known.answers

    def forget(self, key: Key) -> None:
        """Drop what is known of a release, and call off its run."""
        known = self._releases.pop(key, None)
        if known is not None and known.run is not None:
            known.run.cancel()

    async def close(self) -> None:
        """Call off all runs, and wait until they have closed their connections."""
        runs = [known.run for known in self._releases.values() if known.run is not None]
        for key in list(self._releases):
            self.forget(key)
        await asyncio.gather(*runs, return_exceptions=True)

    async def _run(self, ask: Callable[[], Awaitable[GoldenAnswers]]) -> GoldenAnswers:
        async with self._turns:
            return await ask()

    def _take(self, known: _Release) -> None:
        run = known.run
        if run is None or not run.done():
            return
        known.run = None
        if run.cancelled():
            return
        if (error := run.exception()) is not None:
            log.error("a run of golden requests failed: this is a defect of the operator", exc_info=error)
            return
        known.answers = run.result()
