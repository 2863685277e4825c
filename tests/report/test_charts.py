"""Charts cope with extreme data, escape names, and can be put on one sheet."""

import re
from xml.etree import ElementTree

import pytest

from widedeep.report.charts import Axis, Line, Point, Row, Series, dot_chart, line_chart, sheet
from widedeep.report.charts.canvas import nice_ticks

LOOK = Series("Wide & Deep", "#0072B2", "circle")


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.0, 1.0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.83, 0.87, ["0.83", "0.84", "0.85", "0.86", "0.87"]),
        (-1.0, 3.5, ["−1", "0", "1", "2", "3", "4"]),
        (0.0, 2500.0, ["0", "500", "1000", "1500", "2000", "2500"]),
    ],
)
def test_ticks_are_round_and_cover_the_data(low: float, high: float, labels: list[str]) -> None:
    assert [label for _, label in nice_ticks(low, high)] == labels


def test_charts_of_a_single_point_or_of_equal_values_are_finite() -> None:
    point = Point(LOOK, 0.9, 0.9, 0.9)
    drawn = [
        line_chart([Line([0], [point])], Axis("epoch", [(0, "0")]), Axis("RMSE"), "one epoch"),
        line_chart([Line([3.5], [Point(LOOK, 3.5, 3.5, 3.5)])], Axis("p"), Axis("r"), "a bin", diagonal=True),
        dot_chart([Row("new", "1", [point])], Axis("RMSE"), "ratings", "a group"),
        line_chart([Line([*range(99)], [point] * 99)], Axis("month", []), Axis("RMSE"), "m", whiskers=True),
    ]
    assert not any(word in svg for svg in drawn for word in ("nan", "inf"))


def test_charts_escape_names() -> None:
    row = Row("<b>&", "1", [Point(LOOK, 1, 0.5, 2)])
    svg = dot_chart([row], Axis("RMSE"), "ratings", 'said "so" <i>')
    assert "<b>" not in svg
    assert 'aria-label="said &quot;so&quot; &lt;i&gt;"' in svg


def test_sheet_puts_charts_below_each_other_with_titles_and_a_legend() -> None:
    chart = dot_chart([Row("a", "1", [Point(LOOK, 1, 0.5, 2)])], Axis("RMSE"), "RMSE", "one row")
    long = "A title that says what the chart shows & that does not fit in one line of the picture"
    svg = sheet([("Short <title>", chart), (long, chart)], [LOOK, Series("bias", "#D55E00", "square")])
    root = ElementTree.fromstring(svg)
    assert root.get("width") == "720"
    bold = [
        text.text or "" for text in root.iter("{http://www.w3.org/2000/svg}text") if text.get("font-weight") == "bold"
    ]
    assert bold[0] == "Short <title>"
    assert " ".join(bold[1:]) == long
    assert len(bold) == 3
    tops = [float(y) for y in re.findall(r'<svg y="(\d+)" width="360"', svg)]
    assert len(tops) == 2
    assert tops[1] > tops[0] + 70
    assert svg.count("Wide &amp; Deep</text>") == 1
    assert "bias</text>" in svg


def test_points_have_their_labels_where_there_is_room() -> None:
    series = Series("a", "#000", "circle")
    points = [Point(series, 1.0, 1.0, 1.0)] * 5
    chart = line_chart(
        [Line([0, 0.1, 5, 9.9, 10], points, ["P1", "P2", "P3", "P4", "P5"])], Axis("x"), Axis("y"), "alt"
    )
    assert [label for label in ("P1", "P2", "P3", "P4", "P5") if f">{label}<" in chart] == ["P1", "P3", "P5"]
