"""The picture of the demo: who was given the traffic, what the clients saw, how much failed, and how long it took."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcluster.demo import timeline
from localcluster.demo.summary import EXPECTED_TO_FAIL, Told
from localcluster.demo.view import clock

_COLOURS = {"v1": "#9fb3c8", "v2": "#2b6cb0", "v3": "#b7791f", "v4": "#d64550", timeline.NOBODY: "#222222"}
_INK, _FAINT, _PAPER, _SHADE = "#1f2933", "#9aa5b1", "#ffffff", "#f5f7fa"
_WHAT = {
    "v1": "v1  FP32",
    "v2": "v2  INT8",
    "v3": "v3  INT8, badly calibrated",
    "v4": "v4  accurate, but picky and slow",
}
_LABELS = {
    "v1": "v1 becomes\nstable",
    "v2": "v2 climbs step by step\nand is promoted",
    "v3": "v3 fails\nits gate",
    "v4": "v4 passes its gates, fails\nin production, is rolled back",
    "revert": "back\nto v2",
}
_BIN_S = 2.0
_DPI = 150
_TICKS = (10, 15, 30, 60, 120, 300, 600)
_MOST_TICKS = 16


@dataclass(frozen=True, kw_only=True)
class _Drawing:
    """What all panels need."""

    told: Told
    begin: float
    cut: timeline.Bins
    versions: tuple[str, ...]
    """From the bottom of a stack to its top: the newest first, so that a candidate rises from the ground."""

    @property
    def length(self) -> float:
        return self.told.ended - self.begin

    @property
    def middles(self) -> list[float]:
        """The middles of the slices."""
        return [edge + self.cut.width / 2 for edge in self.cut.edges]

    def rate(self, version: str) -> tuple[float, ...]:
        return self.cut.rate.get(version, (0.0,) * len(self.cut.edges))


def draw(*, told: Told, to: Path) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    drawing = _drawing(told)
    with mpl.rc_context(_style()):
        figure, axes = pyplot.subplots(
            4, 1, figsize=(14, 12), sharex=True, gridspec_kw={"height_ratios": [3, 1.4, 1.4, 1.6], "hspace": 0.14}
        )
        _shares(axes[0], drawing)
        _rates(axes[1], drawing)
        _errors(axes[2], drawing)
        _latencies(axes[3], drawing)
        _acts(axes, drawing)
        _time(axes[-1], drawing)
        figure.align_ylabels(axes)
        _titles(figure, told)
        figure.savefig(to, dpi=_DPI, bbox_inches="tight", pad_inches=0.3)
        pyplot.close(figure)


def _drawing(told: Told) -> _Drawing:
    begin = next((span.start for span in told.spans if span.act in _LABELS), told.started)
    # Whole slices only: the last one would look like an outage.
    whole = begin + max(1, math.floor((told.ended - begin) / _BIN_S)) * _BIN_S
    cut = timeline.bins(told.requests, names=told.names, start=begin, end=whole, width=_BIN_S)
    seen = {*told.names.values()}
    return _Drawing(told=told, begin=begin, cut=cut, versions=tuple(v for v in reversed(_WHAT) if v in seen))


def _style() -> Any:
    return {
        "font.family": "DejaVu Sans",
        "font.size": 10.5,
        "text.color": _INK,
        "axes.labelcolor": _INK,
        "axes.edgecolor": _FAINT,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "grid.color": "#e4e7eb",
        "xtick.color": _INK,
        "ytick.color": _INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.facecolor": _PAPER,
        "legend.frameon": True,
        "legend.facecolor": _PAPER,
        "legend.edgecolor": "none",
        "legend.framealpha": 0.85,
    }


def _shares(axes: Any, drawing: _Drawing) -> None:
    """What the gateway accepted, as areas; what the clients saw of it, as dots."""
    told = drawing.told
    times, shares = timeline.share_steps(told.moments, versions=drawing.versions, start=drawing.begin, end=told.ended)
    floor = [0] * len(times)
    for version in drawing.versions:
        top = [low + share for low, share in zip(floor, shares[version], strict=True)]
        if any(shares[version]):
            axes.fill_between(
                times, floor, top, step="post", color=_COLOURS[version], linewidth=0, label=_WHAT[version], zorder=2
            )
        floor = top
    dots = list(_seen(drawing))
    axes.scatter(
        *zip(*dots, strict=True) if dots else ((), ()),
        s=13,
        color=_INK,
        edgecolors=_PAPER,
        linewidths=0.5,
        zorder=4,
        label="as clients saw it, each 2 s",
    )
    _exposure(axes, drawing)
    axes.set_ylim(0, 100)
    axes.set_yticks([0, 10, 25, 50, 75, 100])
    axes.set_ylabel("share of the traffic, %\n(weight the gateway accepted)")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.005), ncols=6, handlelength=1.2, columnspacing=1.6)


def _exposure(axes: Any, drawing: _Drawing) -> None:
    """Say how long the version that fails had traffic, where that is told."""
    moments = drawing.told.moments
    had = [moment.at for moment in moments if moment.candidate == EXPECTED_TO_FAIL and moment.accepted]
    gone = [moment.at for moment in moments if had and moment.at > had[-1]]
    if had and gone:
        middle = (had[0] + gone[0]) / 2 - drawing.begin
        peak = max(moment.accepted for moment in moments if moment.candidate == EXPECTED_TO_FAIL)
        text = f"{EXPECTED_TO_FAIL} had {peak} %\nfor {gone[0] - had[0]:.0f} s"
        axes.annotate(
            text, xy=(middle, peak), xytext=(0, 16), textcoords="offset points", ha="center", color=_PAPER, zorder=5
        )


def _seen(drawing: _Drawing) -> Iterator[tuple[float, float]]:
    """Yield (time, percent) of each border between two versions that both answered in a slice."""
    for place, middle in enumerate(drawing.middles):
        rates = [drawing.rate(version)[place] for version in drawing.versions]
        whole, below = sum(rates), 0.0
        for rate in rates[:-1]:
            below += rate
            if 0 < below < whole:
                yield middle, 100 * below / whole


def _rates(axes: Any, drawing: _Drawing) -> None:
    rates = [drawing.rate(version) for version in drawing.versions]
    axes.stackplot(
        drawing.middles, rates, colors=[_COLOURS[version] for version in drawing.versions], linewidth=0, zorder=2
    )
    axes.set_ylim(bottom=0)
    axes.set_ylabel("requests/s\nanswered by")


def _errors(axes: Any, drawing: _Drawing) -> None:
    """The error ratio of every version, and of all requests together."""
    middles, cut = drawing.middles, drawing.cut
    counted = [name for name in (*drawing.versions, timeline.NOBODY) if name in cut.rate]
    whole = [sum(cut.rate[name][place] for name in counted) for place in range(len(middles))]
    failed = [
        sum(cut.rate[name][place] * (cut.error_ratio[name][place] if cut.rate[name][place] else 0) for name in counted)
        for place in range(len(middles))
    ]
    overall = [100 * bad / all_ if all_ else math.nan for bad, all_ in zip(failed, whole, strict=True)]
    for name in drawing.versions:
        if name not in cut.rate:
            continue
        ratio = [100 * value for value in cut.error_ratio[name]]
        if any(value > 0 for value in ratio):
            axes.plot(middles, ratio, color=_COLOURS[name], marker="o", ms=3.5, lw=1.2, label=f"of {name}'s answers")
    axes.fill_between(middles, overall, step="mid", color=_INK, alpha=0.25, linewidth=0)
    axes.step(middles, overall, where="mid", color=_INK, lw=1.3, label="of all requests")
    axes.set_ylim(0, max(5.0, 1.15 * max((v for v in _heights(axes) if not math.isnan(v)), default=0.0)))
    axes.set_ylabel("failed, %")
    axes.legend(loc="upper left", ncols=3)


def _heights(axes: Any) -> Iterator[float]:
    for drawn in axes.get_lines():
        yield from (float(value) for value in drawn.get_ydata())


def _latencies(axes: Any, drawing: _Drawing) -> None:
    for version in reversed(drawing.versions):
        series = drawing.cut.p95_ms.get(version)
        if series:
            axes.plot(drawing.middles, series, color=_COLOURS[version], lw=1.4, marker=".", ms=4, label=version)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_ylabel("latency p95, ms")
    axes.legend(loc="upper left", ncols=4)


def _acts(axes: Sequence[Any], drawing: _Drawing) -> None:
    """Mark where each act begins, over all panels, and say above what happens in it."""
    spans = [span for span in drawing.told.spans if span.act in _LABELS]
    for index, span in enumerate(spans):
        start, end = span.start - drawing.begin, span.end - drawing.begin
        for panel in axes:
            panel.axvline(start, color=_FAINT, lw=0.9, ls=(0, (4, 3)), zorder=3)
            if index % 2:
                panel.axvspan(start, end, color=_SHADE, zorder=0, linewidth=0)
        label = _LABELS[span.act]
        axes[0].annotate(
            label,
            xy=(start, 100),
            xytext=(4, 6),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=10,
            linespacing=1.25,
            annotation_clip=False,
        )


def _time(axes: Any, drawing: _Drawing) -> None:
    tick = next((step for step in _TICKS if drawing.length / step <= _MOST_TICKS), _TICKS[-1])
    axes.set_xlim(0, drawing.length)
    axes.set_xticks([place * tick for place in range(int(drawing.length // tick) + 1)])
    axes.xaxis.set_major_formatter(lambda value, _: clock(value))
    axes.set_xlabel("minutes:seconds since v1 was applied")


def _titles(figure: Any, told: Told) -> None:
    own = sum(not request.ok for request in told.requests) - len(told.lost)
    figure.text(
        0.125, 0.962, "One object, five edits: what the traffic saw", fontsize=17, fontweight="bold", va="bottom"
    )
    figure.text(
        0.125,
        0.942,
        f"{len(told.requests):,} requests at {told.settings.rate:g}/s over HTTP and gRPC, through the gateway.  "
        f"{len(told.lost):,} lost;  {own:,} failed by {EXPECTED_TO_FAIL} itself before it was taken back.",
        fontsize=11.5,
        va="bottom",
    )
