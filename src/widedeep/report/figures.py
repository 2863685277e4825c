"""The pictures of the report: each from one table of the evaluation, with its finding as title."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from widedeep.report import charts, findings
from widedeep.report.charts import Axis, Line, Point, Row, Series
from widedeep.report.findings import LABELS, METRIC_LABELS, count, number
from widedeep.scoring import COMPARED

TRAINED = ("#0072B2", "circle")  # whichever model it is
BESIDE = {
    "bias": ("#D55E00", "square"),
    "popularity": ("#009E73", "triangle"),
    "global_mean": ("#6B7280", "diamond"),
}
# Columns of the learning curves, by what they measure. Those of RMSE by knowledge are there in a temporal split, where
# `validation` is over both.
LEARNING = {
    "RMSE": {
        "train_rmse": Series("training", "#6B7280", "diamond"),
        "validation_rmse": Series("validation", "#0072B2", "circle"),
        "validation_frozen_rmse": Series("validation, frozen", "#CC79A7", "square"),
        "validation_online_rmse": Series("validation, online", "#E69F00", "triangle"),
    },
    "NDCG at 10": {"validation_ndcg_at_10": Series("validation", "#0072B2", "circle")},
    "ranking loss": {"train_ranking_loss": Series("training", "#6B7280", "diamond")},
}
RMSE = "RMSE (rating points)"
UNITS = {"RMSE": RMSE, "ranking loss": "ranking loss (nats)"}


@dataclass(frozen=True)
class Figure:
    """A picture with its finding as title, what it shows, the numbers behind it and a legend of its own."""

    title: str
    svg: Markup
    name: str = ""
    table: Sequence[Mapping[str, Any]] = ()
    looks: Sequence[Series] = ()


def looks(model: str) -> dict[str, Series]:
    """How the trained model looks, and the baselines that it is judged beside."""
    others = {name: Series(LABELS[name], *BESIDE[name]) for name in COMPARED if name != model}
    return {model: Series(LABELS[model], *TRAINED)} | others


def reference(model: str) -> str:
    """The baseline beside the model where there is room for one: the bias, unless that is the model."""
    return next(name for name in COMPARED if name != model)


def by_model(model: str, metrics: Mapping[str, Any], task: str, knowledge: str) -> dict[str, Mapping[str, Any]]:
    """Estimates of the model, then of the baselines that have this task."""
    tasks = {model: metrics} | metrics["baselines"]
    return {name: of_model[task][knowledge] for name, of_model in tasks.items() if task in of_model}


def headline_charts(model: str, metrics: Mapping[str, Any]) -> list[Figure]:
    """RMSE of every model, a chart per knowledge, on one scale."""
    look = looks(model)
    by_knowledge = {knowledge: by_model(model, metrics, "rating", knowledge) for knowledge in metrics["rating"]}
    every = [estimates["rmse"] for of_model in by_knowledge.values() for estimates in of_model.values()]
    span = [min(estimate["low"] for estimate in every), max(estimate["high"] for estimate in every)]
    figures = []
    for knowledge, of_model in by_knowledge.items():
        rows = [
            Row(look[name].label, number(e["rmse"]["value"]), [_point(look[name], e["rmse"])])
            for name, e in of_model.items()
        ]
        alt = f"RMSE {knowledge} with 95 % intervals: " + ", ".join(f"{row.label} {row.remark}" for row in rows)
        title = findings.knowledge_finding(model, metrics, knowledge)
        figures.append(Figure(title, Markup(charts.dot_chart(rows, Axis(RMSE), "RMSE", alt, span)), knowledge))
    return figures


def learning(curves: pd.DataFrame, kept: int) -> list[Figure]:
    """A picture of each measure in the learning curves, of which the epoch `kept` has the weights that were kept; none
    for a model that is not trained in epochs."""
    curves = curves.set_index("epoch")
    curves = curves.where(np.isfinite(curves)).dropna(axis="columns", how="all")
    if not any(str(column).startswith("train") for column in curves):
        return []
    figures = []
    for measure, columns in LEARNING.items():
        shown = {column: look for column, look in columns.items() if column in curves}
        if "validation_online_rmse" not in shown:  # then this is the validation itself
            shown.pop("validation_frozen_rmse", None)
        if not shown:
            continue
        title = findings.learning_finding(measure, curves[list(shown)], kept)
        lines = []
        for column, look in shown.items():
            values = curves[column].dropna()
            lines.append(Line(values.index.tolist(), [Point(look, value, value, value) for value in values]))
        ticks = _thinned([(epoch, str(epoch)) for epoch in curves.index], 10)
        axes = Axis("epoch", ticks), Axis(UNITS.get(measure, measure))
        svg = charts.line_chart(lines, *axes, title, (kept, f"epoch {kept} is kept"))
        figures.append(Figure(title, Markup(svg), measure, looks=list(shown.values())))
    return figures


def calibration(model: str, table: pd.DataFrame) -> Figure:
    look = looks(model)[model]
    points = [Point(look, value, value, value) for value in table["mean_rating"]]
    title = findings.calibration_finding(table)
    line = Line(table["mean_predicted"].tolist(), points)
    svg = charts.line_chart(
        [line], Axis("mean predicted rating (points)"), Axis("mean rating (points)"), title, diagonal=True
    )
    return Figure(title, Markup(svg), looks=[look])


def slices(model: str, curves: Mapping[str, pd.DataFrame]) -> list[Figure]:
    """Only those that have rows."""
    other = reference(model)
    compared = {name: looks(model)[name] for name in (model, other)}
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
        title = findings.slice_finding(table, model, other, groups)
        draw = _month_chart if name == "month" else _slice_chart
        rows = [
            {"group": group, "n": part["n"].iloc[0], "users": part["users"].iloc[0], "models": _indexed(part)}
            for group, part in table.groupby("group", sort=False)
        ]
        shown.append(Figure(title, Markup(draw(table, compared, f"{heading}: {title}")), heading, rows))
    return shown


def by_k(model: str, table: pd.DataFrame) -> list[Figure]:
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
            Line(range(len(ticks)), [_point(looks(model)[name], row) for row in _records(part, "value")])
            for name, part in own.groupby("model", sort=False)
        ]
        svg = charts.line_chart(lines, Axis("k, places in the list", ticks), Axis(METRIC_LABELS[metric]), title)
        figures.append(Figure(title, Markup(svg)))
    return figures


def by_k_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A row per metric and k, with the estimate of each model."""
    return [
        {"metric": METRIC_LABELS[metric], "k": k, "models": list(_records(part, "value"))}
        for (metric, k), part in table.groupby(["metric", "k"], sort=False)
    ]


def _slice_chart(table: pd.DataFrame, compared: Mapping[str, Series], alt: str) -> str:
    rows = []
    for group, part in table.groupby("group", sort=False):
        of_model = _indexed(part)
        points = [_point(look, of_model[name]) for name, look in compared.items()]
        rows.append(Row(str(group), count(part["n"].iloc[0]), points))
    return charts.dot_chart(rows, Axis(RMSE), "ratings", alt)


def _month_chart(table: pd.DataFrame, compared: Mapping[str, Series], alt: str) -> str:
    """Months keep their distance: one without ratings is a gap in the positions, not in the line."""
    months = table["group"].unique().tolist()
    position = {month: 12 * int(month[:-3]) + int(month[-2:]) for month in months}
    lines = []
    for name, look in compared.items():
        own = table[table["model"] == name]
        x = [position[month] for month in own["group"]]
        lines.append(Line(x, [_point(look, row) for row in _records(own, "rmse")]))
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
