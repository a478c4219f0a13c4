"""What no status may say (design, section 5, points 1, 3, 4, 6 and 9)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from modelrelease.adapters.facts import route_facts
from modelrelease.adapters.kinds import Manifest
from modelrelease.domain import codec, commands, naming
from modelrelease.domain.commands import Verb
from modelrelease.domain.observed import FLOOR_PPM, PPM
from modelrelease.domain.spec import Spec
from modelrelease.render import candidate_ppm, mirror

from tests.machine.guarded import Actor

PERCENT = PPM // 100


def check(actor: Actor, before: Manifest, after: Manifest, *, now: datetime, serving: str | None) -> None:
    """Hold a new status against the one before; `serving` is what the stable slot selects, if that is known."""
    json.dumps(after["status"], allow_nan=False)  # the API server takes nothing else
    old, new = before.get("status") or {}, after["status"]
    assert new["observedGeneration"] >= old.get("observedGeneration", 0), "observedGeneration went back"
    for verb in Verb:
        value = (before["metadata"].get("annotations") or {}).get(commands.annotation(verb))
        assert value is None or commands.latch_id(verb, value) in new["handled"], f"6: {verb} was not latched"
    was, now_is = old.get("candidate"), new.get("candidate")
    if was is None or now_is is None or _who(was) != _who(now_is):
        ended = [(entry["revision"], entry["attempt"]) for entry in new.get("history") or ()]
        assert was is None or _who(was) in ended, "a candidate was given up without a word"
        _check_promotion(actor, before, old, new, now)
        if "stable" not in old and serving is not None:
            assert new.get("stable", {}).get("revision") == serving, "5: what serves was not found again"
        return
    _check_candidate(now_is)
    clock = {"Shadow": "stepStartedAt", "Step": "stepStartedAt", "Bake": "bakeStartedAt"}.get(now_is["stage"], "")
    if now_is.get(clock) not in (None, was.get(clock)):
        _check_accepted(actor, after, _desired(now_is))
    _check_commands(before, old, new)
    if (now_is.get("end") or {}).get("reason") == "AnalysisFailed" and was["stage"] != "Retreat":
        started = was.get("bakeStartedAt" if was["stage"] == "Bake" else "stepStartedAt")
        assert started and actor.heard(started) == "bad", "4: rolled back without evidence"
    if _desired(now_is) > _desired(was):
        _check_rise(actor, before, was, now_is, now)
    if was["stage"] == "Retreat":
        assert now_is["stage"] == "Retreat", "a retreat was called off"
        assert now_is["end"] == was["end"], "the reason of a retreat changed"


def _check_candidate(candidate: Manifest) -> None:
    failed = [v for v in candidate.get("verdicts") or () if v["verdict"] == "Fail"]
    assert not failed or candidate["stage"] == "Retreat", f"3: goes on after {failed}"
    for verdict in candidate.get("verdicts") or ():
        assert verdict["message"] and verdict["metric"], "9: a verdict without its numbers"
    if candidate["stage"] == "Retreat":
        assert _desired(candidate) == 0, "a retreat with a weight"
        assert candidate["end"]["reason"] and candidate["end"]["message"], "9: a retreat without a reason"


def _check_accepted(actor: Actor, release: Manifest, percent: int) -> None:
    """1: the clock of a weight starts when the gateway has accepted it on every route."""
    meta = release["metadata"]
    for protocol in ("http", "grpc"):
        if protocol in release["spec"]["traffic"]["gateway"]:
            route = actor.store.get(f"{protocol.upper()}Route", meta["namespace"], meta["name"])
            assert route and route_facts(route).accepted, f"the clock runs before the gateway accepted {protocol}"
            wanted = max(FLOOR_PPM, min(percent * PERCENT, PPM - FLOOR_PPM))
            assert candidate_ppm(route) == wanted, f"the clock of {percent} % runs at another weight"
            candidate, shadow = release["status"]["candidate"], release["spec"]["rollout"].get("shadow")
            if shadow and candidate["stage"] != "Bake" and not candidate.get("mirrorStopped"):
                copies = mirror(route)
                assert copies and copies.percent == min(shadow.get("percent", 100), 100 - percent), "without its copies"


def _check_rise(actor: Actor, before: Manifest, was: Manifest, now_is: Manifest, now: datetime) -> None:
    """1: up only by one step, from a weight that the gateway accepted, on a pass of this very step."""
    if was["stage"] in ("Deploy", "Shadow"):
        assert now_is["step"] == 0 and _desired(now_is) == now_is["ladder"][0]
        return
    if was["stage"] == "Bake":
        assert now_is.get("bakeEndedAt") and _desired(now_is) == 100, "a rise in the bake"
        _check_baked(actor, before, was, now)
        return
    assert was["stage"] == "Step", f"a rise in {was['stage']}"
    skipped = was.get("skip") or _ordered(before, Verb.PROMOTE, was)
    if now_is["stage"] == "Bake":
        assert skipped or was["step"] == len(was["ladder"]) - 1, "steps were left out"
    else:
        assert now_is["step"] == was["step"] + 1 and _desired(now_is) == was["ladder"][now_is["step"]]
    started = was.get("stepStartedAt")
    if not skipped:
        assert started is not None, "up before the gateway accepted the step before"
        _check_passed(actor, before, was, started, now)
        _check_pause(before, was, started, now)


def _check_passed(actor: Actor, release: Manifest, candidate: Manifest, started: str, now: datetime) -> None:
    interval = codec.parse_duration(release["spec"]["rollout"]["analysis"]["interval"])
    assert now >= codec.parse_time(started) + timedelta(seconds=interval), "up before the first check was due"
    heard = actor.heard(started)
    recorded = candidate.get("verdicts") or ()
    passed = heard == "good" if heard else bool(recorded) and all(v["verdict"] == "Pass" for v in recorded)
    assert passed, f"up without a pass since {started}"


def _check_pause(release: Manifest, candidate: Manifest, started: str, now: datetime) -> None:
    weight = candidate["ladder"][candidate["step"]]
    pause: Any = (
        next((s.get("pause") for s in release["spec"]["rollout"].get("steps", ()) if s["weight"] == weight), None) or {}
    )
    if pause.get("untilApproved"):
        assert candidate.get("approved") or _ordered(release, Verb.APPROVE, candidate), "up without approval"
    if "duration" in pause:
        end = codec.parse_time(started) + timedelta(seconds=codec.parse_duration(pause["duration"]))
        assert now >= end, "up before the pause ended"


def _check_promotion(actor: Actor, release: Manifest, old: Manifest, new: Manifest, now: datetime) -> None:
    """1 and 4: another stable revision only by a candidate that served everything and passed at the end of its bake."""
    was, stable, before = old.get("candidate"), new.get("stable"), old.get("stable")
    if stable is None or (before and before["revision"] == stable["revision"]):
        return
    if before is None:
        return  # the first revision, or one that was found again after the status was lost
    assert was is not None and was["stage"] == "Bake", "promoted from nowhere"
    assert was["revision"] == stable["revision"], "another than the candidate was promoted"
    holdback = release["spec"]["rollout"]["bake"].get("holdback", 1)
    assert _desired(was) == 100 or holdback == 0, "promoted while stable's slot had the control's traffic"
    if not was.get("bakeEndedAt"):
        _check_baked(actor, release, was, now)


def _check_baked(actor: Actor, release: Manifest, was: Manifest, now: datetime) -> None:
    """1 and 4: the bake ends on a person's word, or after its time with evidence in which nothing is wrong."""
    if was.get("skip") or _ordered(release, Verb.PROMOTE, was):
        return
    started = was.get("bakeStartedAt")
    assert started is not None, "promoted before it served everything"
    end = codec.parse_time(started) + timedelta(
        seconds=codec.parse_duration(release["spec"]["rollout"]["bake"]["duration"])
    )
    assert now >= end, "promoted before the end of the bake"
    _check_passed(actor, release, was, started, now)


