"""The picture of one simulated release: weight, what each metric showed and is sure of, and the evidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelrelease.domain.analysis.lanes import Lanes
from modelrelease.domain.status import Stage, Verdict, VerdictValue
from modelrelease.simulate.play import Ending, Look, Run

PROVEN = 1.0 / Lanes.beta  # the e-value that a Pass takes
MOST_METRICS = 4  # that are drawn

_INK, _FAINT, _ALLOWED = "#1f2933", "#9aa5b1", "#b7791f"
_CANDIDATE, _STABLE, _FAILED = "#2b6cb0", "#52606d", "#d64550"
_SHADES = {Stage.SHADOW: "#eef2f7", Stage.BAKE: "#eaf5ee"}
_ENDINGS = {Ending.PROMOTED: "#2f855a", Ending.ROLLED_BACK: _FAILED, Ending.HELD: _ALLOWED}
_SAID = {Ending.PROMOTED: "promoted", Ending.ROLLED_BACK: "rolled back", Ending.HELD: "held"}
_LINES = ("#2b6cb0", "#805ad5", "#2f855a", "#b83280")
_MINUTE = 60.0
_LEAST, _MOST = 1e-1, 1e6  # of the e-values that are drawn


class NoMatplotlib(Exception):  # noqa: N818 - named for what it tells
    """matplotlib is not installed."""


def draw(run: Run, to: Path) -> None:
    """Write the picture of a run that kept every look; the file's suffix says which kind, .png or .svg.

    Raises:
        NoMatplotlib: it is not installed.
        OSError: the file can't be written.

    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise NoMatplotlib from error
    mpl.use("Agg")
    from matplotlib import pyplot

    metrics = _metrics(run)
    rows = 2 + len(metrics)
    with mpl.rc_context(_style()):
        figure, axes = pyplot.subplots(
            rows,
            1,
            figsize=(11, 2.2 + 1.9 * rows),
            sharex=True,
            squeeze=False,
            gridspec_kw={"hspace": 0.34, "height_ratios": [1.0, *[1.3] * len(metrics), 1.3]},
        )
        panels = list(axes[:, 0])
        _weight(panels[0], run)
        for panel, metric in zip(panels[1:-1], metrics, strict=True):
            _estimate(panel, run, metric)
        if metrics:
            panels[1].legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=8)
        _evidence(panels[-1], run, metrics)
        for panel in panels:
            _stages(panel, run)
            panel.set_xlim(0, max(run.ended_at / _MINUTE, 1.0))
        panels[-1].set_xlabel("minutes since the candidate's pods were ready")
        figure.align_ylabels(panels)
        figure.suptitle(_title(run), x=0.125, y=0.93, ha="left", fontsize=13, color=_ENDINGS[run.ending])
        figure.savefig(to, dpi=130, bbox_inches="tight", pad_inches=0.25)
        pyplot.close(figure)


def _style() -> Any:
    return {
        "font.size": 9,
        "text.color": _INK,
        "axes.edgecolor": _FAINT,
        "axes.labelcolor": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "xtick.color": _INK,
        "ytick.color": _INK,
        "svg.hashsalt": "modelrelease",  # the same run, the same file
    }


def _metrics(run: Run) -> tuple[str, ...]:
    """Return the metrics that compare the candidate with stable, in the order of the verdicts."""
    names = dict.fromkeys(v.metric for look in run.looks for v in look.verdicts if v.upper is not None)
    return tuple(names)[:MOST_METRICS]


def _title(run: Run) -> str:
    if run.decided_at is None:
        return f"{_SAID[run.ending]}: {run.reason}"
    metric = f" because of {run.metric}" if run.metric else ""
    return f"{_SAID[run.ending]} after {run.decided_at / _MINUTE:.1f} min{metric}"


def _weight(panel: Any, run: Run) -> None:
    moments = [(0.0, 0.0), *run.weights, (run.ended_at, run.weights[-1][1])]
    times, weights = [t / _MINUTE for t, _ in moments], [weight for _, weight in moments]
    panel.step(times, weights, where="post", color=_CANDIDATE, linewidth=1.8)
    panel.fill_between(times, weights, step="post", color=_CANDIDATE, alpha=0.12)
    panel.set_title("the candidate's share of the traffic, %")
    panel.set_ylim(0, 105)
    panel.set_yticks([0, 25, 50, 75, 100])
    for t, weight in run.weights:
        # Beside the line where there is room above it, else below.
        above = weight < 80
        panel.annotate(
            f" {weight:g} %",
            (t / _MINUTE, weight),
            xytext=(2, 3 if above else -3),
            textcoords="offset points",
            va="bottom" if above else "top",
            fontsize=8,
            annotation_clip=True,
        )


