"""The pictures of the report: each from one table of the evaluation, with its finding as title."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.evaluation import charts, findings
from widedeep.evaluation.charts import Axis, Line, Point, Row, Series
from widedeep.evaluation.evaluate import MODEL
from widedeep.evaluation.findings import LABELS, METRIC_LABELS, count, number

LOOKS = {
    MODEL: Series(LABELS[MODEL], "#0072B2", "circle"),
    "bias": Series(LABELS["bias"], "#D55E00", "square"),
    "popularity": Series(LABELS["popularity"], "#009E73", "triangle"),
    "global_mean": Series(LABELS["global_mean"], "#6B7280", "diamond"),
}
# Columns of the learning curves. The two by knowledge are there in a temporal split, where `validation` is over both.
LEARNING = {
    "train_rmse": Series("training", "#6B7280", "diamond"),
    "validation_rmse": Series("validation", "#0072B2", "circle"),
    "validation_frozen_rmse": Series("validation, frozen", "#CC79A7", "square"),
    "validation_online_rmse": Series("validation, online", "#E69F00", "triangle"),
}
COMPARED = (MODEL, "bias")  # in the slices
RANKED = (MODEL, "bias", "popularity")
RMSE = "RMSE (rating points)"


@dataclass(frozen=True)
class Figure:
    """A picture with its finding as title, what it shows, and the numbers behind it."""

    title: str
    svg: Markup
    name: str = ""
    table: Sequence[Mapping[str, Any]] = ()


def by_model(metrics: Mapping[str, Any], task: str, knowledge: str) -> dict[str, Mapping[str, Any]]:
    """Estimates of the model and of the baselines that have this task, in the order of `LOOKS`."""
    tasks = {MODEL: metrics} | metrics["baselines"]
    return {name: tasks[name][task][knowledge] for name in LOOKS if task in tasks.get(name, {})}


def headline_charts(metrics: Mapping[str, Any]) -> list[Figure]:
    """RMSE of every model, a chart per knowledge, on one scale."""
    by_knowledge = {knowledge: by_model(metrics, "rating", knowledge) for knowledge in metrics["rating"]}
    every = [estimates["rmse"] for of_model in by_knowledge.values() for estimates in of_model.values()]
    span = [min(estimate["low"] for estimate in every), max(estimate["high"] for estimate in every)]
    figures = []
    for knowledge, of_model in by_knowledge.items():
        rows = [
            Row(LOOKS[name].label, number(e["rmse"]["value"]), [_point(LOOKS[name], e["rmse"])])
            for name, e in of_model.items()
        ]
        alt = f"RMSE {knowledge} with 95 % intervals: " + ", ".join(f"{row.label} {row.remark}" for row in rows)
        title = findings.knowledge_finding(metrics, knowledge)
        figures.append(Figure(title, Markup(charts.dot_chart(rows, Axis(RMSE), "RMSE", alt, span)), knowledge))
    return figures


def learning(curves: pd.DataFrame) -> Figure:
    measured = "validation_rmse" in curves
    best = int(curves["epoch"][curves["validation_rmse"].argmin()] if measured else curves["epoch"].iloc[-1])
    lines = [
        Line(curves["epoch"].tolist(), [Point(look, value, value, value) for value in curves[column]])
        for column, look in learning_looks(curves).items()
    ]
    title = findings.learning_finding(curves, best)
    ticks = _thinned([(epoch, str(epoch)) for epoch in curves["epoch"]], 10)
    svg = charts.line_chart(lines, Axis("epoch", ticks), Axis(RMSE), title, (best, f"epoch {best} is kept"))
    return Figure(title, Markup(svg))


def learning_looks(curves: pd.DataFrame) -> dict[str, Series]:
    """How the columns of the learning curves look; those by knowledge only where there are both."""
    shown = [column for column in LEARNING if column in curves]
    if "validation_online_rmse" not in shown:
        shown = [column for column in shown if column != "validation_frozen_rmse"]
    return {column: LEARNING[column] for column in shown}


def calibration(table: pd.DataFrame) -> Figure:
    points = [Point(LOOKS[MODEL], value, value, value) for value in table["mean_rating"]]
    title = findings.calibration_finding(table)
    line = Line(table["mean_predicted"].tolist(), points)
    svg = charts.line_chart(
        [line], Axis("mean predicted rating (points)"), Axis("mean rating (points)"), title, diagonal=True
    )
    return Figure(title, Markup(svg))


def slices(curves: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """Only those that have rows."""
    shown = []
    for name, heading, groups in (
        ("user_activity", "By training ratings of the user", "groups of users"),
        ("genre", "By genre", "genres"),
        ("item_popularity", "By training ratings of the item", "groups of items"),
        ("month", "By month of the rating", "months"),
    ):
        table = curves[f"rmse_by_{name}"]
        if table.empty:
            continue
        title = findings.slice_finding(table, groups)
        draw = _month_chart if name == "month" else _slice_chart
        rows = [
            {"group": group, "n": part["n"].iloc[0], "users": part["users"].iloc[0], "models": _indexed(part)}
            for group, part in table.groupby("group", sort=False)
        ]
        shown.append(Figure(title, Markup(draw(table, f"{heading}: {title}")), heading, rows))
    return shown


def by_k(table: pd.DataFrame) -> list[Figure]:
    """The four metrics that say most; all seven are in the table of `by_k_rows`."""
    if table.empty:
        return []
    figures = []
    for metric in ("ndcg", "recall", "precision", "hit_rate"):
        own = table[table["metric"] == metric]
        title = findings.by_k_finding(table, metric)
        # Cut-offs grow like 1, 5, 10, 20, 50: equal steps show all of them.
        ticks = [(place, str(k)) for place, k in enumerate(own["k"].unique())]
        lines = [
            Line(range(len(ticks)), [_point(LOOKS[name], row) for row in _records(own[own["model"] == name], "value")])
            for name in RANKED
        ]
        svg = charts.line_chart(lines, Axis("k, places in the list", ticks), Axis(METRIC_LABELS[metric]), title)
        figures.append(Figure(title, Markup(svg)))
    return figures


def by_k_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per metric and k, with the estimate of each model."""
    return [
        {"metric": METRIC_LABELS[metric], "k": k, "models": [_indexed(part, "value").get(name) for name in RANKED]}
        for (metric, k), part in table.groupby(["metric", "k"], sort=False)
    ]


