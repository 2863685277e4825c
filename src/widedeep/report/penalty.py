"""The part of the report on the popularity penalty: what it costs, and how much more of the catalogue is listed."""

from typing import Any

import pandas as pd
from markupsafe import Markup

from widedeep.columns import PENALTY
from widedeep.evaluation.metrics import unit_of
from widedeep.evaluation.results import LIKED
from widedeep.report.charts import Axis, Line, Point, Series, line_chart
from widedeep.report.charts.canvas import GREY, SQUARE
from widedeep.report.labels import metric_label, with_unit
from widedeep.report.results import Figure, Results, estimates, point
from widedeep.report.text import number, percent

CHOSEN = Series("what users liked", GREY, SQUARE)


def penalty_figures(results: Results, table: pd.DataFrame, k: int) -> list[Figure]:
    """Draw what a popularity penalty costs and gives, from reports/plots/by_popularity_penalty.csv.

    For each knowledge there are two charts. The first has the NDCG over the coverage, with a point per penalty, beside
    the baselines. The second has the novelty of the lists beside that of what users liked. Without relevant test items
    there is no first chart.
    """
    figures = []
    own = table[table["model"] == results.model].pivot(index=PENALTY, columns="metric", values="value")
    for knowledge in results.listed:
        ndcg, coverage, novelty = (f"{knowledge}_{metric}_at_{k}" for metric in ("ndcg", "coverage", "novelty"))
        if {ndcg, coverage} <= set(own):
            lines = _trade(results, knowledge, k, own[coverage], own[ndcg])
            title = penalty_finding(own[coverage], own[ndcg])
            svg = line_chart(lines, Axis("Coverage (% of the catalogue)"), Axis(f"NDCG at {k}"), title)
            looks = [line.points[0].series for line in lines]
            figures.append(Figure(title, Markup(svg), f"{knowledge.capitalize()} lists", looks=looks))
        if novelty in own:
            by_model = dict(list(table[table["metric"] == novelty].groupby("model", sort=False)))
            looks = [CHOSEN if model == LIKED else results.looks[model] for model in by_model]
            lines = [
                Line(part[PENALTY].tolist(), [point(look, row) for row in estimates(part, "value")])
                for look, part in zip(looks, by_model.values(), strict=True)
            ]
            title = novelty_finding(own[novelty], by_model.get(LIKED))
            ticks = [(float(penalty), f"{penalty:g}") for penalty in own.index]
            svg = line_chart(lines, Axis("popularity penalty", ticks), Axis("Novelty (bits)"), title)
            figures.append(Figure(title, Markup(svg), f"{knowledge.capitalize()} lists", looks=looks))
    return figures


def penalty_rows(results: Results, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Make a row per metric: the estimates of the model by popularity penalty."""
    own = table[table["model"] == results.model]
    rows = []
    for metric, part in own.groupby("metric", sort=False):
        name = f"ranking.{str(metric).replace('_', '.', 1)}"
        label = with_unit(metric_label(name), unit_of(name))
        rows.append({"metric": label, "cells": dict(zip(part[PENALTY], estimates(part, "value"), strict=True))})
    return rows


def penalty_finding(coverage: pd.Series, ndcg: pd.Series) -> str:
    """Compare coverage and NDCG, by penalty, with the smallest and with the largest penalty."""
    covered = f"coverage {percent(coverage.iloc[-1], 2)} in place of {percent(coverage.iloc[0], 2)}"
    return (
        f"With a penalty of {ndcg.index[-1]:g}: {covered}, "
        f"NDCG {number(ndcg.iloc[-1])} in place of {number(ndcg.iloc[0])}"
    )


def novelty_finding(novelty: pd.Series, liked: pd.DataFrame | None) -> str:
    """Compare the popularity of what is listed without a penalty with that of what users liked."""
    listed = f"Without a penalty, lists have a novelty of {number(novelty.iloc[0], 1)} bits"
    return listed if liked is None else f"{listed}, and what users liked has {number(liked['value'].iloc[0], 1)}"


def _trade(results: Results, knowledge: str, k: int, coverage: pd.Series, ndcg: pd.Series) -> list[Line]:
    """Make a curve of the NDCG over the coverage, with a point per penalty, and a point per baseline."""
    by_model = results.by_model("ranking", knowledge)
    points = {results.model: (coverage.tolist(), ndcg.tolist())}
    for name, found in by_model.items():
        if name != results.model and f"ndcg_at_{k}" in found:
            points[name] = [found[f"coverage_at_{k}"]["value"]], [found[f"ndcg_at_{k}"]["value"]]
    lines = []
    for name, (shares, values) in points.items():
        labels = [f"{penalty:g}" for penalty in ndcg.index] if name == results.model else []
        dots = [Point(results.looks[name], value, value, value) for value in values]
        lines.append(Line([100 * share for share in shares], dots, labels))
    return lines
