"""Charts as small inline SVG, drawn from data alone: the same data give the same bytes.

All are 360 units wide, so that a phone shows their text in its own size. Colours are those of Okabe and Ito ("Color
universal design", 2008), and every series has its own marker too, for readers who do not tell colours apart.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

WIDTH = 360
LETTER = 6.9  # about the width of a letter, in the wide fonts
MANY = 40  # points: a curve with more has no markers
FEW = 10  # users: a group with fewer is drawn hollow
_CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    "square": ((-3, -3), (3, -3), (3, 3), (-3, 3)),
    "triangle": ((0, -4), (4, 3), (-4, 3)),
    "diamond": ((0, -4.2), (4.2, 0), (0, 4.2), (-4.2, 0)),
}
INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#e3e7ec", "#fff"


class Series(NamedTuple):
    """How a series looks, wherever it is drawn."""

    label: str
    color: str
    marker: str


class Point(NamedTuple):
    """A value with its interval; equal to it where there is none. `hollow`: it rests on few users."""

    series: Series
    value: float
    low: float
    high: float
    hollow: bool = False


@dataclass(frozen=True)
class Row:
    """A line of a dot chart: its label, a remark at the right, and a point per series."""

    label: str
    remark: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Line:
    """A curve through `points` at the positions `x`."""

    x: Sequence[float]
    points: Sequence[Point]


@dataclass(frozen=True)
class Axis:
    """`ticks` by position; None: chosen to suit the data."""

    label: str
    ticks: Sequence[tuple[float, str]] | None = None


@dataclass
class Scale:
    """Linear map of [low, high] to [start, end]."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def dot_chart(rows: Sequence[Row], axis: Axis, remarks: str, alt: str, span: Sequence[float] = ()) -> str:
    """Dots with intervals, a row per group, the best reading direction for many labels. `span`: values that the axis
    must reach, so that two charts can share it. `remarks` names the column at the right."""
    left = 12 + LETTER * max(len(row.label) for row in rows)
    right = WIDTH - 14 - LETTER * max(len(remarks), *(len(row.remark) for row in rows))
    step = 7 * max(len(row.points) for row in rows) + 12
    top, bottom = 18, 18 + step * len(rows)
    reach = [*span, *(bound for row in rows for point in row.points for bound in (point.low, point.high, point.value))]
    scale = fitted(reach, left, right)
    parts = [draw_text(WIDTH - 2, 11, remarks, "end", MUTED)]
    parts += [draw_line(scale(at), top, scale(at), bottom, GRID) for at, _ in scale.ticks]
    parts += [draw_text(scale(at), bottom + 13, label, "middle", MUTED) for at, label in scale.ticks]
    parts.append(draw_text((left + right) / 2, bottom + 29, axis.label, "middle", INK))
    for number, row in enumerate(rows):
        middle = top + step * (number + 0.5)
        parts.append(draw_text(left - 8, middle + 4, row.label, "end", INK))
        parts.append(draw_text(WIDTH - 2, middle + 4, row.remark, "end", MUTED))
        for place, point in enumerate(row.points):
            y = middle + 7 * (place - (len(row.points) - 1) / 2)
            parts.append(draw_line(scale(point.low), y, scale(point.high), y, point.series.color, 1.6))
            parts.append(draw_marker(scale(point.value), y, point.series, point.hollow))
    return svg(parts, bottom + 36, alt)


