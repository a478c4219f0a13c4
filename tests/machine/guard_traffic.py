"""What no write to a route, a slot or a Deployment may do (design, section 5, points 1, 2, 3, 7 and 8).

The rules are written anew here, from the design and on manifests, and share nothing with
`decide` but names. Facts come from the live cluster; where the operator can't know better
than its cache (pods die, people edit), from the cache of the process that wrote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import codec, naming
from modelrelease.domain.observed import FLOOR_PPM, PPM, Mirror
from modelrelease.render import candidate_ppm, mirror

from tests.fakes.cluster import Ident
from tests.machine.guarded import ROUTES, Actor, GuardedCluster

STABLE, CANDIDATE = "stable", "candidate"
WITH_TRAFFIC = ("Step", "Bake")
PERCENT = PPM // 100
NOTHING = {STABLE: 0, CANDIDATE: 0}


def shares(route: Mapping[str, Any]) -> dict[str, int] | None:
    """Return each slot's weight, None where the route does not hold our two backends and nothing else."""
    name = route["metadata"]["name"]
    rules = route["spec"]["rules"]
    backends = rules[0]["backendRefs"] if len(rules) == 1 else []
    copies = mirror(route)
    if copies is not None and copies.slot == "preview" and len(backends) == 3:
        *backends, named = backends  # a gRPC route has to name where its copies go; nothing is sent there
        assert (named["name"], named["weight"]) == (f"{name}-preview", 0), f"{named} is no place for copies"
    if [backend["name"] for backend in backends] != [f"{name}-{STABLE}", f"{name}-{CANDIDATE}"]:
        return None
    return {slot: backend["weight"] for slot, backend in zip((STABLE, CANDIDATE), backends, strict=True)}


def selected(service: Manifest | None) -> str | None:
    """Return the revision that a slot's Service selects."""
    return (service or {}).get("spec", {}).get("selector", {}).get(naming.LABEL_REVISION)


def check_route(cluster: GuardedCluster, actor: Actor, before: Manifest | None, after: Manifest) -> None:
    """1: weights are whole and bounded. 2: weight comes only to a slot that serves what the status says."""
    new = shares(after)
    assert new is not None, "a route without exactly the two places"
    assert sum(new.values()) == PPM and min(new.values()) >= FLOOR_PPM, f"weights {new}"
    old = _of_a_million(shares(before) if before else None)
    status = _status(cluster, actor, after)
    copies = mirror(after)
    if copies is not None and (before is None or mirror(before) != copies):
        _check_copies(cluster, after, status, copies)
    for slot, share in new.items():
        if share > max(old[slot], FLOOR_PPM):
            _check_rise(cluster, actor, after, status, slot=slot, share=share)


def _check_copies(cluster: GuardedCluster, route: Manifest, status: Manifest, copies: Mirror) -> None:
    """2: copies go to whom they are meant for, and never more than the candidate does not get anyway."""
    candidate, rollout = status.get("candidate") or {}, _release(cluster, route)["spec"]["rollout"]
    baking = candidate.get("stage") == "Bake"
    assert baking or candidate.get("stage") in ("Shadow", "Step"), f"copies in {candidate.get('stage')}"
    assert copies.slot == (STABLE if baking else "preview"), f"copies to {copies.slot}"
    owner = status[STABLE] if baking else candidate
    meta = route["metadata"]
    ident = ("Service", meta["namespace"], f"{meta['name']}-{copies.slot}")
    if ident not in cluster.touched:
        assert selected(cluster.objects[ident]) == owner["revision"], "copies to pods of somebody else"
    if baking:
        assert not candidate.get("bakeEndedAt"), "copies to a place that is about to change"
        return
    assert rollout.get("shadow") and not candidate.get("mirrorStopped"), "copies that nobody wants"
    assert 1 <= copies.percent <= 100 - candidate["weight"]["desired"], f"{copies.percent} % of copies"


