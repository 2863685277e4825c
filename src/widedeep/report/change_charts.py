"""Charts of change, in the manner of `widedeep.report.charts`: small SVG, the same data the same bytes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap

from widedeep.report.charts import (
    GRID,
    INK,
    LETTER,
    MUTED,
    PAPER,
    WIDTH,
    Axis,
    Point,
    Scale,
    draw_line,
    draw_marker,
    draw_text,
    fitted,
    svg,
)
from widedeep.report.findings import number

LINE = 14  # from one line of text to the next
STEP = 20  # from one row to the next
CELL = 9  # the narrowest cell
# From little to much by lightness alone, so that everybody sees the same order.
ON_LIGHT, ON_DARK = "black", "white"  # text in cells, whatever the colours of the page
SHADES = ("#eff3f8", "#c6dbef", "#9ecae1", "#6baed6", "#2f7fbc", "#08468b")


@dataclass(frozen=True)
class Occasion:
    """A row of a run chart: its label with notes below, a remark at the right, and what was measured, if anything.
    `joined`: whether that may be compared with the occasion before."""

    label: str
    notes: Sequence[str]
    remark: str
    point: Point | None
    joined: bool = True


def run_chart(occasions: Sequence[Occasion], axis: Axis, remarks: str, alt: str) -> str:
    """A quantity from one occasion to the next, downwards: a line with the band of its intervals, broken where there
    is nothing to join. `remarks` names the column at the right."""
    left = 12 + LETTER * max(len(text) for one in occasions for text in (one.label, *one.notes))
    right = WIDTH - 14 - LETTER * max(len(remarks), *(len(one.remark) for one in occasions))
    points = [one.point for one in occasions if one.point is not None]
    scale = fitted([bound for point in points for bound in (point.low, point.value, point.high)], left, right)
    heights, bottom = [], 18
    for one in occasions:
        heights.append(bottom + STEP / 2)
        bottom += STEP + LINE * len(one.notes)
    parts = [draw_text(WIDTH - 2, 11, remarks, "end", MUTED)]
    parts += [draw_line(scale(at), 18, scale(at), bottom, GRID) for at, _ in scale.ticks]
    parts += [draw_text(scale(at), bottom + 13, label, "middle", MUTED) for at, label in scale.ticks]
    parts.append(draw_text((left + right) / 2, bottom + 29, axis.label, "middle", INK))
    run: list[tuple[float, Point]] = []
    for one, y in zip(occasions, heights, strict=True):
        parts.append(draw_text(left - 8, y + 4, one.label, "end", INK))
        parts.append(draw_text(WIDTH - 2, y + 4, one.remark, "end", MUTED))
        for place, note in enumerate(one.notes, 1):
            parts.append(draw_text(left - 8, y + 4 + LINE * place, note, "end", MUTED))
        if one.point is None or not one.joined:
            parts += _run(run, scale)
            run = []
        if one.point is not None:
            run.append((y, one.point))
    return svg([*parts, *_run(run, scale)], bottom + 36, alt)


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    bounds: Sequence[float],
    axis: Axis,
    alt: str,
    mark: tuple[int, str] | None = None,
) -> str:
    """A cell per row and column, the darker the more of the five increasing `bounds` its value reaches; NaN is left
    empty. Cells with room for it show the number. `mark`: a line before a column, with its name. Where columns are
    many, the chart is wider than others."""
    left = 12 + LETTER * max(map(len, rows))
    across = max(CELL, (WIDTH - 4 - left) / len(columns))
    right, top = left + across * len(columns), 22
    bottom = top + STEP * len(rows)
    parts = []
    for line, (row, own) in enumerate(zip(rows, values, strict=True)):
        y = top + STEP * line
        parts.append(draw_text(left - 8, y + 14, row, "end", INK))
        for place, value in enumerate(own):
            if not math.isnan(value):
                name = f"{row}, {columns[place]}: {number(value)}"
                parts += _cell(left + across * place, y, across, value, bounds, name)
    every = math.ceil(LETTER * (max(map(len, columns)) + 1) / across)
    for place in range(0, len(columns), every):
        x = min(left + across * (place + 0.5), right - LETTER * len(columns[place]) / 2)
        parts.append(draw_text(x, bottom + 15, columns[place], "middle", MUTED))
    parts.append(draw_text((left + right) / 2, bottom + 31, axis.label, "middle", INK))
    if mark is not None:
        at = left + across * mark[0]
        late = at > (left + right) / 2
        parts.append(draw_line(at, 4, at, bottom, INK, 1.4, "4 3"))
        name, x, anchor = (f"{mark[1]} →", at - 5, "end") if late else (f"→ {mark[1]}", at + 5, "start")
        parts.append(draw_text(x, 14, name, anchor, INK))
    return svg(parts, bottom + 38, alt, right + 4)


def shade(value: float, bounds: Sequence[float]) -> str:
    return SHADES[sum(value >= bound for bound in bounds)]


def sheet(charts: Sequence[tuple[str, str]]) -> str:
    """Charts below each other under their titles, as a picture that stands alone, at twice the size of its units."""
    parts, y = [], 8
    for title, chart in charts:
        for line in wrap(title, 52):
            parts.append(f'<text x="2" y="{y + 12}" font-weight="bold">{escape(line)}</text>')
            y += LINE + 1
        height = int(chart.partition('viewBox="0 0 ')[2].partition('"')[0].split()[1])
        parts.append(f'<svg y="{y + 5}" width="{WIDTH}" height="{height}">{chart}</svg>')
        y += height + 24
    box = f'viewBox="0 0 {WIDTH} {y}" width="{2 * WIDTH}"'
    white = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    font = 'font-family="sans-serif" font-size="11.5"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {font}>{white}{"".join(parts)}</svg>\n'


def _run(run: Sequence[tuple[float, Point]], scale: Scale) -> list[str]:
    if not run:
        return []
    color = run[0][1].series.color
    lower, middle, upper = (
        [f"{scale(getattr(point, bound)):.1f},{y:.1f}" for y, point in run] for bound in ("low", "value", "high")
    )
    parts = [
        f'<polygon points="{" ".join(lower + upper[::-1])}" fill="{color}" fill-opacity="0.12"/>',
        f'<polyline points="{" ".join(middle)}" fill="none" stroke="{color}" stroke-width="1.8"/>',
    ]
    for y, point in run:
        parts.append(draw_line(scale(point.low), y, scale(point.high), y, color))
        parts.append(draw_marker(scale(point.value), y, point.series, point.hollow))
    return parts


def _cell(x: float, y: float, across: float, value: float, bounds: Sequence[float], name: str) -> list[str]:
    box = f'x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{across - 1:.1f}" height="{STEP - 1}"'
    fill = shade(value, bounds)
    parts = [f'<rect {box} fill="{fill}"><title>{escape(name)}</title></rect>']
    text = number(value, 2)
    if across >= LETTER * len(text):
        parts.append(
            draw_text(x + across / 2, y + STEP / 2 + 4, text, "middle", ON_DARK if fill in SHADES[4:] else ON_LIGHT)
        )
    return parts
