"""The part of the report on lists: the finding, the table of metrics, and charts by the length of the list."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.columns import FROZEN, ONLINE
from widedeep.evaluation.metrics import HIGHER, METRICS, RANKING_TASK, of_task
from widedeep.report.about import About
from widedeep.report.charts import Axis, Line, line_chart
from widedeep.report.labels import model_label, model_title, with_unit
from widedeep.report.results import Figure, Results, estimates, overlap, point
from widedeep.report.text import PERCENT, number

DRAWN = ("ndcg", "recall", "precision", "hit_rate")  # the other metrics are in the table only
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
