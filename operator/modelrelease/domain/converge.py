"""From a status to what should exist, in the one safe order.

Traffic leaves a bad place before anything else is touched; a slot is re-pointed only at the
floor; weight comes to a slot only when it serves what it should; and what no slot selects
any more is removed last. Every rule reads observed facts, so a replay is harmless.
"""

from __future__ import annotations

from collections.abc import Iterator

from modelrelease.domain import naming
from modelrelease.domain.context import FULL, Context, ppm, slot_ready
from modelrelease.domain.mirroring import mirror_target
from modelrelease.domain.observed import FLOOR_PPM, PPM, JobState, Mirror, Record, RouteFacts, Slot
from modelrelease.domain.plan import Remove, Want, WantDeployment, WantJob, WantRecord, WantRoute, WantSlot
from modelrelease.domain.repair import leftover, rebuilds
from modelrelease.domain.rollout import needed_capacity
from modelrelease.domain.spec import Against
from modelrelease.domain.stages import known_result
from modelrelease.domain.status import Artifact, Stage

WITH_TRAFFIC = (Stage.STEP, Stage.BAKE)
SERVING = (Stage.DEPLOY, Stage.SHADOW, *WITH_TRAFFIC)  # the candidate's pods run, and the preview slot leads to them


def converge(context: Context) -> tuple[Want, ...]:
    """Return the wants of a status, safe to be written in this order and stopped anywhere."""
    down, up = _routes(context)
    return (*down, *_build(context), *_deployments(context), *_slots(context), *up, *_removals(context))


def slot_targets(context: Context) -> dict[Slot, str]:
    """Return the revision that each slot should select."""
    status = context.status
    candidate, stable = status.candidate, status.stable
    targets: dict[Slot, str] = {}
    if candidate and candidate.stage in SERVING:
        targets[Slot.PREVIEW] = candidate.revision
    elif stable:
        targets[Slot.PREVIEW] = stable.revision
    if stable:
        targets[Slot.STABLE] = stable.revision
        in_traffic = candidate is not None and candidate.stage in WITH_TRAFFIC
        targets[Slot.CANDIDATE] = candidate.revision if candidate and in_traffic else stable.revision
    return targets


def weight_target(context: Context) -> int:
    """Return the candidate slot's weight in parts per million.

    A slot that still selects another revision than it should (the last release settles, a
    person edited it) goes to the floor first, where it may be re-pointed.
    """
    candidate, slot = context.status.candidate, context.observed.slots.get(Slot.CANDIDATE)
    in_traffic = candidate is not None and candidate.stage in WITH_TRAFFIC
    if candidate is None or not in_traffic or slot is None or slot.revision != candidate.revision:
        return ppm(0)
    return ppm(candidate.weight.desired)


def _routes(context: Context) -> tuple[list[Want], list[Want]]:
    """Return the route writes that take weight from the candidate slot, and the others."""
    observed, target = context.observed, weight_target(context)
    down: list[Want] = []
    up: list[Want] = []
    if context.status.stable is None:
        return down, up
    for protocol in observed.protocols:
        facts = observed.routes.get(protocol)
        if facts is None:
            if _may_create(context):
                up.append(WantRoute(protocol=protocol, candidate_ppm=FLOOR_PPM, resource_version=None))
            continue
        weight = _next_weight(context, facts, target)
        if weight is None:
            continue
        want = WantRoute(
            protocol=protocol,
            candidate_ppm=weight,
            resource_version=facts.resource_version,
            mirror=_next_mirror(context),
            intent=_intent(context, weight),
        )
        takes = facts.candidate_ppm is None or weight < facts.candidate_ppm or _calls_off(context, weight)
        (down if takes and _can_name_places(context, weight) else up).append(want)
    return down, up


def _intent(context: Context, weight: int) -> str | None:
    """Return what the routes are for: another one for each weight that the candidate gets, and for other steps.

    A rise that still has to wait for its slot is none: it is no reason to write.
    """
    candidate = context.status.candidate
    if candidate is None or weight != ppm(candidate.weight.desired):
        return None
    shadowed = candidate.stage is Stage.SHADOW or candidate.step_started_at is not None
    exposed = shadowed or candidate.step is not None or candidate.stage is Stage.BAKE or candidate.peak_weight > 0
    ladder = "-".join(map(str, candidate.ladder))
    return f"{candidate.revision}/{candidate.attempt}/{ladder}/{candidate.weight.desired}" if exposed else None


