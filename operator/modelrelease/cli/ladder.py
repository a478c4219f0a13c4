"""The ladder of steps and the three weights of the candidate, as lines of the picture."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from modelrelease.cli.release import Release
from modelrelease.domain.codec import format_duration
from modelrelease.domain.policy import Step
from modelrelease.domain.status import Candidate, Stage

FULL = 100
_WIDTH = 40
_PASSED, _HERE, _AHEAD = "green", "bold cyan", "dim"
_STAGES = (Stage.BUILD, Stage.DEPLOY, Stage.SHADOW, Stage.STEP, Stage.BAKE)


def ladder(release: Release) -> Text | None:
    """Return build, deploy, every step and bake in a row: passed, current, ahead. None without a candidate."""
    candidate = release.status.candidate
    if candidate is None:
        return None
    if candidate.stage is Stage.RETREAT:
        why = f": {candidate.end.message}" if candidate.end else ""
        return Text.assemble(("traffic goes back to stable", "bold red"), why)
    line = Text()
    for index, (name, style) in enumerate(_rungs(release, candidate)):
        if index:
            line.append(" ─ ", _AHEAD)
        mark = {_PASSED: "✔ ", _HERE: "▶ "}.get(style, "")
        line.append(mark + name, style)
    return line


def _rungs(release: Release, candidate: Candidate) -> list[tuple[str, str]]:
    here = _STAGES.index(candidate.stage)
    planned = candidate.ladder or tuple(step.weight for step in release.spec.rollout.steps)
    shadowed = release.spec.rollout.shadow is not None or candidate.stage is Stage.SHADOW
    early = [Stage.BUILD, Stage.DEPLOY, *([Stage.SHADOW] if shadowed else [])]
    rungs = [(str(stage).lower(), _relative(_STAGES.index(stage), here)) for stage in early]
    for index, weight in enumerate(planned):
        at_steps = candidate.stage is Stage.STEP and candidate.step is not None
        style = _relative(index, candidate.step or 0) if at_steps else _relative(_STAGES.index(Stage.STEP), here)
        rungs.append((f"{weight}%{_pause(release.spec.rollout.steps, weight)}", style))
    baked = candidate.weight.desired if candidate.stage is Stage.BAKE else FULL - release.spec.rollout.bake.holdback
    rungs.append((f"{baked}% bake", _relative(_STAGES.index(Stage.BAKE), here)))
    return rungs


def _relative(place: int, here: int) -> str:
    return _PASSED if place < here else _HERE if place == here else _AHEAD


def _pause(steps: tuple[Step, ...], weight: int) -> str:
    """Say how a step stops, after its weight."""
    pause = next((step.pause for step in steps if step.weight == weight), None)
    if pause is None:
        return ""
    return f" ({format_duration(pause.duration)})" if pause.duration is not None else " (approval)"


def weights(release: Release) -> Iterator[tuple[str, Text]]:
    """Yield (name, bar) of the wanted, the accepted and the measured weight; nothing before there is traffic."""
    candidate = release.status.candidate
    if candidate is None or candidate.stage not in (Stage.STEP, Stage.BAKE, Stage.RETREAT):
        return
    if candidate.stage is Stage.RETREAT and not candidate.peak_weight:
        return
    weight = candidate.weight
    yield "desired", _bar(weight.desired, agrees=True)
    yield "accepted", _bar(weight.accepted, agrees=weight.accepted == weight.desired)
    tolerated = 1 + weight.desired / 10
    yield "observed", _bar(weight.observed, agrees=abs((weight.observed or 0) - weight.desired) <= tolerated)


def _bar(value: float | None, *, agrees: bool) -> Text:
    if value is None:
        return Text.assemble(("─" * _WIDTH, "bright_black"), (" not measured yet", "dim"))
    filled = max(round(_WIDTH * value / FULL), 1 if value else 0)
    style = "cyan" if agrees else "yellow"
    return Text.assemble(("━" * filled, style), ("─" * (_WIDTH - filled), "bright_black"), (f" {value:g} %", style))
