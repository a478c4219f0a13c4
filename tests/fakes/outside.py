"""Triton, the metrics store and the Gateway, as told by the test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from modelrelease.adapters.triton import GoldenAnswers
from modelrelease.domain.counts import Arm, Evidence
from modelrelease.domain.observed import GatewayFacts, Meta, ProbeResult, Protocol, Record, Unknown
from modelrelease.domain.plan import Window
from modelrelease.domain.policy import OutputComparison
from modelrelease.domain.spec import Spec

from tests.fakes.evidence import HEALTHY, Served, evidence, right_answers, share


@dataclass(kw_only=True)
class Outside:
    """Implements Prober and EvidenceSource; `gateway` implements GatewayReader."""

    ready: bool = True
    stable: Arm = HEALTHY
    candidate: Arm = HEALTHY
    release: Callable[[], Mapping[str, Any]] = dict  # as it is, for the split of the traffic
    questions: list[str] = field(default_factory=list)

    async def probe(self, *, meta: Meta, spec: Spec, record: Record) -> ProbeResult:
        self.questions.append(f"probe {record.revision}")
        return ProbeResult(revision=record.revision, ready=self.ready)

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
        self.questions.append(f"golden {candidate.revision}")
        return right_answers(candidate, stable, now)

    async def read(
        self,
        *,
        meta: Meta,
        spec: Spec,
        protocols: tuple[Protocol, ...],
        window: Window,
        stable: str | None,
        candidate: str | None,
    ) -> Evidence:
        self.questions.append("history" if window.block is None else "evidence")
        return evidence(window, Served(stable=self.stable, candidate=self.candidate, weight=share(self.release())))


@dataclass(kw_only=True)
class FakeGateway:
    """Implements GatewayReader."""

    answer: GatewayFacts | Unknown = field(default_factory=lambda: GatewayFacts(tells_slots_apart=True, mirrors=True))

    async def facts(self, *, meta: Meta, spec: Spec) -> GatewayFacts | Unknown:
        return self.answer