def _calls_off(context: Context, weight: int) -> bool:
    """Tell whether a route at the floor is written to stop a rise that may be on its way, before the slots move."""
    candidate = context.status.candidate
    return candidate is not None and candidate.stage is Stage.RETREAT and weight == ppm(0)


def _can_name_places(context: Context, weight: int) -> bool:
    """Tell whether the slots select what a route of this weight has to announce; else they are mended before it."""
    slots = context.observed.slots
    needed = (Slot.STABLE,) if weight == ppm(0) else (Slot.STABLE, Slot.CANDIDATE)
    return all(slot in slots and slots[slot].revision for slot in needed)


def _may_create(context: Context) -> bool:
    targets = slot_targets(context)
    return all(slot_ready(context.observed, slot, targets[slot]) > 0 for slot in (Slot.STABLE, Slot.CANDIDATE))


def _next_weight(context: Context, facts: RouteFacts, target: int) -> int | None:
    """Return the weight a route may have now: the target where its slot is fit for it, else today's.

    Today's within the bounds: a person's or a tool's weight of 0 is not one that may be written.
    """
    observed, targets = context.observed, slot_targets(context)
    written = facts.candidate_ppm
    today = None if written is None else min(max(written, ppm(0)), ppm(FULL))
    if today is None or target < today:
        fit = slot_ready(observed, Slot.STABLE, targets[Slot.STABLE]) > 0
        dead = not (candidate := observed.slots.get(Slot.CANDIDATE)) or not candidate.ready
        own = (stable := observed.slots.get(Slot.STABLE)) is not None and stable.revision == targets[Slot.STABLE]
        return target if own and (fit or dead) else today
    if target > today and not _may_raise(context):
        return today
    return target


def _next_mirror(context: Context) -> Mirror | None:
    """Return the copies that a route may make now: those wanted, once the slot they go to selects whom they are for."""
    wanted = mirror_target(context)
    if wanted is None:
        return None
    slot = context.observed.slots.get(wanted.slot)
    return wanted if slot is not None and slot.revision == slot_targets(context)[wanted.slot] else None


def _may_raise(context: Context) -> bool:
    """Tell whether the candidate slot may get the status's weight: it serves the candidate, with the capacity."""
    candidate, slot = context.status.candidate, context.observed.slots.get(Slot.CANDIDATE)
    if candidate is None or slot is None or not slot.serves(candidate.revision):
        return False
    return slot.ready[candidate.revision] >= needed_capacity(context, candidate.weight.desired)


def _build(context: Context) -> Iterator[Want]:
    """The build of the spec's revision: for a candidate in Build, or ahead of its turn during a bake."""
    status, observed = context.status, context.observed
    candidate, target = status.candidate, context.target
    ahead = candidate is not None and candidate.stage is Stage.BAKE and candidate.revision != target
    own = candidate is not None and candidate.stage in (Stage.BUILD, Stage.DEPLOY) and candidate.revision == target
    again = rebuilds(context) and context.candidate.stage is Stage.BUILD
    if not (ahead or own) or (target in observed.records and not again):
        return
    key = naming.artifact_key(context.spec)
    result = known_result(context)
    if result is None:
        attempt = candidate.attempt if own and candidate else 1
        yield WantJob(artifact_key=key, attempt=attempt, stable=_compared(context, ahead=ahead))
        return
    if target in observed.records:
        return
    number = 1 + max((record.number for record in observed.records.values()), default=0)
    yield WantRecord(
        revision=target, artifact_key=key, version=context.spec.model.version, result=result, number=number
    )


def _compared(context: Context, *, ahead: bool) -> Artifact | None:
    """Return the artifact that a build is measured against: what will be stable when its gates are judged."""
    if not any(gate.against is Against.STABLE for gate in context.spec.build.evaluation.gates):
        return None
    if ahead and context.candidate.artifact is not None:
        return context.candidate.artifact
    return context.status.stable.artifact if context.status.stable else None


def _deployments(context: Context) -> Iterator[Want]:
    status, observed = context.status, context.observed
    replicas = context.spec.serving.replicas
    if status.stable and status.stable.revision in observed.records:
        yield WantDeployment(revision=status.stable.revision, replicas=replicas)
    candidate = status.candidate
    if candidate is None or candidate.revision not in observed.records:
        return
    leaving = candidate.stage is Stage.RETREAT and candidate.revision in observed.deployments
    if leaving or candidate.stage in SERVING:
        yield WantDeployment(revision=candidate.revision, replicas=replicas, intent=str(candidate.attempt))


