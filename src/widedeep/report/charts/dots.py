"""Draw a dot chart: values with intervals, and a row per group."""

from collections.abc import Sequence
from dataclasses import dataclass

from widedeep.report.charts.canvas import (
    INK,
    MUTED,
    TOP,
    WIDTH,
    Axis,
    Point,
    draw_frame,
    draw_line,
    draw_marker,
    draw_text,
    fit_scale,
    margins,
    svg,
)

APART = 7  # distance between the points of a row


@dataclass(frozen=True)
class Row:
    """A row of a dot chart: its label, a remark at the right, and a point per series."""

    label: str
    remark: str
    points: Sequence[Point]


def dot_chart(rows: Sequence[Row], axis: Axis, remarks: str, alt: str, span: Sequence[float] = ()) -> str:
    """Draw rows below each other. This leaves room for long labels.

    Parameters
    ----------
    remarks : name of the column at the right
    span : values that the axis must include, so that two charts can have the same axis
    """
    left, right = margins((row.label for row in rows), [remarks, *(row.remark for row in rows)])
    step = APART * max(len(row.points) for row in rows) + 12
    bottom = TOP + step * len(rows)
    reach = [*span, *(bound for row in rows for point in row.points for bound in (point.low, point.high, point.value))]
    scale = fit_scale(reach, left, right)
    parts = draw_frame(scale, bottom, axis, remarks)
    for number, row in enumerate(rows):
        middle = TOP + step * (number + 0.5)
        parts.append(draw_text(left - 8, middle + 4, row.label, "end", INK))
        parts.append(draw_text(WIDTH - 2, middle + 4, row.remark, "end", MUTED))
        for place, point in enumerate(row.points):
            y = middle + APART * (place - (len(row.points) - 1) / 2)
            parts.append(draw_line(scale(point.low), y, scale(point.high), y, point.series.color, 1.6))
            parts.append(draw_marker(scale(point.value), y, point.series, point.hollow))
    return svg(parts, bottom + 36, alt)
