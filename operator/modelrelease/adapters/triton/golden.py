"""Asking a release's pods the golden requests: does each revision still answer as when it was built.

This is what catches what neither Triton nor a gateway counts as a failure: wrong numbers, NaN, a
changed schema, a backend that is dead while the server says that it is ready. A run asks one pod of
each revision, whichever its Service picks, and the next run may meet another. A failure is
confirmed by asking again at once. Every call has a deadline, and nothing here raises.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from modelrelease.adapters.triton.answers import Answer, Fault
from modelrelease.adapters.triton.asking import Asker, Outcome
from modelrelease.adapters.triton.carried import carried
from modelrelease.adapters.triton.connection import DEADLINE_SECONDS, channel, slot_address
from modelrelease.adapters.triton.differences import compare
from modelrelease.adapters.triton.golden_set import GoldenRequest, GoldenSet
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.counts import GoldenCheck, GoldenComparison
from modelrelease.domain.observed import Meta, Record, Slot

# A run asks no more of a revision after this long: it is the model's time that is spent.
MOST_SECONDS = 20.0
_LARGEST_ANSWER = 64 * 1024 * 1024

_Pairs = list[tuple[GoldenRequest, Answer]]


@dataclass(frozen=True, kw_only=True)
class GoldenAnswers:
    """What one run found: a check of each revision that was asked, and how their answers compare."""

    checks: tuple[GoldenCheck, ...]
    compared: GoldenComparison | None = None


@dataclass(frozen=True, kw_only=True)
class GoldenProber:
    """Runs golden requests. Nothing is kept between two runs."""

    address: Callable[[Meta, Slot], str] = slot_address
    deadline: float = DEADLINE_SECONDS  # of each call
    most: float = MOST_SECONDS

    async def ask(
        self, *, meta: Meta, model: str, candidate: Record, stable: Record | None, now: datetime
    ) -> GoldenAnswers:
        """Ask the candidate through the preview slot and stable through its own, both at once."""
        mine = self._check(meta, model, candidate, Slot.PREVIEW, now)
        if stable is None:
            return GoldenAnswers(checks=((await mine)[0],))
        (found, answers), (control, _) = await asyncio.gather(mine, self._check(meta, model, stable, Slot.STABLE, now))
        compared = await self._compare(meta, model, candidate, stable, answers, now)
        return GoldenAnswers(checks=(found, control), compared=compared)

    async def _check(
        self, meta: Meta, model: str, record: Record, slot: Slot, now: datetime
    ) -> tuple[GoldenCheck, _Pairs]:
        """Ask a revision its own golden requests; return its answers as well, those that could be read."""
        try:
            async with self._asker(meta, model, record, slot) as asker:
                config = await asker.config()
                wanted = await carried(config, record=record)
                if (changed := await asker.changed(max_batch_size=config.max_batch_size)) is not None:
                    count = len(wanted.requests)
                    check = GoldenCheck(revision=record.revision, at=now, asked=count, failed=count, message=changed)
                    return check, []
                outcomes = await self._outcomes(asker, wanted)
        except Trouble as trouble:
            return GoldenCheck(revision=record.revision, at=now, asked=0, problem=trouble.problem), []
        answers = [
            (request, one.answer)
            for request, one in zip(wanted.requests, outcomes, strict=False)
            if one.answer is not None
        ]
        return _summary(outcomes, revision=record.revision, at=now), answers

    async def _compare(
        self, meta: Meta, model: str, candidate: Record, stable: Record, answers: _Pairs, now: datetime
    ) -> GoldenComparison | None:
        """Ask stable what the candidate has answered; None where it can't be asked that, or does not answer."""
        if not answers or candidate.result.contract != stable.result.contract:
            return None
        pairs, rows = [], 0
        try:
            async with self._asker(meta, model, stable, Slot.STABLE) as asker:
                for request, mine in answers:
                    theirs = await asker.ask(request, tolerance=None)
                    if theirs.answer is not None:
                        pairs.append((mine, theirs.answer))
                        rows += request.rows
        except Trouble:
            return None  # the check of stable tells
        if not pairs:
            return None
        return compare(pairs, candidate=candidate.revision, stable=stable.revision, rows=rows, at=now)

    @asynccontextmanager
    async def _asker(self, meta: Meta, model: str, record: Record, slot: Slot) -> AsyncIterator[Asker]:
        """Open a connection of its own: the Service picks a pod anew."""
        from tritonclient.grpc import aio  # type: ignore[import-untyped]

        address = self.address(meta, slot)
        options = channel(largest=_LARGEST_ANSWER)
        async with aio.InferenceServerClient(address, channel_args=options) as client:
            yield Asker(
                client=client,
                address=address,
                model=model,
                contract=record.result.contract,
                deadline=self.deadline,
            )

    async def _outcomes(self, asker: Asker, wanted: GoldenSet) -> list[Outcome]:
        """Ask the requests one by one, until one hangs or the time is over."""
        outcomes: list[Outcome] = []
        started = time.perf_counter()
        for request in wanted.requests:
            outcomes.append(await asker.ask(request, tolerance=wanted.tolerance))
            if outcomes[-1].fault is Fault.SILENT or time.perf_counter() - started > self.most:
                break
        return outcomes


def _summary(outcomes: Sequence[Outcome], *, revision: str, at: datetime) -> GoldenCheck:
    """Return what a run found; it asked at least one request."""
    faults = Counter(one.fault for one in outcomes)
    place, first = next(((n, one) for n, one in enumerate(outcomes, start=1) if one.fault), (0, outcomes[0]))
    answered = [1000 * one.seconds for one in outcomes if one.fault is not Fault.SILENT]
    return GoldenCheck(
        revision=revision,
        at=at,
        asked=len(outcomes),
        failed=faults[Fault.ERROR] + faults[Fault.SILENT] + faults[Fault.SCHEMA],
        not_finite=faults[Fault.NOT_FINITE],
        wrong=faults[Fault.WRONG],
        latency_ms=statistics.median(answered) if answered else None,
        message=f"golden request {place} of {len(outcomes)}, asked twice: {first.message}" if first.fault else "",
    )
