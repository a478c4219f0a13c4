"""What needs a full cluster: API writes of a release, how fast bad evidence is acted on, and requests lost."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import audit, detect, lost
from benchmarks.figures import Figure
from benchmarks.settings import Settings
from localcluster import api, parts
from localcluster.api import Cluster
from localcluster.progress import wait_until
from tests.e2e.releases import STEPS, release
from tests.e2e.stand import MODEL, Stand, prepare, stand, told

_STEPS = (5, 10, 25, 50, 75)
_WRITES_LIMIT = 40
_QUIET_S = 5.0
_FIRST = 100
_ONE_PROTOCOL = "one"  # a release of its own beside those with both: hostnames are not shared
_counter = itertools.count(_FIRST + 1)


def api_writes(settings: Settings) -> Iterator[Figure]:
    """Count what the operator's account writes for one release of five steps, build included, and then at rest."""
    with _served(settings, namespace="bench-writes", name=_ONE_PROTOCOL, grpc=False) as place:
        log = place.cluster.audit_log
        _await_quiet(place)  # the first version's route and its acceptance belong to the first version
        began = time.time()
        recipe = [{"pass": "train", "parameters": {"epochs": 3}}]  # another artifact: it has to be built
        made = release(
            namespace=place.namespace,
            name=_ONE_PROTOCOL,
            delay=next(_counter),
            grpc=False,
            steps=_STEPS,
            interval=f"{settings.step_seconds}s",
            build__recipe=recipe,
            rollout__bake={"duration": f"{settings.step_seconds}s"},
        )
        with place.traffic(rate=settings.rate, name=_ONE_PROTOCOL):
            place.apply(made)
            status = place.settled(name=_ONE_PROTOCOL, within=300 + 10 * settings.step_seconds)
        assert status.rejected is None, told(status)
        found = audit.of_operator(audit.writes(log), namespace=place.namespace, since=began)
        yield Figure(
            key="writes",
            what="API writes for a promoted release of 5 steps, one protocol",
            value=f"{len(found)}",
            target=f"at most {_WRITES_LIMIT}",
            met=len(found) <= _WRITES_LIMIT,
            how=f"steps and bake of {settings.step_seconds} s, build included, Lease apart: {audit.by_kind(found)}",
        )
        began = time.time()
        time.sleep(settings.rest_seconds)
        rest = audit.of_operator(audit.writes(log), namespace=place.namespace, since=began)
        yield Figure(
            key="writes-at-rest",
            what="API writes at rest",
            value=f"{60 * len(rest) / settings.rest_seconds:.0f} a minute",
            target="0 a minute",
            met=not rest,
            how=f"counted for {settings.rest_seconds} s after that release{': ' if rest else ''}{audit.by_kind(rest)}",
        )


def detection(settings: Settings) -> Iterator[Figure]:
    """Let bad candidates through their gates, and time how they are found."""
    with _served(settings, namespace="bench-detection") as place, place.traffic(rate=settings.rate):
        seconds = [detect.seconds_to_zero(place, delay=next(_counter)) for _ in range(settings.detections)]
    yield Figure(
        key="detection",
        what="bad evidence visible in Prometheus to weight 0 accepted",
        value=", ".join(f"{one:.1f} s" for one in seconds),
        target=f"under one interval + 1 s ({detect.INTERVAL_S + 1} s)",
        met=all(one < detect.INTERVAL_S + 1 for one in seconds),
        how=f"{len(seconds)} candidates that refuse and delay requests, at {detect.WEIGHT} % of {settings.rate:g}/s, "
        f"interval {detect.INTERVAL_S} s; visible: its samples, read every {detect.LOOK_S} s, first prove a failure",
    )


def losses(settings: Settings) -> Iterator[Figure]:
    """Promote, roll back and disturb under load; count what clients lost."""
    with _served(settings, namespace="bench-losses") as place:
        yield from lost.figures(place, settings=settings, delays=_counter)


def clear(settings: Settings) -> None:
    """Take the full cluster down."""
    api.take_down(name=settings.name)


def _await_quiet(place: Stand) -> None:
    """Wait until the operator has written nothing here for a while."""

    def quiet() -> bool:
        found = audit.of_operator(audit.writes(place.cluster.audit_log), namespace=place.namespace)
        return time.time() - max(write.received for write in found) > _QUIET_S

    wait_until(quiet, what="an operator that is done", timeout=60, interval=1)


@contextmanager
def _served(settings: Settings, *, namespace: str, name: str = MODEL, grpc: bool = True) -> Iterator[Stand]:
    """Give a stand whose first version was built and is served; what an interrupted run left is not in its way."""
    own = f"{namespace}-{os.getpid()}"
    with stand(_cluster(settings), namespace=own) as made:
        made.apply(release(namespace=own, name=name, delay=_FIRST, steps=STEPS, grpc=grpc))
        made.settled(name=name, within=300)
        if grpc:
            made.served()
        yield made


def _cluster(settings: Settings) -> Cluster:
    cluster = api.ensure(name=settings.name, size=parts.FULL, scrape_interval="2s")
    prepare(cluster)
    return cluster
