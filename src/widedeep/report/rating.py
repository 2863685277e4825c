"""The part of the report on predicted ratings: the finding, the table of errors, and charts."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.evaluation.metrics import RATING_TASK, of_task
from widedeep.report.about import About
from widedeep.report.charts import Axis, Line, Point, Row, dot_chart, line_chart
from widedeep.report.labels import model_label, model_title, with_unit
from widedeep.report.results import RMSE, Estimate, Figure, Results, point
from widedeep.report.text import PERCENT, number, percent


def rating_finding(results: Results, knowledge: str) -> str:
    """Compare the model's RMSE with that of the best baseline under the same knowledge."""
    estimate = results.metrics["rating"][knowledge]["rmse"]
    own = number(estimate["value"])
    first = knowledge == results.knowledges[0]
    start = (
        f"{model_title(results.model)} predicts unseen ratings with RMSE {own} {knowledge}"
        if first
        else f"Its {knowledge} RMSE is {own}"
    )
    if not results.rated:
        if not _has_interval(estimate):
            return f"{start}. There are too few test users for an interval."
        return f"{start} (95{PERCENT} interval {number(estimate['low'])} to {number(estimate['high'])})."
    best, rmse, difference = _against_best(results, knowledge)
    if not _has_interval(difference):
        return f"{start}, the {model_label(best)} baseline {number(rmse)}. There are too few test users for a verdict."
    bounds = f"95{PERCENT} interval of the difference {number(difference['low'])} to {number(difference['high'])}"
    other = f"the {model_label(best)} baseline"
    if difference["low"] <= 0 <= difference["high"]:
        return f"{start}: no evidence of a difference from {other} ({number(rmse)}; {bounds})."
    word = "below" if difference["high"] < 0 else "above"
    share = f"{percent(abs(difference['value']) / rmse)} {word}" if rmse > 0 else word
    return f"{start}, {share} {other} ({bounds})."


def rating_findings(results: Results) -> list[str]:
    """Compare the model's RMSE under each knowledge, or say why there is none."""
    if results.no_ratings:
        return [f"{model_title(results.model)} is judged by its lists only: {results.no_ratings}."]
    return [rating_finding(results, knowledge) for knowledge in results.knowledges]


def headline_finding(results: Results, knowledge: str) -> str:
    """State the same in few words, as the title of a chart."""
    if not results.rated:
        return f"{knowledge.capitalize()}, the RMSE is {number(results.metrics['rating'][knowledge]['rmse']['value'])}"
    best, _, difference = _against_best(results, knowledge)
    model, other = model_label(results.model), model_label(best)
    if difference["low"] <= 0 <= difference["high"] or not _has_interval(difference):
        return f"{knowledge.capitalize()}, {model} and {other} cannot be told apart"
    lower, higher = (model, other) if difference["high"] < 0 else (other, model)
    return f"{knowledge.capitalize()}, {lower} has a lower RMSE than {higher}"


def _has_interval(estimate: Estimate) -> bool:
    return estimate["low"] != estimate["high"]


def _against_best(results: Results, knowledge: str) -> tuple[str, float, Estimate]:
    """Find the baseline with the lowest RMSE. Return its name, its RMSE, and the model's RMSE minus that."""
    rmse = {name: results.baselines[name]["rating"][knowledge]["rmse"]["value"] for name in results.rated}
    best = min(rmse, key=lambda name: rmse[name])
    return best, rmse[best], results.metrics["rating"][knowledge][f"rmse_minus_{best}"]


def rating_note(about: About, in_epochs: bool) -> str:
    """Say how a model predicts ratings if it learns only an order. The note is empty for other models.

    in_epochs : whether the model is trained in epochs. Only such a model has an objective.
    """
    if about.model == "ease" or (about.objective == "ranking" and in_epochs):
        return (
            f"{model_title(about.model)} learns an order, not ratings. Its predicted rating is a linear function of "
            "its score, fitted to the training ratings by least squares."
        )
    return ""


def error_table(results: Results) -> list[dict[str, Any]]:
    """Make a row per model. A cell is an estimate, and whether it is the lowest of all models."""
    columns = []
    for knowledge in results.knowledges:
        by_model = results.by_model("rating", knowledge)
        for metric in ("rmse", "mae"):
            lowest = min(estimates[metric]["value"] for estimates in by_model.values())
            columns.append({name: (e[metric], e[metric]["value"] == lowest) for name, e in by_model.items()})
    rated = (results.model, *results.rated)
    return [{"look": results.looks[name], "cells": [column[name] for column in columns]} for name in rated]


def rating_rows(results: Results) -> list[dict[str, Any]]:
    """Make a row per rating metric and knowledge, with the estimate of each model."""
    rows = []
    for metric in of_task(RATING_TASK):
        for knowledge in results.knowledges:
            cells = [found.get(metric.name) for found in results.by_model("rating", knowledge).values()]
            if any(cells):
                rows.append({"metric": with_unit(metric.label, metric.unit), "knowledge": knowledge, "models": cells})
    return rows


def headline_figures(results: Results) -> list[Figure]:
    """Draw the RMSE of every model, with a chart per knowledge. All charts have the same scale."""
    if results.no_ratings:
        return []
    by_knowledge = {knowledge: results.by_model("rating", knowledge) for knowledge in results.knowledges}
    every = [estimates["rmse"] for by_model in by_knowledge.values() for estimates in by_model.values()]
    span = [min(estimate["low"] for estimate in every), max(estimate["high"] for estimate in every)]
    figures = []
    for knowledge, by_model in by_knowledge.items():
        looks = results.looks
        rows = [
            Row(looks[name].label, number(e["rmse"]["value"]), [point(looks[name], e["rmse"])])
            for name, e in by_model.items()
        ]
        alt = f"RMSE {knowledge} with 95 % intervals: " + ", ".join(f"{row.label} {row.remark}" for row in rows)
        svg = Markup(dot_chart(rows, Axis(RMSE), "RMSE", alt, span))
        figures.append(Figure(headline_finding(results, knowledge), svg, f"RMSE, {knowledge}"))
    return figures


def calibration_figure(results: Results, table: pd.DataFrame) -> Figure:
    """Draw the mean rating against the mean prediction, from reports/plots/calibration.csv."""
    look = results.looks[results.model]
    points = [Point(look, value, value, value) for value in table["mean_rating"]]
    title = calibration_finding(table)
    line = Line(table["mean_predicted"].tolist(), points)
    axes = Axis("mean predicted rating (points)"), Axis("mean rating (points)")
    svg = Markup(line_chart([line], *axes, title, diagonal=True))
    return Figure(title, svg, f"Calibration, {results.knowledges[0]}", looks=[look])


def calibration_finding(table: pd.DataFrame) -> str:
    """State the largest gap between mean rating and mean prediction."""
    gap = (table["mean_predicted"] - table["mean_rating"]).abs().max()
    bins = "the one bin" if len(table) == 1 else f"all {len(table)} bins"
    return f"Mean ratings lie within {number(gap, 2)} points of the prediction in {bins}"
