"""Draw a run chart: the values of one metric at successive occasions, from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass

from widedeep.report.charts.canvas import (
    INK,
    MUTED,
    TOP,
    WIDTH,
    Axis,
    Point,
    Scale,
    draw_band,
    draw_curve,
    draw_frame,
    draw_line,
    draw_marker,
    draw_text,
    fit_scale,
    margins,
    svg,
)

LINE = 14  # distance between lines of text
STEP = 20  # distance between occasions


@dataclass(frozen=True)
class Occasion:
    """A row of a run chart: its label, notes below the label, a remark at the right, and the measured point, if any."""

    label: str
    notes: Sequence[str]
    remark: str
    point: Point | None
    joined: bool = True
    """Whether the point may be compared with the one before."""


def run_chart(occasions: Sequence[Occasion], axis: Axis, remarks: str, alt: str) -> str:
    """Draw a line with a band of intervals. The line is broken where an occasion has no point or is not joined.

    `remarks` is the name of the column at the right.
    """
    labels = [text for one in occasions for text in (one.label, *one.notes)]
    left, right = margins(labels, [remarks, *(one.remark for one in occasions)])
    points = [one.point for one in occasions if one.point is not None]
    scale = fit_scale([bound for point in points for bound in (point.low, point.value, point.high)], left, right)
    heights, bottom = [], float(TOP)
    for one in occasions:
        heights.append(bottom + STEP / 2)
        bottom += STEP + LINE * len(one.notes)
    parts = draw_frame(scale, bottom, axis, remarks)
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


def _run(run: Sequence[tuple[float, Point]], scale: Scale) -> list[str]:
    if not run:
        return []
    color = run[0][1].series.color
    lows, middles, highs = (
        [(scale(getattr(point, bound)), y) for y, point in run] for bound in ("low", "value", "high")
    )
    parts = [draw_band(lows, highs, color), draw_curve(middles, color)]
    for y, point in run:
        parts.append(draw_line(scale(point.low), y, scale(point.high), y, color))
        parts.append(draw_marker(scale(point.value), y, point.series, point.hollow))
    return parts
