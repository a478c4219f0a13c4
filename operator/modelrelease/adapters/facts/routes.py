"""Our routes: the weights and the mirror as written, and whether the gateway has accepted exactly those."""

from __future__ import annotations

from modelrelease import render
from modelrelease.adapters.facts.objects import Object, find, items, part, sentence
from modelrelease.domain.observed import RouteFacts
from modelrelease.domain.problem import Problem

_REQUIRED = ("Accepted", "ResolvedRefs")


def route_facts(route: Object) -> RouteFacts:
    """Return the facts of a route from it and what the gateway's controller wrote into its status."""
    meta = route["metadata"]
    generation = meta.get("generation", 0)
    answers = [_conditions(route, ref) for ref in items(route, "spec", "parentRefs")]
    accepted = bool(answers) and all(_accepted(conditions, generation) for conditions in answers)
    return RouteFacts(
        candidate_ppm=render.candidate_ppm(route),
        accepted=accepted,
        resource_version=meta.get("resourceVersion", ""),
        mirror=render.mirror(route),
        problem=None if accepted else _problem(answers, generation),
        uid=meta.get("uid", ""),
    )


def _conditions(route: Object, ref: Object) -> list[Object]:
    """Return what any controller said of one parent."""
    wanted = _parent(route, ref)
    said = []
    for parent in items(route, "status", "parents"):
        if _parent(route, part(parent, "parentRef")) == wanted:
            said += items(parent, "conditions")
    return said


def _parent(route: Object, ref: Object) -> tuple[object, ...]:
    namespace = ref.get("namespace") or route["metadata"].get("namespace")
    return ref.get("kind", "Gateway"), namespace, ref.get("name"), ref.get("sectionName"), ref.get("port")


def _accepted(conditions: list[Object], generation: int) -> bool:
    found = (find(conditions, kind) for kind in _REQUIRED)
    return all(c.get("status") == "True" and c.get("observedGeneration", 0) >= generation for c in found)


def _problem(answers: list[list[Object]], generation: int) -> Problem | None:
    for conditions in answers:
        for condition in conditions:
            refused = condition.get("type") in _REQUIRED and condition.get("status") == "False"
            if refused and condition.get("observedGeneration", 0) >= generation:
                said = sentence(condition.get("message") or "no message")
                message = f"the gateway does not take the route ({condition.get('reason')}): {said}"
                return Problem(reason="RouteNotAccepted", message=message, what="the gateway to take the route")
    return None