def _check_commands(release: Manifest, old: Manifest, new: Manifest) -> None:
    """6: an order counts once."""
    was, now_is = old["candidate"], new["candidate"]
    if now_is.get("end") and not was.get("end") and now_is["end"]["reason"] == "Aborted":
        assert _ordered(release, Verb.ABORT, was), "aborted though nobody ordered it, or not again"
    if now_is.get("skip") and not was.get("skip"):
        assert _ordered(release, Verb.PROMOTE, was), "promoted though nobody ordered it, or not again"


def _ordered(release: Manifest, verb: Verb, candidate: Manifest) -> bool:
    """Tell whether an order about this candidate stands that the status has not latched."""
    value = (release["metadata"].get("annotations") or {}).get(commands.annotation(verb), "")
    handled = (release.get("status") or {}).get("handled") or ()
    meant = value.startswith(f"{candidate['revision']}/{candidate['attempt']}/")
    return meant and commands.latch_id(verb, value) not in handled


def check_removed_job(release: Manifest, gone: Manifest) -> None:
    """7: the build of a candidate that waits for it stays."""
    candidate = (release.get("status") or {}).get("candidate") or {}
    if candidate.get("stage") != "Build":
        return
    labels = gone["metadata"]["labels"]
    key = labels.get(naming.LABEL_ARTIFACT)
    spec_key = naming.artifact_key(codec.decode(Spec, release["spec"], "spec"))
    assert key != spec_key, "the build that is waited for was removed"


def _who(candidate: Manifest) -> tuple[str, int]:
    return candidate["revision"], candidate["attempt"]


def _desired(candidate: Manifest) -> int:
    return int((candidate.get("weight") or {}).get("desired", 0))
