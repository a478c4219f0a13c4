"""Today's traffic of a release, read from Prometheus as the operator reads it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

from modelrelease.adapters.prometheus import PrometheusEvidence
from modelrelease.adapters.prometheus.client import PrometheusClient
from modelrelease.cli.errors import CommandError
from modelrelease.cli.spec_file import Written
from modelrelease.domain.counts import Evidence
from modelrelease.domain.observed import Meta, Protocol
from modelrelease.domain.plan import Window


def now() -> datetime:
    """Return the moment up to which is read."""
    return datetime.now(UTC).replace(microsecond=0)


def read(url: str, release: Written, *, namespace: str | None, window: Window) -> Evidence:
    """Return what a window holds, without custom metrics.

    Raises:
        CommandError: Prometheus does not tell.

    """
    evidence = asyncio.run(_read(url, release, namespace or release.namespace or "default", window))
    if evidence.error is not None:
        raise CommandError(evidence.error.message)
    return evidence


async def _read(url: str, release: Written, namespace: str, window: Window) -> Evidence:
    client = PrometheusClient(url)
    hosts = release.spec.traffic.gateway
    wanted = ((Protocol.HTTP, hosts.http), (Protocol.GRPC, hosts.grpc))
    analysis = replace(release.spec.rollout.analysis, metrics=())
    try:
        return await PrometheusEvidence(client).read(
            meta=Meta(name=release.name, namespace=namespace, uid="", generation=1, resource_version=""),
            spec=replace(release.spec, rollout=replace(release.spec.rollout, analysis=analysis)),
            protocols=tuple(protocol for protocol, names in wanted if names is not None),
            window=window,
            stable=None,
            candidate=None,
        )
    finally:
        await client.close()