def line_chart(
    lines: Sequence[Line],
    x_axis: Axis,
    y_axis: Axis,
    alt: str,
    mark: tuple[float, str] | None = None,
    diagonal: bool = False,
    whiskers: bool = False,
) -> str:
    """Curves with bands, or with `whiskers`, of their intervals where these have a width. `mark`: a vertical line at
    a position, with its name. `diagonal`: also draw y = x, and give both axes the same range."""
    xs = [x for line in lines for x in line.x]
    ys = [bound for line in lines for point in line.points for bound in (point.low, point.high, point.value)]
    if diagonal:
        xs = ys = xs + ys
    top, bottom = 20, 200
    y_scale = fitted(ys, bottom, top)
    left = 10 + LETTER * max(len(label) for _, label in y_scale.ticks)
    x_scale = fitted(xs, left + 8, WIDTH - 12)
    if x_axis.ticks is not None:
        alone = 1 if min(xs) == max(xs) else 0  # a single point stands in the middle
        # The label of the last point must not stick out.
        right = max([12, *(LETTER * len(label) / 2 for at, label in x_axis.ticks if at == max(xs))])
        x_scale = Scale(min(xs) - alone, max(xs) + alone, left + 8, WIDTH - right, list(x_axis.ticks))
    parts = [draw_text(2, 11, y_axis.label, "start", INK)]
    parts += [draw_line(left, y_scale(at), WIDTH - 4, y_scale(at), GRID) for at, _ in y_scale.ticks]
    parts += [draw_text(left - 6, y_scale(at) + 4, label, "end", MUTED) for at, label in y_scale.ticks]
    parts += [draw_text(x_scale(at), bottom + 15, label, "middle", MUTED) for at, label in x_scale.ticks]
    parts += [draw_line(x_scale(at), bottom, x_scale(at), bottom + 3, MUTED) for at, _ in x_scale.ticks]
    parts.append(draw_text((left + WIDTH) / 2, bottom + 31, x_axis.label, "middle", INK))
    if diagonal:
        low, high = y_scale.low, y_scale.high
        parts.append(draw_line(x_scale(low), y_scale(low), x_scale(high), y_scale(high), MUTED, 1, "4 3"))
    if mark is not None:
        at = x_scale(mark[0])
        parts.append(draw_line(at, top, at, bottom, MUTED, 1, "4 3"))
        late = at > (left + WIDTH) / 2
        parts.append(draw_text(at + (-5 if late else 5), top + 10, mark[1], "end" if late else "start", INK))
    # Few points get whiskers, side by side; of many only a band can be read.
    dodged = whiskers and max(len(line.x) for line in lines) <= MANY
    for place, line in enumerate(lines):
        xs = [x_scale(x) + (3.2 * (place - (len(lines) - 1) / 2) if dodged else 0) for x in line.x]
        parts += _curve(line.points, xs, y_scale, dodged)
    return svg(parts, bottom + 38, alt)


def key(series: Series) -> str:
    """The marker of a series, for a legend."""
    parts = [draw_line(0, 7, 20, 7, series.color, 1.6), draw_marker(10, 7, series, False)]
    return f'<svg width="20" height="14" viewBox="0 0 20 14" aria-hidden="true">{"".join(parts)}</svg>'


def nice_ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Round numbers that cover [low, high], at most about + 2 of them, each with its text."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / about))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power * about >= span * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [(number * step, f"{number * step:.{decimals}f}".replace("-", "−")) for number in range(first, last + 1)]


def fitted(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale with round ticks that reaches from the lowest to the highest value."""
    values = list(values)
    low, high = min(values), max(values)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    ticks = nice_ticks(low, high, 5 if abs(end - start) > 160 else 4)
    return Scale(ticks[0][0], ticks[-1][0], start, end, ticks)


def _curve(points: Sequence[Point], xs: Sequence[float], y_scale: Scale, whiskers: bool) -> list[str]:
    look = points[0].series
    heights = [(y_scale(point.low), y_scale(point.value), y_scale(point.high)) for point in points]
    parts = []
    if whiskers:
        parts += [draw_line(x, low, x, high, look.color, 1.2) for x, (low, _, high) in zip(xs, heights, strict=True)]
    elif any(low != high for low, _, high in heights):
        upper = [f"{x:.1f},{high:.1f}" for x, (_, _, high) in zip(xs, heights, strict=True)]
        lower = [f"{x:.1f},{low:.1f}" for x, (low, _, _) in zip(xs, heights, strict=True)]
        parts.append(f'<polygon points="{" ".join(upper + lower[::-1])}" fill="{look.color}" fill-opacity="0.12"/>')
    path = " ".join(f"{x:.1f},{middle:.1f}" for x, (_, middle, _) in zip(xs, heights, strict=True))
    parts.append(f'<polyline points="{path}" fill="none" stroke="{look.color}" stroke-width="1.8"/>')
    if len(xs) <= MANY:
        middles = [middle for _, middle, _ in heights]
        parts += [draw_marker(x, y, look, point.hollow) for x, y, point in zip(xs, middles, points, strict=True)]
    return parts


def draw_marker(x: float, y: float, series: Series, hollow: bool) -> str:
    look = f'fill="{PAPER if hollow else series.color}" stroke="{series.color}" stroke-width="1.5"'
    corners = _CORNERS.get(series.marker)
    if corners is None:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" {look}/>'
    return f'<polygon points="{" ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners)}" {look}/>'


def draw_line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{color}" stroke-width="{width:g}"{dashed}/>'


def draw_text(x: float, y: float, text: str, anchor: str, color: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">{escape(text)}</text>'


def svg(parts: Iterable[str], height: float, alt: str, width: float = WIDTH) -> str:
    box = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    if width > WIDTH:  # at the scale of the others, see .chart in the page
        box += f' style="min-width:{width:.0f}px;max-width:{width * 4 / 3:.0f}px"'
    return f'<svg class="chart" {box} role="img" aria-label="{escape(alt)}">{"".join(parts)}</svg>'