def _of_a_million(weights: dict[str, int] | None) -> dict[str, int]:
    """Return weights as somebody wrote them, on the operator's scale; nothing where there is no such route."""
    total = sum((weights or {}).values())
    return {slot: -(-weight * PPM // total) for slot, weight in weights.items()} if weights and total else NOTHING


def _check_rise(
    cluster: GuardedCluster, actor: Actor, route: Manifest, status: Manifest, *, slot: str, share: int
) -> None:
    owner = status.get(slot) or {}
    if slot == CANDIDATE:
        assert owner.get("stage") in WITH_TRAFFIC, f"{share} ppm to a candidate in {owner.get('stage')}"
        limit = owner["weight"]["desired"]
        if owner["stage"] == "Bake":
            assert limit >= (100 if owner.get("bakeEndedAt") else 95), (
                "a bake without all the traffic but the control's"
            )
        else:
            assert limit == owner["ladder"][owner["step"]], "the wanted weight is not the step's"
        assert share <= min(limit * PERCENT, PPM - FLOOR_PPM), f"{share} ppm in a step of {limit} %"
    release = _release(cluster, route)["metadata"]
    ident = ("Service", release["namespace"], f"{release['name']}-{slot}")
    if ident not in cluster.touched:
        assert selected(cluster.objects[ident]) == owner["revision"], f"weight to {slot}, which serves something else"
    ready = believed_ready(actor, ident)
    if slot == STABLE and not believed_ready(actor, (*ident[:2], f"{release['name']}-{CANDIDATE}")):
        return  # nobody serves: going home is right at any rate
    assert ready.get(owner["revision"]), f"weight to {slot} without a ready pod of {owner['revision']}: {ready}"
    if slot == CANDIDATE:
        assert set(ready) == {owner["revision"]}, f"the candidate slot has pods of others: {ready}"
        assert ready[owner["revision"]] >= _capacity(cluster, actor, route, status), f"too few pods: {ready}"


def _capacity(cluster: GuardedCluster, actor: Actor, route: Manifest, status: Manifest) -> int:
    meta = route["metadata"]
    stable = actor.store.get("Deployment", meta["namespace"], f"{meta['name']}-{status['stable']['revision']}") or {}
    ready = stable.get("status", {}).get("readyReplicas", 0)
    needed = math.ceil(status["candidate"]["weight"]["desired"] * ready / 100)
    return max(1, min(needed, _release(cluster, route)["spec"]["serving"]["replicas"]))


def believed_ready(actor: Actor, service: Ident) -> dict[str, int]:
    """Return a slot's ready pods by revision, as the process that writes knows them."""
    _, namespace, name = service
    if actor.store.get(*service) is None:
        return {}
    piece = actor.store.get("EndpointSlice", namespace, f"{name}-slice") or {"endpoints": []}
    ready: dict[str, int] = {}
    for endpoint in piece["endpoints"]:
        if endpoint["conditions"]["ready"]:
            pod = actor.store.get("Pod", namespace, endpoint["targetRef"]["name"])
            labels = pod["metadata"]["labels"] if pod else {}
            revision = labels.get(naming.LABEL_REVISION) or endpoint["targetRef"]["name"].split("-")[-3]
            ready[revision] = ready.get(revision, 0) + 1
    return ready


def check_slot(cluster: GuardedCluster, actor: Actor, before: Manifest, after: Manifest) -> None:
    """2: what a slot with traffic selects does not change, unless nobody answers there or people changed it."""
    slot = after["metadata"]["labels"][naming.LABEL_SLOT]
    if slot == "preview" or selected(before) == selected(after):
        return
    meta = after["metadata"]
    ident = ("Service", meta["namespace"], meta["name"])
    if ident in cluster.touched or not believed_ready(actor, ident):
        return
    release = _release(cluster, after)["metadata"]["name"]
    for kind in ROUTES:
        route = (kind, meta["namespace"], release)
        if route not in cluster.objects or route in cluster.touched:
            continue
        written = candidate_ppm(cluster.objects[route]) or FLOOR_PPM
        for ppm in (written, cluster.served.get(route, written)):
            share = ppm if slot == CANDIDATE else PPM - ppm
            assert share <= FLOOR_PPM, f"{slot} was re-pointed at {share} ppm of {kind}"


def check_removed_deployment(cluster: GuardedCluster, actor: Actor, gone: Manifest) -> None:
    """3 and 7: pods go only when they have no role, no slot selects them and no route change is under way."""
    release, revision = _release(cluster, gone), gone["metadata"]["labels"][naming.LABEL_REVISION]
    status, meta = _status(cluster, actor, gone), release["metadata"]
    if _built_again(status, revision):
        _check_unused(cluster, meta, revision, (STABLE, CANDIDATE))
        return
    roles = {(status.get(role) or {}).get("revision") for role in (STABLE, CANDIDATE)}
    assert revision not in roles, "the pods of a revision with a role were removed"
    since = next((one["at"] for one in status.get("retired") or () if one["revision"] == revision), None)
    delay = codec.parse_duration(release["spec"]["rollout"]["scaleDownDelay"])
    assert since, "pods were removed at once"
    assert cluster.now >= codec.parse_time(since) + timedelta(seconds=delay), "pods were removed before the delay"
    _check_unused(cluster, meta, revision, (STABLE, CANDIDATE, "preview"))


def _built_again(status: Manifest, revision: str) -> bool:
    """Tell whether a candidate's artifact is built again: the pods that could not start from it go at once."""
    candidate = status.get("candidate") or {}
    told = [one["reason"] for one in status.get("history") or () if one["revision"] == revision]
    return candidate.get("revision") == revision and candidate["stage"] == "Build" and "ArtifactCorrupt" in told


def _check_unused(cluster: GuardedCluster, meta: Manifest, revision: str, slots: tuple[str, ...]) -> None:
    for slot in slots:
        ident = ("Service", meta["namespace"], f"{meta['name']}-{slot}")
        if ident in cluster.objects and ident not in cluster.touched:
            assert selected(cluster.objects[ident]) != revision, f"the pods behind {slot} were removed"
    for kind in ROUTES:
        route = (kind, meta["namespace"], meta["name"])
        if route in cluster.objects and route not in cluster.touched:
            written = candidate_ppm(cluster.objects[route])
            assert cluster.served.get(route) == written, "pods were removed while the gateway was behind"


def _status(cluster: GuardedCluster, actor: Actor, child: Manifest) -> Manifest:
    """Return the status to hold a write against: the live one, unless that was lost since the decision."""
    live = _release(cluster, child)
    known = actor.store.get(naming.KIND, live["metadata"]["namespace"], live["metadata"]["name"]) or live
    lost = not live.get("status") or live["metadata"].get("uid") != known["metadata"].get("uid")
    status: Manifest = (known if lost else live).get("status") or {}
    return status


def _release(cluster: GuardedCluster, child: Manifest) -> Manifest:
    meta = child["metadata"]
    release = cluster.objects.get((naming.KIND, meta["namespace"], meta["labels"][naming.LABEL_RELEASE]))
    return release or {"metadata": {"namespace": meta["namespace"], "name": meta["labels"][naming.LABEL_RELEASE]}}
