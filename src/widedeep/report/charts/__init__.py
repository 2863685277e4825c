"""Draw charts as small SVG pictures. The same data give the same bytes with any version of any library.

matplotlib and Vega-Altair gave equal bytes too, in two environments with different locale, threads and fonts. They are
not used: they add 35 and 94 MB, and each new release could change every committed picture.
"""

from widedeep.report.charts.canvas import Axis, Point, Series
from widedeep.report.charts.dots import Row, dot_chart
from widedeep.report.charts.heat import SHADES, heat_map
from widedeep.report.charts.lines import Line, line_chart
from widedeep.report.charts.runs import Occasion, run_chart
from widedeep.report.charts.sheet import key, sheet

__all__ = [
    "SHADES",
    "Axis",
    "Line",
    "Occasion",
    "Point",
    "Row",
    "Series",
    "dot_chart",
    "heat_map",
    "key",
    "line_chart",
    "run_chart",
    "sheet",
]
