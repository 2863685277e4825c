"""The part of the report that shows where the model is good: RMSE by groups of test ratings."""

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from widedeep.report.charts import Axis, Line, Row, Series, dot_chart, line_chart
from widedeep.report.labels import model_label
from widedeep.report.results import RMSE, Figure, Results, estimates, estimates_by_model, point, thin_out
from widedeep.report.text import count, number

# The heading and the kind of groups, by the name of a plot's table.
SLICES = {
    "rmse_by_user_activity": ("By training ratings of the user", "groups of users"),
    "rmse_by_genre": ("By genre", "genres"),
    "rmse_by_item_popularity": ("By training ratings of the item", "groups of items"),
    "rmse_by_month": ("By month of the rating", "months"),
}


def slice_figures(results: Results, plots: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """Draw a chart per table that has rows, with the model and one baseline. The numbers below show every model."""
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
    """Count the groups in which the model's RMSE is lower than that of a baseline. Intervals play no part.

    Without a baseline, state the lowest and the highest RMSE of the groups.
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
    """Draw the months at their distance in time. The line runs through a month without ratings."""
    months = table["group"].unique().tolist()
    position = {month: 12 * int(month[:-3]) + int(month[-2:]) for month in months}
    lines = []
    for name, look in compared.items():
        own = table[table["model"] == name]
        x = [position[month] for month in own["group"]]
        lines.append(Line(x, [point(look, row) for row in estimates(own, "rmse")]))
    ticks = thin_out([(position[month], month) for month in months], 5)
    return line_chart(lines, Axis("month (UTC)", ticks), Axis(RMSE), alt, whiskers=True)
