"""The parts of the report that show where the model is good: groups of test ratings, and of users by what is known."""

from collections.abc import Mapping

import pandas as pd
from markupsafe import Markup

from widedeep.evaluation.metrics import HIGHER, label_of, metric_of
from widedeep.report.charts import Axis, Line, Row, Series, dot_chart, line_chart
from widedeep.report.labels import axis_label, model_label, model_title
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


def known_figures(results: Results, table: pd.DataFrame) -> dict[str, Figure]:
    """Draw a chart per metric of reports/plots/by_known_ratings.csv: a row per number of earlier ratings, all models.

    The key of a chart says what its groups count: "ratings" for the RMSE, and "questions" for the NDCG. A metric that
    the trained model lacks has no chart.
    """
    figures = {}
    for metric, part in table.groupby("metric", sort=False):
        looks = {name: results.looks[name] for name in part["model"].unique()}
        if results.model not in looks:
            continue
        by_group = {
            group: {"group": group, "n": own["n"].iloc[0], "users": own["users"].iloc[0],
                    "models": estimates_by_model(own, "value")}
            for group, own in part.groupby("group", sort=False)
        }  # fmt: skip
        title = known_finding(part, results.model, str(metric))
        rows = [
            Row(str(group), count(row["n"]), [point(looks[name], one) for name, one in row["models"].items()])
            for group, row in by_group.items()
        ]
        counted = "ratings" if metric == "rmse" else "questions"
        svg = dot_chart(rows, Axis(axis_label(str(metric))), counted, f"By earlier ratings of the user: {title}")
        what = f"{label_of(str(metric))} by earlier ratings of the user"
        figures[counted] = Figure(title, Markup(svg), what, list(by_group.values()), list(looks.values()))
    return figures


def known_finding(part: pd.DataFrame, model: str, metric: str) -> str:
    """Count the groups in which the model is better than every other model. Intervals play no part."""
    known = metric_of(metric)
    higher = known is not None and known.direction == HIGHER
    values = part.pivot(index="group", columns="model", values="value")
    own, others = values[model], values.drop(columns=model)
    if others.empty:
        return f"{label_of(metric)} from {number(own.min())} to {number(own.max())} in {len(own)} groups"
    best = int((own > others.max(axis=1)).sum() if higher else (own < others.min(axis=1)).sum())
    word = "highest" if higher else "lowest"
    return f"{model_title(model)} has the {word} {label_of(metric)} in {_share(best, len(own))} groups"


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
    return f"Lower RMSE than the {model_label(other)} baseline in {_share(lower, len(rmse))} {groups}"


def _share(some: int, of: int) -> str:
    return {0: f"none of {of}", of: f"all {of}"}.get(some, f"{some} of {of}")


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
