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
from dataclasses import dataclass, replace
from datetime import datetime

from modelrelease.adapters.triton.answers import Answer, Fault
from modelrelease.adapters.triton.asking import Asker, Outcome
from modelrelease.adapters.triton.carried import carried
from modelrelease.adapters.triton.connection import DEADLINE_SECONDS, channel, slot_address
from modelrelease.adapters.triton.differences import compare
from modelrelease.adapters.triton.golden_set import GoldenRequest, GoldenSet
from modelrelease.adapters.triton.labels import signs
from modelrelease.adapters.triton.rules import Rules, fitting, unfit
from modelrelease.adapters.triton.trouble import Trouble
from modelrelease.domain.analysis.golden import UNFIT
from modelrelease.domain.counts import GoldenCheck, GoldenComparison
from modelrelease.domain.observed import Meta, Record, Slot
from modelrelease.domain.policy import OutputComparison
from modelrelease.domain.problem import Problem

# A run asks no more of a revision after this long: it is the model's time that is spent.
MOST_SECONDS = 20.0
_LARGEST_ANSWER = 64 * 1024 * 1024

# Labelled inputs that are judged; a set of rows of a few numbers can carry far more of them.
_MOST_SIGNS = 1000


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A revision's check, its golden set if it could be asked any, and the answers that could be read."""

    record: Record
    check: GoldenCheck
    wanted: GoldenSet | None = None
    answers: tuple[tuple[GoldenRequest, Answer], ...] = ()


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
        self,
        *,
        meta: Meta,
        model: str,
        candidate: Record,
        stable: Record | None,
        compare: tuple[OutputComparison, ...],
        now: datetime,
    ) -> GoldenAnswers:
        """Ask the candidate through the preview slot and stable through its own, both at once."""
        misfits = (unfit(rule, candidate.result.contract) for rule in compare)
        if (why := next((said for said in misfits if said is not None), None)) is not None:
            problem = Problem(reason=UNFIT, message=why)
            return GoldenAnswers(checks=(GoldenCheck(revision=candidate.revision, at=now, asked=0, problem=problem),))
        run = _Run(prober=self, meta=meta, model=model, declared=compare, now=now)
        mine = run.check(candidate, Slot.PREVIEW)
        if stable is None:
            return GoldenAnswers(checks=((await mine).check,))
        found, control = await asyncio.gather(mine, run.check(stable, Slot.STABLE))
        compared = await run.compare(found, control)
        return GoldenAnswers(checks=(found.check, control.check), compared=compared)


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One run: what does not change while both revisions are asked."""

    prober: GoldenProber
    meta: Meta
    model: str
    declared: tuple[OutputComparison, ...]
    now: datetime

    async def check(self, record: Record, slot: Slot) -> _Asked:
        """Ask a revision its own golden requests."""
        known = GoldenCheck(revision=record.revision, at=self.now, asked=0)
        try:
            async with self._asker(record, slot) as asker:
                config = await asker.config()
                wanted = await carried(config, record=record)
                if (changed := await asker.changed(max_batch_size=config.max_batch_size)) is not None:
                    count = len(wanted.requests)
                    return _Asked(record=record, check=replace(known, asked=count, failed=count, message=changed))
                outcomes = await self._outcomes(asker, wanted, self._rules(wanted, record))
        except Trouble as trouble:
            return _Asked(record=record, check=replace(known, problem=trouble.problem))
        answers = tuple(
            (request, one.answer)
            for request, one in zip(wanted.requests, outcomes, strict=False)
            if one.answer is not None
        )
        check = _summary(outcomes, revision=record.revision, at=self.now)
        return _Asked(record=record, check=check, wanted=wanted, answers=answers)

    async def compare(self, asked: _Asked, control: _Asked) -> GoldenComparison | None:
        """Ask stable what the candidate has answered; None where it can't be asked that, or does not answer."""
        candidate, stable = asked.record, control.record
        if asked.wanted is None or candidate.result.contract != stable.result.contract:
            return None
        both: list[tuple[GoldenRequest, Answer, Answer]] = []
        started = time.perf_counter()
        try:
            async with self._asker(stable, Slot.STABLE) as asker:
                for request, mine in asked.answers:
                    theirs = await asker.ask(request, rules=None)
                    if theirs.answer is not None:
                        both.append((request, mine, theirs.answer))
                    if time.perf_counter() - started > self.prober.most:
                        break
        except Trouble:
            return None  # the check of stable tells
        if not both:
            return None
        return compare(
            [(mine, theirs) for _, mine, theirs in both],
            rules=self._rules(asked.wanted, candidate),
            signs=_signs(both, asked.wanted, control.wanted, candidate),
            candidate=candidate.revision,
            stable=stable.revision,
            rows=sum(request.rows for request, _, _ in both),
            at=self.now,
        )

    def _rules(self, wanted: GoldenSet, record: Record) -> Rules:
        return Rules(tolerance=wanted.tolerance, declared=fitting(self.declared, record.result.contract))

    @asynccontextmanager
    async def _asker(self, record: Record, slot: Slot) -> AsyncIterator[Asker]:
        """Open a connection of its own: the Service picks a pod anew."""
        from tritonclient.grpc import aio  # type: ignore[import-untyped]

        address = self.prober.address(self.meta, slot)
        options = channel(largest=_LARGEST_ANSWER)
        async with aio.InferenceServerClient(address, channel_args=options) as client:
            yield Asker(
                client=client,
                address=address,
                model=self.model,
                contract=record.result.contract,
                deadline=self.prober.deadline,
            )

    async def _outcomes(self, asker: Asker, wanted: GoldenSet, rules: Rules) -> list[Outcome]:
        """Ask the requests one by one, until one hangs or the time is over."""
        outcomes: list[Outcome] = []
        started = time.perf_counter()
        for request in wanted.requests:
            outcomes.append(await asker.ask(request, rules=rules))
            if outcomes[-1].fault is Fault.SILENT or time.perf_counter() - started > self.prober.most:
                break
        return outcomes


def _signs(
    both: Sequence[tuple[GoldenRequest, Answer, Answer]],
    wanted: GoldenSet,
    control: GoldenSet | None,
    candidate: Record,
) -> tuple[int, ...]:
    """Return which answers to labelled inputs are the better ones, nothing unless both were tested on the same rows.

    Of other rows one of the two may have been trained on some: it would look better than it is.
    """
    labelled = wanted.labelled
    if labelled is None or control is None or control.labelled != labelled:
        return ()
    output = candidate.result.contract.outputs[0].name
    found = [
        sign
        for request, mine, theirs in both
        if request.labels is not None
        for sign in signs(mine[output], theirs[output], request.labels, kind=labelled.kind, tolerance=wanted.tolerance)
    ]
    return tuple(found[:_MOST_SIGNS])


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
