"""Triton, the metrics store and the Gateway, as told by the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from modelrelease.domain.observed import (
    Arm,
    Evidence,
    GatewayFacts,
    Meta,
    ProbeResult,
    Protocol,
    Record,
    Unknown,
)
from modelrelease.domain.spec import Spec

_LATENCY = ((5.0, 900.0), (10.0, 1000.0), (25.0, 1000.0), (50.0, 1000.0), (100.0, 1000.0), (float("inf"), 1000.0))
HEALTHY = Arm(requests=1000.0, failures=0.0, latency=_LATENCY)
FAILING = Arm(requests=1000.0, failures=400.0, latency=_LATENCY)


@dataclass(kw_only=True)
class Outside:
    """Implements Prober and EvidenceSource; `gateway` implements GatewayReader."""

    ready: bool = True
    stable: Arm = HEALTHY
    candidate: Arm = HEALTHY
    questions: list[str] = field(default_factory=list)

    async def probe(self, *, meta: Meta, spec: Spec, record: Record) -> ProbeResult:
        self.questions.append(f"probe {record.revision}")
        return ProbeResult(revision=record.revision, ready=self.ready)

    async def evidence(
        self,
        *,
        meta: Meta,
        protocols: tuple[Protocol, ...],
        start: datetime,
        end: datetime,
        baseline: tuple[datetime, datetime] | None,
    ) -> Evidence:
        self.questions.append("evidence")
        return Evidence(start=start, end=end, stable=self.stable, candidate=self.candidate)


@dataclass(kw_only=True)
class FakeGateway:
    """Implements GatewayReader."""

    answer: GatewayFacts | Unknown = field(default_factory=lambda: GatewayFacts(tells_slots_apart=True))

    async def facts(self, *, meta: Meta, spec: Spec) -> GatewayFacts | Unknown:
        return self.answer
