"""The part of the report on lists: the finding, the table of metrics, and charts by the length of the list."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.columns import FROZEN, ONLINE, PENALTY
from widedeep.evaluation.metrics import HIGHER, METRICS, RANKING_TASK, of_task
from widedeep.evaluation.results import LIKED
from widedeep.report.about import About
from widedeep.report.charts import Axis, Line, Point, Series, line_chart
from widedeep.report.charts.canvas import GREY, SQUARE
from widedeep.report.labels import model_label, model_title, with_unit
from widedeep.report.results import Figure, Results, estimates, overlap, point
from widedeep.report.text import PERCENT, number, percent

DRAWN = ("ndcg", "recall", "precision", "hit_rate")  # the other metrics are in the table only
CHOSEN = Series("what users liked", GREY, SQUARE)
LISTS = {FROZEN: "top-{} lists", ONLINE: "online lists of {} for the next item"}


def ranking_finding(results: Results, knowledge: str, k: int) -> str:
    """Compare the model's lists with those of the best baseline. The intervals are not paired."""
    name = f"ndcg_at_{k}"
    by_model = {model: found[name] for model, found in results.by_model("ranking", knowledge).items() if name in found}
    own = by_model.pop(results.model, None)
    if own is None:
        why = results.missing.get(f"ranking.{knowledge}.{name}", "no test user has a relevant test item")
        return f"The accuracy of its {LISTS[knowledge].format(k)} is not defined: {why}."
    start = f"Its {LISTS[knowledge].format(k)} reach an NDCG of {number(own['value'])}"
    if not by_model:
        return f"{start}."
    best = max(by_model, key=lambda model: by_model[model]["value"])
    other, label = by_model[best], model_label(best)
    overlapping = overlap(own, other)
    if overlapping is None:
        return f"{start}, {label} {number(other['value'])}. There are no intervals to compare them with."
    if overlapping:
        return f"{start}, {label} {number(other['value'])}: the 95{PERCENT} intervals overlap."
    word = "above" if own["value"] > other["value"] else "below"
    return f"{start}, {word} the {number(other['value'])} of {label} (the 95{PERCENT} intervals do not overlap)."


def sorting_note(about: About, in_epochs: bool) -> str:
    """Say by which score a model with two heads sorts its lists. The note is empty for other models."""
    if about.objective != "joint" or not in_epochs:
        return ""
    rating = f" plus {about.rating_weight:g} times the predicted rating" if about.rating_weight else ""
    return f"{model_title(about.model)} sorts by its ranking head{rating}."


def ranking_tables(results: Results, k: int) -> list[dict[str, Any]]:
    """Make a table for each knowledge under which the model has lists: its rows, and whose lists they judge.

    lists : number of lists of each model
    judged : number of them that have a relevant item to show
    """
    tables = []
    for knowledge in results.listed:
        by_model = results.by_model("ranking", knowledge)
        own = by_model[results.model]
        tables.append(
            {
                "knowledge": knowledge,
                "looks": [results.looks[name] for name in by_model],
                "rows": ranking_rows(by_model, k),
                "lists": own[f"coverage_at_{k}"]["n"],
                "judged": own.get(f"ndcg_at_{k}", {"n": 0})["n"],
            }
        )
    return tables


def ranking_rows(by_model: Mapping[str, Mapping[str, Any]], k: int) -> list[dict[str, Any]]:
    """Make a row per metric at k. A cell is the estimate of a model, and whether it is the best.

    No model is best in a metric without a good direction.
    """
    rows = []
    for metric in of_task(RANKING_TASK):
        cells = [found.get(f"{metric.name}_at_{k}") for found in by_model.values()]
        if not any(cells):
            continue
        highest = max(cell["value"] for cell in cells if cell)
        judged = metric.direction == HIGHER and highest > 0
        marked = [(cell, judged and cell is not None and cell["value"] == highest) for cell in cells]
        rows.append({"label": with_unit(metric.label, metric.unit), "cells": marked})
    return rows


def by_k_figures(results: Results, table: pd.DataFrame) -> list[Figure]:
    """Draw a chart per metric of `DRAWN`, from reports/plots/ranking_by_k.csv."""
    if table.empty:
        return []
    figures = []
    for metric in DRAWN:
        own = table[table["metric"] == metric]
        title = by_k_finding(table, metric)
        # Cut-offs are often 1, 5, 10, 20, 50. Equal steps between them leave room for every label.
        ticks = [(place, str(k)) for place, k in enumerate(own["k"].unique())]
        lines = [
            Line(range(len(ticks)), [point(results.looks[str(model)], row) for row in estimates(part, "value")])
            for model, part in own.groupby("model", sort=False)
        ]
        svg = line_chart(lines, Axis("k, places in the list", ticks), Axis(METRICS[metric].label), title)
        figures.append(Figure(title, Markup(svg)))
    return figures


