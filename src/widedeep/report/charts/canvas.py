"""The parts of every chart: colours, points with intervals, axes, and functions that draw them as SVG text.

A chart is 360 units wide, so that its text is readable on a phone. The colours are those of Okabe and Ito ("Color
universal design", 2008). Every series also has its own marker, for readers who cannot tell colours apart.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

WIDTH = 360
LETTER = 6.9  # rough width of a letter in a wide font
TOP = 18  # upper end of the rows of a chart
INK, MUTED, GRID, PAPER = "#1b1f24", "#5b6470", "#e3e7ec", "#fff"
BLUE, VERMILION, GREEN, GREY, PINK, ORANGE = "#0072B2", "#D55E00", "#009E73", "#6B7280", "#CC79A7", "#E69F00"
CIRCLE, SQUARE, TRIANGLE, DIAMOND = "circle", "square", "triangle", "diamond"
_CORNERS: dict[str, tuple[tuple[float, float], ...]] = {
    SQUARE: ((-3, -3), (3, -3), (3, 3), (-3, 3)),
    TRIANGLE: ((0, -4), (4, 3), (-4, 3)),
    DIAMOND: ((0, -4.2), (4.2, 0), (0, 4.2), (-4.2, 0)),
}


class Series(NamedTuple):
    """The look of a series in all charts."""

    label: str
    color: str
    marker: str


class Point(NamedTuple):
    """A value with its interval. Without an interval, `low` and `high` equal the value."""

    series: Series
    value: float
    low: float
    high: float
    hollow: bool = False
    """The point rests on few users."""


@dataclass(frozen=True)
class Axis:
    """The name of an axis, and its ticks as (position, text). Without ticks, a chart chooses round numbers."""

    label: str
    ticks: Sequence[tuple[float, str]] | None = None


@dataclass
class Scale:
    """A linear map from values in [low, high] to positions in [start, end]."""

    low: float
    high: float
    start: float
    end: float
    ticks: list[tuple[float, str]] = field(default_factory=list)

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def nice_ticks(low: float, high: float, about: int = 5) -> list[tuple[float, str]]:
    """Choose round numbers that cover [low, high], each with its text. There are at most `about` + 2 of them."""
    span = high - low
    power = 10.0 ** math.floor(math.log10(span / about))
    step = power * next(factor for factor in (1, 2, 5, 10) if factor * power * about >= span * (1 - 1e-9))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [(number * step, f"{number * step:.{decimals}f}".replace("-", "−")) for number in range(first, last + 1)]


def fit_scale(values: Iterable[float], start: float, end: float) -> Scale:
    """Make a scale with round ticks that reaches from the lowest to the highest value."""
    values = list(values)
    low, high = min(values), max(values)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    ticks = nice_ticks(low, high, 5 if abs(end - start) > 160 else 4)
    return Scale(ticks[0][0], ticks[-1][0], start, end, ticks)


def margins(labels: Iterable[str], remarks: Iterable[str]) -> tuple[float, float]:
    """Compute the left and right end of the drawing between a column of labels and a column of remarks."""
    return 12 + LETTER * max(map(len, labels)), WIDTH - 14 - LETTER * max(map(len, remarks))


def draw_frame(scale: Scale, bottom: float, axis: Axis, remarks: str) -> list[str]:
    """Draw grid, ticks and names of a chart with rows, from `TOP` to `bottom`.

    `remarks` is the name of the column of remarks.
    """
    parts = [draw_text(WIDTH - 2, 11, remarks, "end", MUTED)]
    parts += [draw_line(scale(at), TOP, scale(at), bottom, GRID) for at, _ in scale.ticks]
    parts += [draw_text(scale(at), bottom + 13, label, "middle", MUTED) for at, label in scale.ticks]
    parts.append(draw_text((scale.start + scale.end) / 2, bottom + 29, axis.label, "middle", INK))
    return parts


def draw_marker(x: float, y: float, series: Series, hollow: bool = False) -> str:
    """Draw the marker of a series."""
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


def draw_curve(points: Iterable[tuple[float, float]], color: str) -> str:
    """Draw a line through points."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.8"/>'


def draw_band(edge: Sequence[tuple[float, float]], other: Sequence[tuple[float, float]], color: str) -> str:
    """Draw the area between two edges. Both edges run in the same direction."""
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*edge, *reversed(other)))
    return f'<polygon points="{path}" fill="{color}" fill-opacity="0.12"/>'


def svg(parts: Iterable[str], height: float, alt: str, width: float = WIDTH) -> str:
    """Put the parts of a chart into one element. `alt` is the text for readers who do not see the chart."""
    box = f'viewBox="0 0 {width:.0f} {height:.0f}"'
    if width > WIDTH:  # keep the scale of the other charts (see .chart in the page)
        box += f' style="min-width:{width:.0f}px;max-width:{width * 4 / 3:.0f}px"'
    return f'<svg class="chart" {box} role="img" aria-label="{escape(alt)}">{"".join(parts)}</svg>'
