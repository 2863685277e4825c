"""Where the model is good and where it is not: RMSE by groups of the test ratings."""

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from widedeep.report.charts import Axis, Line, Row, Series, dot_chart, line_chart
from widedeep.report.labels import model_label
from widedeep.report.results import RMSE, Figure, Results, estimates, estimates_by_model, point, thin_out
from widedeep.report.text import count, number

# By the name of a plot's table: its heading, and what its groups are.
SLICES = {
    "rmse_by_user_activity": ("By training ratings of the user", "groups of users"),
    "rmse_by_genre": ("By genre", "genres"),
    "rmse_by_item_popularity": ("By training ratings of the item", "groups of items"),
    "rmse_by_month": ("By month of the rating", "months"),
}


def slice_figures(results: Results, plots: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """A chart per table that has rows, of the model and one baseline. The numbers have every model."""
    compared = {name: results.looks[name] for name in results.compared}
    figures = []
    for name, (heading, groups) in SLICES.items():
        table = plots[name]
        if table.empty:
            continue
        model, *others = results.compared
        title = slice_finding(table, model, others[0] if others else "", groups)
        draw = _month_chart if name == "rmse_by_month" else _group_chart
        rows = [
            {
                "group": group,
                "n": part["n"].iloc[0],
                "users": part["users"].iloc[0],
                "models": estimates_by_model(part, "rmse"),
            }
            for group, part in table.groupby("group", sort=False)
        ]
        figures.append(Figure(title, Markup(draw(table, compared, f"{heading}: {title}")), heading, rows))
    return figures


def slice_finding(table: pd.DataFrame, model: str, other: str = "", groups: str = "groups") -> str:
    """In how many groups the model's RMSE is lower than that of a baseline: a count of points, said as such.

    Without a baseline: from which RMSE to which the groups go.
    """
    rmse = table.pivot(index="group", columns="model", values="rmse")
    if not other:
        return f"RMSE from {number(rmse[model].min())} to {number(rmse[model].max())} in {len(rmse)} {groups}"
    lower = int((rmse[model] < rmse[other]).sum())
    if len(rmse) == 1:
        return f"{'Lower' if lower else 'No lower'} RMSE than the {model_label(other)} baseline"
    of = {0: f"none of {len(rmse)}", len(rmse): f"all {len(rmse)}"}.get(lower, f"{lower} of {len(rmse)}")
    return f"Lower RMSE than the {model_label(other)} baseline in {of} {groups}"


def _group_chart(table: pd.DataFrame, compared: Mapping[str, Series], alt: str) -> str:
    rows = []
    for group, part in table.groupby("group", sort=False):
        by_model = estimates_by_model(part, "rmse")
        points = [point(look, by_model[name]) for name, look in compared.items()]
        rows.append(Row(str(group), count(part["n"].iloc[0]), points))
    return dot_chart(rows, Axis(RMSE), "ratings", alt)


def _month_chart(table: pd.DataFrame, compared: Mapping[str, Series], alt: str) -> str:
    """Months keep their distance: a month without ratings is a gap between positions, not in the line."""
    months = table["group"].unique().tolist()
    position = {month: 12 * int(month[:-3]) + int(month[-2:]) for month in months}
    lines = []
    for name, look in compared.items():
        own = table[table["model"] == name]
        x = [position[month] for month in own["group"]]
        lines.append(Line(x, [point(look, row) for row in estimates(own, "rmse")]))
    ticks = thin_out([(position[month], month) for month in months], 5)
    return line_chart(lines, Axis("month (UTC)", ticks), Axis(RMSE), alt, whiskers=True)
