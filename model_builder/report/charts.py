"""Small pictures as inline SVG: lines, points, intervals and a matrix. Nothing is loaded, and nothing moves.

Colours are those of Okabe and Ito, and lines differ in their dashes too: no picture needs an eye for colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from model_builder.report.markup import Markup, element, joined
from model_builder.report.words import number

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#555555")
_DASHES = (None, "6 3", "2 3", "8 3 2 3", "1 4", "10 4")
_WIDTH, _HEIGHT = 440, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 14, 46
_TICKS = 5
#: Characters of a name beside an interval.
_LONG = 34


@dataclass(frozen=True)
class Axis:
    """One axis: what it says, and its ends."""

    label: str
    low: float
    high: float

    @classmethod
    def around(cls, label: str, values: Sequence[float], *, margin: float = 0.12) -> Axis:
        """An axis with room for all values."""
        low, high = min(values), max(values)
        room = (high - low) * margin or abs(high) * margin or 1.0
        return cls(label, low - room, high + room)

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1; what is outside lies at the end."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Round values between the ends."""
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.9)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 12) for index in range(first, last + 1)]


@dataclass(frozen=True)
class Series:
    """A named line."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Dot:
    """A point, with a name or none; `weight` decides its area, 0 to 1."""

    name: str
    x: float
    y: float
    weight: float = 0.2


@dataclass(frozen=True)
class Interval:
    """A value with its bounds, and what it is compared with."""

    name: str
    lower: float
    value: float
    upper: float
    other: float | None = None


def lines(title: str, series: Sequence[Series], *, x: Axis, y: Axis, diagonal: bool = False) -> Markup:
    """Lines with a legend below; with a diagonal, what both axes agree on."""
    drawn = [_diagonal(x, y)] if diagonal else []
    legend = []
    for index, one in enumerate(series):
        colour, dash = _COLOURS[index % len(_COLOURS)], _DASHES[index % len(_DASHES)]
        places = [(_x(x, a), _y(y, b)) for a, b in one.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        drawn.append(
            element("polyline", points=path, fill="none", stroke=colour, stroke_width=2, stroke_dasharray=dash)
        )
        drawn += [_circle(a, b, radius=3, colour=colour) for a, b in places]
        legend.append((one.name, colour, dash))
    return _picture(title, joined(_axes(x, y), *drawn, _legend(legend)), height=_HEIGHT + 18 * len(legend))


def dots(title: str, points: Sequence[Dot], *, x: Axis, y: Axis, diagonal: bool = False) -> Markup:
    """Points, with a legend below for those that have a name: beside them, names of near points would overlap."""
    drawn = [_diagonal(x, y)] if diagonal else []
    legend = []
    for index, dot in enumerate(points):
        colour = _COLOURS[index % len(_COLOURS)] if dot.name else _COLOURS[0]
        radius = 3 + 13 * math.sqrt(dot.weight)
        drawn.append(_circle(_x(x, dot.x), _y(y, dot.y), radius=radius, colour=colour, opacity=0.6))
        if dot.name:
            legend.append((dot.name, colour, None))
    return _picture(title, joined(_axes(x, y), *drawn, _legend(legend)), height=_HEIGHT + 18 * len(legend))


def intervals(title: str, rows: Sequence[Interval], *, axis: Axis) -> Markup:
    """Values with their bounds, one below the other; hollow where the value compared with lies."""
    left, line = 20 + 7 * max(len(_short(row.name, _LONG)) for row in rows), 22
    height = line * len(rows) + 44
    drawn = []

    def at(value: float) -> float:
        return left + axis.share(value) * (_WIDTH + 120 - left - _RIGHT)

    for tick in axis.ticks():
        drawn.append(_line(at(tick), 8, at(tick), height - 34, colour="#dddddd"))
        drawn.append(_text(at(tick), height - 20, number(tick), anchor="middle"))
    for index, row in enumerate(rows):
        middle = 8 + line * (index + 0.5)
        drawn.append(_text(left - 8, middle + 4, _short(row.name, _LONG), anchor="end"))
        drawn.append(_line(at(row.lower), middle, at(row.upper), middle, colour=_COLOURS[0], width=3))
        drawn.append(_circle(at(row.value), middle, radius=5, colour=_COLOURS[0]))
        if row.other is not None:
            drawn.append(_circle(at(row.other), middle, radius=5, colour=_COLOURS[1], hollow=True))
    drawn.append(_text(at((axis.low + axis.high) / 2), height - 4, axis.label, anchor="middle"))
    return _picture(title, joined(*drawn), height=height, width=_WIDTH + 120)


def matrix(title: str, names: Sequence[str], counts: Sequence[Sequence[int]]) -> Markup:
    """Counts by label (rows) and answer (columns), darker for a larger share of the row."""
    cell = 30 if len(names) <= 15 else 22
    left = top = 34 + 7 * max(len(_short(name)) for name in names)
    drawn = []
    for index, name in enumerate(names):
        middle = cell * (index + 0.5)
        drawn.append(_text(left - 6, top + middle + 4, _short(name), anchor="end"))
        place = f"rotate(-90 {left + middle + 4:g} {top - 6})"
        drawn.append(_text(left + middle + 4, top - 6, _short(name), anchor="start", transform=place))
    for row, values in enumerate(counts):
        whole = sum(values)
        for column, count in enumerate(values):
            share = count / whole if whole else 0.0
            a, b = left + cell * column, top + cell * row
            told = element("title", f"label {names[row]}, answer {names[column]}: {count}")
            box = {"width": cell - 1, "height": cell - 1, "fill": _shade(share, wrong=row != column)}
            drawn.append(element("rect", told, x=a, y=b, **box))
            if count:
                ink = "#ffffff" if share > 0.5 else "#111111"
                drawn.append(_text(a + cell / 2, b + cell / 2 + 4, count, anchor="middle", fill=ink, font_size=10))
    side = cell * len(names)
    drawn.append(_text(left + side / 2, 12, "answer", anchor="middle"))
    turned = f"rotate(-90 12 {top + side / 2:g})"
    drawn.append(_text(12, top + side / 2, "label", anchor="middle", transform=turned))
    return _picture(title, joined(*drawn), height=top + side + 6, width=left + side + 6)


def grid(title: str, values: Sequence[Sequence[float]]) -> Markup:
    """Values of a picture or of positions against each other: blue above zero, orange below, white at zero."""
    side = max(4, min(14, 200 // max(len(values), len(values[0]))))
    largest = max((abs(value) for row in values for value in row), default=0.0) or 1.0
    drawn = [
        element("rect", x=side * x, y=side * y, width=side, height=side, fill=_tint(value / largest))
        for y, row in enumerate(values)
        for x, value in enumerate(row)
    ]
    height, width = side * len(values), side * len(values[0])
    frame = element("rect", x=0, y=0, width=width, height=height, fill="none", stroke="#999999")
    return _picture(title, joined(*drawn, frame), height=height, width=width)


def _tint(share: float) -> str:
    full = (0, 114, 178) if share >= 0 else (213, 94, 0)
    return "#" + "".join(f"{round(255 - (255 - part) * abs(share)):02x}" for part in full)


def _shade(share: float, *, wrong: bool) -> str:
    """White to the colour of right or wrong answers; few wrong ones are to be seen, hence the root."""
    full = (213, 94, 0) if wrong else (0, 114, 178)
    depth = math.sqrt(share) if wrong else share
    return "#" + "".join(f"{round(255 - (255 - part) * depth):02x}" for part in full)


def _short(name: str, most: int = 14) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


def _picture(title: str, content: Markup, *, height: float, width: float = _WIDTH) -> Markup:
    box = f"0 0 {width:g} {height:g}"
    inner = element("g", content, font_family="system-ui, sans-serif", font_size=12, fill="#111111")
    return element(
        "svg", element("title", title), inner, viewBox=box, width=f"{width:g}", height=f"{height:g}", role="img"
    )


def _axes(x: Axis, y: Axis) -> Markup:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    drawn = []
    for tick in x.ticks():
        drawn.append(_line(_x(x, tick), _TOP, _x(x, tick), bottom, colour="#e5e5e5"))
        drawn.append(_text(_x(x, tick), bottom + 16, number(tick), anchor="middle"))
    for tick in y.ticks():
        drawn.append(_line(_LEFT, _y(y, tick), right, _y(y, tick), colour="#e5e5e5"))
        drawn.append(_text(_LEFT - 6, _y(y, tick) + 4, number(tick), anchor="end"))
    middle = (_TOP + bottom) / 2
    return joined(
        *drawn,
        _line(_LEFT, bottom, right, bottom),
        _line(_LEFT, _TOP, _LEFT, bottom),
        _text((_LEFT + right) / 2, bottom + 36, x.label, anchor="middle"),
        _text(13, middle, y.label, anchor="middle", transform=f"rotate(-90 13 {middle:g})"),
    )


def _legend(entries: Sequence[tuple[str, str, str | None]]) -> Markup:
    drawn = []
    for index, (name, colour, dash) in enumerate(entries):
        height = _HEIGHT + 18 * index + 4
        drawn.append(_line(_LEFT, height, _LEFT + 30, height, colour=colour, width=2, dash=dash))
        drawn.append(_text(_LEFT + 38, height + 4, name))
    return joined(*drawn)


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.share(value) * (_WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - axis.share(value) * (_HEIGHT - _TOP - _BOTTOM)


def _diagonal(x: Axis, y: Axis) -> Markup:
    low, high = max(x.low, y.low), min(x.high, y.high)
    return _line(_x(x, low), _y(y, low), _x(x, high), _y(y, high), colour="#999999", dash="4 4")


def _line(
    x1: float, y1: float, x2: float, y2: float, *, colour: str = "#333333", width: int = 1, dash: str | None = None
) -> Markup:
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return element("line", **ends, stroke=colour, stroke_width=width, stroke_dasharray=dash)


def _circle(
    x: float, y: float, *, radius: float, colour: str, opacity: float | None = None, hollow: bool = False
) -> Markup:
    fill = "none" if hollow else colour
    place = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": f"{radius:.1f}"}
    return element("circle", **place, fill=fill, fill_opacity=opacity, stroke=colour, stroke_width=2 if hollow else 1)


def _text(x: float, y: float, text: object, *, anchor: str = "start", **more: object) -> Markup:
    return element("text", text, x=f"{x:.1f}", y=f"{y:.1f}", text_anchor=anchor, **more)