def _slice_chart(table: pd.DataFrame, alt: str) -> str:
    rows = []
    for group, part in table.groupby("group", sort=False):
        of_model = _indexed(part)
        points = [_point(LOOKS[name], of_model[name]) for name in COMPARED]
        rows.append(Row(str(group), count(part["n"].iloc[0]), points))
    return charts.dot_chart(rows, Axis(RMSE), "ratings", alt)


def _month_chart(table: pd.DataFrame, alt: str) -> str:
    """Months keep their distance: one without ratings is a gap in the positions, not in the line."""
    months = table["group"].unique().tolist()
    position = {month: 12 * int(month[:-3]) + int(month[-2:]) for month in months}
    lines = []
    for name in COMPARED:
        own = table[table["model"] == name]
        x = [position[month] for month in own["group"]]
        lines.append(Line(x, [_point(LOOKS[name], row) for row in _records(own, "rmse")]))
    ticks = _thinned([(position[month], month) for month in months], 5)
    return charts.line_chart(lines, Axis("month (UTC)", ticks), Axis(RMSE), alt, whiskers=True)


def _indexed(part: pd.DataFrame, value: str = "rmse") -> dict[str, Mapping[str, Any]]:
    """Estimates by model."""
    return dict(zip(part["model"], _records(part, value), strict=True))


def _records(part: pd.DataFrame, value: str) -> Iterator[Mapping[str, Any]]:
    yield from part.rename(columns={value: "value"}).to_dict("records")


def _point(series: Series, estimate: Mapping[str, Any]) -> Point:
    hollow = estimate.get("users", charts.FEW) < charts.FEW
    return Point(series, estimate["value"], estimate["low"], estimate["high"], hollow)


def _thinned(ticks: Sequence[tuple[float, str]], most: int) -> list[tuple[float, str]]:
    """Every so manieth, the first among them, so that labels do not overlap."""
    return list(ticks[:: -(-len(ticks) // most)])