def by_k_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Make a row per metric and k, with the estimate of each model."""
    return [
        {"metric": METRICS[metric].label, "k": k, "models": list(estimates(part, "value"))}
        for (metric, k), part in table.groupby(["metric", "k"], sort=False)
    ]


def by_k_finding(table: pd.DataFrame, metric: str) -> str:
    """Name the model that is best at every k, if there is one."""
    label = METRICS[metric].label
    values = table[table["metric"] == metric].pivot(index="k", columns="model", values="value")
    if values.empty:
        return label
    best = values.idxmax(axis=1)
    if (values.nunique(axis=1) > 1).all() and best.nunique() == 1:
        return f"{label}: {model_label(best.iloc[0])} is best at every k"
    return f"{label}: which model is best depends on k"


def penalty_figures(results: Results, table: pd.DataFrame, k: int) -> list[Figure]:
    """Draw what a popularity penalty costs and gives, from reports/plots/by_popularity_penalty.csv.

    The first chart has the NDCG over the coverage, with a point per penalty, beside the baselines. The second has the
    novelty of the lists beside that of what users liked. A metric that the model lacks has no chart.
    """
    own = table[table["model"] == results.model]
    figures = []
    if "ndcg" in set(own["metric"]):
        looks = results.looks
        value = own.pivot(index=PENALTY, columns="metric", values="value")
        points = [_dot(looks[results.model], ndcg) for ndcg in value["ndcg"]]
        lines = [Line(value["coverage"].tolist(), points, [f"{penalty:g}" for penalty in value.index])]
        for name, found in results.by_model("ranking", FROZEN).items():
            if name != results.model and f"ndcg_at_{k}" in found:
                ndcg, coverage = (found[f"{metric}_at_{k}"]["value"] for metric in ("ndcg", "coverage"))
                lines.append(Line([coverage], [_dot(looks[name], ndcg)]))
        title = penalty_finding(value)
        svg = line_chart(lines, Axis("Coverage, share of the catalogue"), Axis(f"NDCG at {k}"), title)
        figures.append(Figure(title, Markup(svg), looks=[line.points[0].series for line in lines]))
    novelty = table[table["metric"] == "novelty"]
    if len(novelty):
        looks = {results.model: results.looks[results.model], LIKED: CHOSEN}
        by_model = {str(model): part for model, part in novelty.groupby("model", sort=False)}
        ticks = [(float(at), f"{at:g}") for at in novelty[PENALTY].unique()]
        lines = [
            Line(part[PENALTY].tolist(), [point(looks[model], row) for row in estimates(part, "value")])
            for model, part in by_model.items()
        ]
        title = novelty_finding(by_model[results.model], by_model.get(LIKED))
        svg = line_chart(lines, Axis("popularity penalty", ticks), Axis("Novelty (bits)"), title)
        figures.append(Figure(title, Markup(svg), looks=[looks[model] for model in by_model]))
    return figures


def penalty_rows(results: Results, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Make a row per popularity penalty: the estimates of the model by the label of the metric."""
    own = table[table["model"] == results.model]
    labels = own["metric"].map({name: with_unit(metric.label, metric.unit) for name, metric in METRICS.items()})
    return [
        {"penalty": penalty, "cells": dict(zip(labels[part.index], estimates(part, "value"), strict=True))}
        for penalty, part in own.groupby(PENALTY)
    ]


def penalty_finding(value: pd.DataFrame) -> str:
    """Compare coverage and NDCG with the smallest and with the largest penalty: a row per penalty."""
    first, last = value.iloc[0], value.iloc[-1]
    coverage = f"coverage {percent(last['coverage'], 2)} in place of {percent(first['coverage'], 2)}"
    ndcg = f"NDCG {number(last['ndcg'])} in place of {number(first['ndcg'])}"
    return f"With a penalty of {value.index[-1]:g}: {coverage}, {ndcg}"


def novelty_finding(own: pd.DataFrame, liked: pd.DataFrame | None) -> str:
    """Compare the popularity of what is listed without a penalty with that of what users liked."""
    listed = f"The lists have a novelty of {number(own['value'].iloc[0], 1)} bits without a penalty"
    return listed if liked is None else f"{listed}, what users liked {number(liked['value'].iloc[0], 1)}"


def _dot(series: Series, value: float) -> Point:
    return Point(series, value, value, value)