def _estimate(panel: Any, run: Run, metric: str) -> None:
    points = _points(run, metric)
    times = [t / _MINUTE for t, _ in points]
    percent = [_percents(verdict) for _, verdict in points]
    estimate, baseline, allowed, low, high = (list(column) for column in zip(*percent, strict=True))
    panel.fill_between(times, low, high, color=_CANDIDATE, alpha=0.15, linewidth=0, label="candidate, 95 % sure")
    panel.plot(times, estimate, color=_CANDIDATE, linewidth=1.6, label="candidate")
    panel.plot(times, baseline, color=_STABLE, linewidth=1.2, label="stable")
    panel.plot(times, allowed, color=_ALLOWED, linewidth=1.2, linestyle="--", label="allowed")
    known = sorted(value for column in (estimate, baseline, allowed) for value in column if math.isfinite(value))
    usual = known[int(0.98 * (len(known) - 1))] if known else 0.0  # the first requests alone may be anything
    panel.set_ylim(0, 1.8 * usual or 1.0)
    panel.set_title(f"{_named(metric)}, % of the requests")


def _percents(verdict: Verdict | None) -> tuple[float, float, float, float, float]:
    """Return estimate, baseline, threshold and the bounds of the candidate's ratio; a gap where they are not known."""
    if verdict is None or verdict.threshold is None:
        return (math.nan,) * 5
    allowed = verdict.threshold
    low = max(0.0, allowed + verdict.lower) if verdict.lower is not None else 0.0
    high = allowed + verdict.upper if verdict.upper is not None else math.nan
    values = (verdict.estimate, verdict.baseline, allowed, low, high)
    found = [100.0 * value if value is not None else math.nan for value in values]
    return found[0], found[1], found[2], found[3], found[4]


def _evidence(panel: Any, run: Run, metrics: Sequence[str]) -> None:
    for metric, colour in zip(metrics, _LINES, strict=False):
        points = _points(run, metric)
        times = [t / _MINUTE for t, _ in points]
        panel.plot(times, [_e_value(v) for _, v in points], color=colour, linewidth=1.5, label=_named(metric))
        failed = [(t, _e_value(v)) for t, v in points if v is not None and v.verdict is VerdictValue.FAIL]
        if failed:
            at, values = [t / _MINUTE for t, _ in failed], [value for _, value in failed]
            panel.plot(at, values, "x", color=_FAILED, markersize=9, markeredgewidth=2.5, clip_on=False)
    panel.axhline(PROVEN, color=_ALLOWED, linewidth=1.2, linestyle="--")
    place = {"xycoords": ("axes fraction", "data"), "va": "center", "fontsize": 8, "annotation_clip": False}
    panel.annotate(f" {PROVEN:g}: proven", (1.0, PROVEN), color=_ALLOWED, **place)
    panel.set_yscale("log")
    panel.set_ylim(_LEAST, _MOST)
    panel.set_title("e-value: the evidence that it is no worse; a cross: that it is worse")
    if metrics:
        panel.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=4, frameon=False, fontsize=8)


def _e_value(verdict: Verdict | None) -> float:
    if verdict is None or verdict.e_value is None:
        return math.nan
    return min(max(verdict.e_value, _LEAST), _MOST)


def _points(run: Run, metric: str) -> list[tuple[float, Verdict | None]]:
    """Return a metric's verdicts by time; between two steps there is none, so that no line joins them."""
    points: list[tuple[float, Verdict | None]] = []
    before: Look | None = None
    for look in run.looks:
        if before is not None and (before.stage, before.weight) != (look.stage, look.weight):
            points.append((before.t, None))
        verdict = next((v for v in look.verdicts if v.metric == metric), None)
        points.append((look.t, verdict))
        before = look
    return points


def _stages(panel: Any, run: Run) -> None:
    """Shade shadow and bake, and mark where the weight moved."""
    for stage, colour in _SHADES.items():
        times = [look.t / _MINUTE for look in run.looks if look.stage is stage]
        if times:
            panel.axvspan(0.0 if stage is Stage.SHADOW else _promoted(run, times[0]), times[-1], color=colour, zorder=0)
    for t, _ in run.weights:
        panel.axvline(t / _MINUTE, color=_FAINT, linewidth=0.6, linestyle=":", zorder=1)


def _promoted(run: Run, otherwise: float) -> float:
    return run.promoted_at / _MINUTE if run.promoted_at is not None else otherwise


def _named(metric: str) -> str:
    """Return what a metric is called in the picture."""
    if metric.startswith("latency-"):
        return f"slower than {metric.removeprefix('latency-').removesuffix('ms')} ms"
    return {"error-ratio": "failed"}.get(metric, metric)
