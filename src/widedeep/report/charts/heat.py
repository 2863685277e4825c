"""Draw a heat map: a cell per row and column. A larger value has a darker cell."""

import math
from collections.abc import Sequence
from html import escape

from widedeep.report.charts.canvas import INK, LETTER, MUTED, WIDTH, Axis, draw_line, draw_text, svg
from widedeep.report.text import number

HIGH = 22  # upper end of the cells
STEP = 20  # distance between rows
CELL = 9  # smallest width of a cell
# The shades differ only in lightness, so that all readers see the same order.
SHADES = ("#eff3f8", "#c6dbef", "#9ecae1", "#6baed6", "#2f7fbc", "#08468b")
ON_LIGHT, ON_DARK = "black", "white"  # text in cells; a dark page does not replace these colours


def heat_map(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float]],
    bounds: Sequence[float],
    axis: Axis,
    alt: str,
    mark: tuple[int, str] | None = None,
) -> str:
    """Draw a cell per row and column. A wide cell shows its number. For NaN the cell is empty.

    A chart with many columns is wider than other charts.

    Parameters
    ----------
    values : a row of values for each of `rows`
    bounds : five increasing values. The shade of a cell is the number of bounds that its value reaches.
    mark : position of a column, and the name of a line before this column
    """
    left = 12 + LETTER * max(map(len, rows))
    across = max(CELL, (WIDTH - 4 - left) / len(columns))
    right, bottom = left + across * len(columns), HIGH + STEP * len(rows)
    parts = []
    for line, (row, own) in enumerate(zip(rows, values, strict=True)):
        y = HIGH + STEP * line
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
    """Choose the colour of a cell."""
    return SHADES[sum(value >= bound for bound in bounds)]


def _cell(x: float, y: float, across: float, value: float, bounds: Sequence[float], name: str) -> list[str]:
    box = f'x="{x + 0.5:.1f}" y="{y + 0.5:.1f}" width="{across - 1:.1f}" height="{STEP - 1}"'
    fill = shade(value, bounds)
    parts = [f'<rect {box} fill="{fill}"><title>{escape(name)}</title></rect>']
    text = number(value, 2)
    if across >= LETTER * len(text):
        ink = ON_DARK if fill in SHADES[4:] else ON_LIGHT
        parts.append(draw_text(x + across / 2, y + STEP / 2 + 4, text, "middle", ink))
    return parts
