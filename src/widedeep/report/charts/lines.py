"""Draw a line chart: curves over a common axis. Intervals are drawn as bands or whiskers."""

from collections.abc import Sequence
from dataclasses import dataclass

from widedeep.report.charts.canvas import (
    GRID,
    INK,
    LETTER,
    MUTED,
    WIDTH,
    Axis,
    Point,
    Scale,
    draw_band,
    draw_curve,
    draw_line,
    draw_marker,
    draw_text,
    fit_scale,
    svg,
)

MANY = 40  # a curve with more points has no markers
HIGH, LOW = 20, 200  # upper and lower end of the drawing
DODGE = 3.2  # distance between the whiskers of two curves at the same position


@dataclass(frozen=True)
class Line:
    """A curve through `points` at the positions `x`. `labels` stand above the points, where there is
    room."""

    x: Sequence[float]
    points: Sequence[Point]
    labels: Sequence[str] = ()


def line_chart(
    lines: Sequence[Line],
    x_axis: Axis,
    y_axis: Axis,
    alt: str,
    mark: tuple[float, str] | None = None,
    diagonal: bool = False,
    whiskers: bool = False,
) -> str:
    """Draw curves with the intervals of their points. A point with low = high has no interval.

    Parameters
    ----------
    mark : position and name of a vertical line
    diagonal : also draw y = x, and give both axes the same range
    whiskers : draw intervals as whiskers, not as a band
    """
    xs = [x for line in lines for x in line.x]
    ys = [bound for line in lines for point in line.points for bound in (point.low, point.high, point.value)]
    if diagonal:
        xs = ys = xs + ys
    y_scale = fit_scale(ys, LOW, HIGH)
    left = 10 + LETTER * max(len(label) for _, label in y_scale.ticks)
    start = left + 8
    x_scale = fit_scale(xs, start, WIDTH - 12) if x_axis.ticks is None else _scale_of_ticks(xs, x_axis.ticks, start)
    parts = [draw_text(2, 11, y_axis.label, "start", INK)]
    parts += [draw_line(left, y_scale(at), WIDTH - 4, y_scale(at), GRID) for at, _ in y_scale.ticks]
    parts += [draw_text(left - 6, y_scale(at) + 4, label, "end", MUTED) for at, label in y_scale.ticks]
    parts += [draw_text(x_scale(at), LOW + 15, label, "middle", MUTED) for at, label in x_scale.ticks]
    parts += [draw_line(x_scale(at), LOW, x_scale(at), LOW + 3, MUTED) for at, _ in x_scale.ticks]
    parts.append(draw_text((left + WIDTH) / 2, LOW + 31, x_axis.label, "middle", INK))
    if diagonal:
        low, high = y_scale.low, y_scale.high
        parts.append(draw_line(x_scale(low), y_scale(low), x_scale(high), y_scale(high), MUTED, 1, "4 3"))
    if mark is not None:
        at = x_scale(mark[0])
        parts.append(draw_line(at, HIGH, at, LOW, MUTED, 1, "4 3"))
        late = at > (left + WIDTH) / 2
        parts.append(draw_text(at + (-5 if late else 5), HIGH + 10, mark[1], "end" if late else "start", INK))
    # Whiskers of many points would hide each other, so a curve with many points has a band.
    dodged = whiskers and max(len(line.x) for line in lines) <= MANY
    for place, line in enumerate(lines):
        shift = DODGE * (place - (len(lines) - 1) / 2) if dodged else 0
        xs = [x_scale(x) + shift for x in line.x]
        parts += _curve(line.points, xs, y_scale, dodged)
        parts += _labels(line, xs, y_scale)
    return svg(parts, LOW + 38, alt)


def _scale_of_ticks(xs: Sequence[float], ticks: Sequence[tuple[float, str]], start: float) -> Scale:
    """Make a scale from the first to the last position. At the right, leave room for half of the last label."""
    alone = 1 if min(xs) == max(xs) else 0  # put a single point in the middle
    right = max([12, *(LETTER * len(label) / 2 for at, label in ticks if at == max(xs))])
    return Scale(min(xs) - alone, max(xs) + alone, start, WIDTH - right, list(ticks))


def _labels(line: Line, xs: Sequence[float], y_scale: Scale) -> list[str]:
    """Write the labels of points above them: the first and the last one, and those between that have room."""
    parts, free, last = [], -1.0, len(line.labels) - 1
    for place, (x, point, label) in enumerate(zip(xs, line.points, line.labels, strict=False)):
        half = LETTER * len(label) / 2
        end = xs[last] - LETTER * len(line.labels[last]) / 2
        if place in (0, last) or (x - half > free and x + half < end):
            parts.append(draw_text(x, y_scale(point.value) - 8, label, "middle", MUTED))
            free = x + half
    return parts


def _curve(points: Sequence[Point], xs: Sequence[float], y_scale: Scale, whiskers: bool) -> list[str]:
    color = points[0].series.color
    lows, middles, highs = (
        [(x, y_scale(getattr(point, bound))) for x, point in zip(xs, points, strict=True)]
        for bound in ("low", "value", "high")
    )
    parts = []
    if whiskers:
        parts += [draw_line(x, low, x, high, color, 1.2) for (x, low), (_, high) in zip(lows, highs, strict=True)]
    elif lows != highs:
        parts.append(draw_band(highs, lows, color))
    parts.append(draw_curve(middles, color))
    if len(xs) <= MANY:
        parts += [draw_marker(x, y, point.series, point.hollow) for (x, y), point in zip(middles, points, strict=True)]
    return parts
