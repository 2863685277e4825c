"""Put several charts into one picture, and draw the keys of a legend."""

from collections.abc import Sequence
from html import escape
from textwrap import wrap

from widedeep.report.charts.canvas import PAPER, WIDTH, Series, draw_line, draw_marker

LINE = 15  # distance between the lines of a title
TITLE = 56  # letters in a line of a title
LETTER = 6  # rough width of a letter of the legend


def key(series: Series) -> str:
    """Draw the marker of a series for a legend."""
    parts = [draw_line(0, 7, 20, 7, series.color, 1.6), draw_marker(10, 7, series)]
    return f'<svg width="20" height="14" viewBox="0 0 20 14" aria-hidden="true">{"".join(parts)}</svg>'


def sheet(charts: Sequence[tuple[str, str]], legend: Sequence[Series] = ()) -> str:
    """Put charts below each other under their titles, and the legend below all charts.

    The result is a picture file of its own. It is shown at twice the size of its units.
    """
    parts, y = [], 8
    for title, chart in charts:
        for line in wrap(title, TITLE, break_on_hyphens=False):
            parts.append(f'<text x="2" y="{y + 12}" font-weight="bold">{escape(line)}</text>')
            y += LINE
        height = _height(chart)
        parts.append(f'<svg y="{y + 5}" width="{WIDTH}" height="{height}">{chart}</svg>')
        y += height + 21
    if legend:
        parts += _legend(legend, y)
        y += 22
    box = f'viewBox="0 0 {WIDTH} {y}" width="{2 * WIDTH}"'
    white = f'<rect width="100%" height="100%" fill="{PAPER}"/>'
    font = 'font-family="sans-serif" font-size="11.5"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box} {font}>{white}{"".join(parts)}</svg>\n'


def _legend(legend: Sequence[Series], y: int) -> list[str]:
    parts, x = [], 2
    for series in legend:
        parts.append(f'<svg x="{x}" y="{y}" width="20" height="14">{key(series)}</svg>')
        parts.append(f'<text x="{x + 24}" y="{y + 11}">{escape(series.label)}</text>')
        x += 38 + LETTER * len(series.label)
    return parts


def _height(chart: str) -> int:
    """Read the height of a chart from its viewBox."""
    return int(chart.partition('viewBox="0 0 ')[2].partition('"')[0].split()[1])