def _slots(context: Context) -> Iterator[Want]:
    observed = context.observed
    for slot, revision in slot_targets(context).items():
        facts = observed.slots.get(slot)
        if facts is None:
            yield WantSlot(slot=slot, revision=revision, resource_version=None)
        elif facts.revision == revision or _may_repoint(context, slot, revision):
            yield WantSlot(slot=slot, revision=revision, resource_version=facts.resource_version)


def _may_repoint(context: Context, slot: Slot, revision: str) -> bool:
    """Tell whether a slot may select another revision now: at the floor, and towards ready pods.

    The stable slot with a weight above the floor selects something else only after somebody
    edited slot or route (our own plan re-points it at the floor): that is repaired at once, as
    is a slot that serves nobody or any revision.
    """
    observed = context.observed
    if slot is Slot.PREVIEW:
        return True
    target = observed.deployments.get(revision)
    if target is None or target.ready == 0:
        return False
    facts, routes = observed.slots[slot], observed.routes.values()
    if not facts.revision or not facts.ready:
        return True
    if slot is Slot.STABLE:
        edited = any(route.candidate_ppm is None or PPM - route.candidate_ppm > FLOOR_PPM for route in routes)
        return edited or all(route.stable_at_floor for route in routes)
    return all(route.candidate_at_floor for route in routes)


def _removals(context: Context) -> Iterator[Want]:
    """What nobody asks for any more: a dropped protocol's route, retired Deployments, other Jobs, old records."""
    observed, status = context.observed, context.status
    release = observed.meta.name
    for protocol, route in observed.routes.items():
        if protocol not in observed.protocols:
            kind = naming.ROUTE_KINDS[protocol]
            yield Remove(kind=kind, name=release, uid=route.uid, resource_version=route.resource_version)
    for revision in _unneeded(context):
        facts = observed.deployments.get(revision)
        if facts and (status.stable is None or _traffic_settled(context)):
            name = naming.deployment(release, revision)
            yield Remove(kind="Deployment", name=name, uid=facts.uid, resource_version=facts.resource_version)
    if status.candidate and status.candidate.stage is Stage.RETREAT:
        return
    key = naming.artifact_key(context.spec)
    for job in observed.jobs:
        if job.artifact_key != key and job.state is JobState.ACTIVE:  # one that ended goes by its own time to live
            yield Remove(kind="Job", name=job.name, uid=job.uid, resource_version=job.resource_version)
    for record in _old_records(context):
        name = naming.deployment(release, record.revision)
        yield Remove(kind="ControllerRevision", name=name, uid=record.uid, resource_version=record.resource_version)


def _unneeded(context: Context) -> Iterator[str]:
    """The revisions whose pods no slot needs: retired ones in time, and at once those that their artifact keeps away.

    Preview may still select the latter, and what is left of a first release that failed: nothing comes after it.
    """
    observed, status = context.observed, context.status
    over = set() if Slot.PREVIEW in slot_targets(context) else {Slot.PREVIEW}
    selected = {facts.revision for slot, facts in observed.slots.items() if slot not in over}
    for retired in status.retired:
        due = context.after(retired.at, context.spec.rollout.scale_down_delay) <= context.now
        if due and retired.revision not in selected:
            yield retired.revision
    if leftover(context):
        yield context.candidate.revision


def _traffic_settled(context: Context) -> bool:
    """Tell whether slots and routes are where this status wants them, accepted: nothing is in flight."""
    observed, weight = context.observed, weight_target(context)
    routes = [observed.routes.get(protocol) for protocol in observed.protocols]
    mirror = mirror_target(context)
    there = all(r is not None and r.accepted and r.candidate_ppm == weight and r.mirror == mirror for r in routes)
    slots = observed.slots
    return there and all(slot in slots and slots[slot].revision == rev for slot, rev in slot_targets(context).items())


def _old_records(context: Context) -> list[Record]:
    status, records = context.status, context.observed.records
    kept = {context.target, *context.observed.deployments}
    kept |= {owner.revision for owner in (status.stable, status.candidate) if owner}
    spare = sorted((r for r in records.values() if r.revision not in kept), key=lambda r: r.number)
    surplus = len(records) - context.spec.rollout.revision_history_limit
    return spare[: max(0, surplus)]
