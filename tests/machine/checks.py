"""What holds after every rule, and in the end."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from modelrelease.domain import codec, naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, GatewayFacts
from modelrelease.domain.spec import Spec
from modelrelease.domain.status import Status
from modelrelease.render import candidate_ppm

from tests.fakes.samples import NAME, NAMESPACE
from tests.machine import final, people
from tests.machine.bed import KEY, Bed
from tests.machine.guard_traffic import CANDIDATE, STABLE, WITH_TRAFFIC, believed_ready, selected
from tests.machine.guarded import ROUTES
from tests.machine.operators import Metrics, Operator
from tests.machine.script import Play, a_spec


def check_cluster(bed: Bed) -> None:
    """Hold the cluster against the design, whoever did what last."""
    status = codec.decode(Status, bed.status, "status")
    assert status.candidate is None or status.candidate.weight.desired <= 100
    check_traffic_has_a_place(bed)
    for made in (*people.foreign_objects(), *bed.squatters):
        kind, name = made["kind"], made["metadata"]["name"]
        live = bed.cluster.at(kind, NAMESPACE, name)
        assert {key: live[key] for key in ("spec",)} == {"spec": made["spec"]}, f"{kind} {name} is not ours"
        assert live["metadata"]["labels"] == made["metadata"]["labels"]


def check_look(bed: Bed, operator: Operator) -> None:
    """3: a process that knew all has taken the traffic from a candidate that nobody answers for."""
    candidate = bed.status.get("candidate") or {}
    slot = ("Service", NAMESPACE, f"{NAME}-{CANDIDATE}")
    routes = [bed.cluster.objects[(kind, *KEY)] for kind in ROUTES if bed.exists(kind)]
    routed = any((candidate_ppm(route) or 0) > FLOOR_PPM for route in routes)
    if not routed or candidate.get("stage") not in WITH_TRAFFIC or slot not in bed.cluster.objects:
        return
    if selected(bed.cluster.objects[slot]) == candidate["revision"]:
        assert believed_ready(operator, slot), "traffic stays with a candidate without a ready pod"


def check_traffic_has_a_place(bed: Bed) -> None:
    """2: what the gateway serves leads to a revision whose pods are wanted, unless people saw to the opposite."""
    cluster = bed.cluster
    for kind in ROUTES:
        served = cluster.served.get((kind, *KEY))
        if served is None:
            continue
        for slot, share in ((CANDIDATE, served), (STABLE, PPM - served)):
            ident = ("Service", NAMESPACE, f"{NAME}-{slot}")
            if share <= FLOOR_PPM or ident not in cluster.objects or ident in cluster.touched:
                continue
            deployment = ("Deployment", NAMESPACE, f"{NAME}-{selected(cluster.objects[ident])}")
            assert deployment in cluster.objects or deployment in cluster.vandalised, f"{share} ppm to {slot}: no pods"


def check_end(bed: Bed) -> None:
    """Leave everybody in peace: the spec's revision serves or was rejected, and then nothing is written any more."""
    first, second = bed.operators
    for operator in (first, second):
        bed.abandon(operator)
        operator.wire.read_trouble = None
        bed.resync(operator)
    bed.outside.metrics, bed.outside.probe, bed.outside.gateway = (
        Metrics.GOOD,
        True,
        GatewayFacts(tells_slots_apart=True, mirrors=True),
    )
    bed.spoilt = False
    people.give_names_back(bed)
    _nothing_to_wait_for(bed)
    play = Play(bed=bed, script=())
    for _ in play.pauses(looks=300):
        second.catch_up()
        bed.look(second)
    bed.settle()
    bed.restart(second)  # what it held back, for a refusal that is history, it would still have to tell
    status, target = codec.decode(Status, bed.status, "status"), naming.revision(codec.decode(Spec, bed.spec, "spec"))
    assert status.candidate is None
    rejected = status.rejected is not None and status.rejected.revision == target
    assert rejected or (status.stable is not None and status.stable.revision == target), bed.status
    assert status.observed_generation == bed.cluster.at(naming.KIND, *KEY)["metadata"]["generation"]
    _check_children(bed, status)
    _check_silence(bed, first)


def _nothing_to_wait_for(bed: Bed) -> None:
    spec = json.loads(json.dumps(bed.spec))
    spec["suspend"] = False
    for step in spec["rollout"].get("steps", ()):
        step.pop("pause", None)
    bed.edit(spec)


def _check_children(bed: Bed, status: Status) -> None:
    """What serves is what a new cluster would have, had the stable version been its first."""
    # Whoever deletes a Deployment by hand leaves its budget behind, which then stands for nothing.
    left = {f"PodDisruptionBudget {name}" for kind, _, name in bed.cluster.vandalised if kind == "Deployment"}
    left -= {f"PodDisruptionBudget {obj['metadata']['name']}" for obj in bed.cluster.all("Deployment")}
    found = final.children(bed.cluster)
    found = {name: made for name, made in found.items() if not name.endswith(" search") and name not in left}
    expected: dict[str, Any] = {}
    if status.stable is not None:
        serving, gateway = bed.spec["serving"], bed.spec["traffic"]["gateway"]
        expected = _fresh(status.stable.version, serving["replicas"], len(gateway.keys() & {"http", "grpc"}))
    found = _without_foreign(found)
    wrong = {name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)}
    assert not wrong, {name: (found.get(name), expected.get(name)) for name in wrong}


def _without_foreign(children: dict[str, Any]) -> dict[str, Any]:
    for made in children.values():
        made["metadata"]["labels"].pop(people.FOREIGN, None)
        made["metadata"]["annotations"].pop(people.FOREIGN, None)
    return children


@cache
def _fresh(version: str, replicas: int, protocols: int) -> dict[str, Any]:
    bed = Bed()
    bed.create(a_spec(version, protocols=protocols, serving__replicas=replicas))
    return final.children(Play(bed=bed, script=()).to_the_end().cluster)


def _check_silence(bed: Bed, operator: Operator) -> None:
    """5: at rest nobody writes: not now, not later, not after a restart."""
    writes, before = len(bed.cluster.writes), bed.status
    for after in (0, 1, 3600):
        bed.wait(after)
        for each in bed.operators:
            each.catch_up()
            bed.look(each)
        assert len(bed.cluster.writes) == writes, (bed.cluster.writes[writes:], before, bed.status)
        bed.restart(operator)
