"""The report: one static HTML page that opens off line, the same bytes for the same numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from widedeep.columns import SPLITS
from widedeep.evaluation import charts, figures, findings
from widedeep.evaluation.evaluate import FROZEN, ONLINE, Evaluation, list_length, relevant_from
from widedeep.evaluation.examples import examples
from widedeep.evaluation.figures import LOOKS, RANKED, by_model
from widedeep.evaluation.findings import METRIC_LABELS, count, number
from widedeep.features.store import Features
from widedeep.models.wide_deep import WideDeep
from widedeep.params import EvaluateParams

KNOWLEDGE = {
    ONLINE: "Each rating is predicted with all that happened before it, earlier test ratings included, while the "
    "weights stay as trained: a model behind a live feature store.",
    FROZEN: "Only the training ratings are known, nothing later: a model deployed once.",
}


@dataclass(frozen=True)
class Sources:
    """What the report shows beside the evaluation: the canonical items, the kind of split, the learning curves
    (a row per epoch) and the counts of reports/data.json."""

    items: pd.DataFrame
    split: str
    curves: pd.DataFrame
    data: Mapping[str, Any]


def render_report(
    evaluation: Evaluation, features: Features, model: WideDeep, params: EvaluateParams, sources: Sources
) -> str:
    """The whole page as text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("widedeep.evaluation", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"number": number, "count": count}
    k = list_length(params.ks)
    metrics = evaluation.metrics
    return environment.get_template("report.html.j2").render(
        dataset=features.spec.dataset,
        scale=features.spec.rating_scale,
        split=sources.split,
        relevant=relevant_from(features, params),
        finding=[findings.rating_finding(metrics, knowledge) for knowledge in metrics["rating"]],
        ranking_finding=findings.ranking_finding(metrics, k),
        knowledge={name: text for name, text in KNOWLEDGE.items() if name in metrics["rating"]},
        headline=_error_table(metrics),
        headline_charts=figures.headline_charts(metrics),
        learning=figures.learning(sources.curves),
        calibration=figures.calibration(evaluation.curves["calibration"]),
        slices=figures.slices(evaluation.curves),
        slice_knowledge=next(iter(metrics["rating"])),
        n_users=len(evaluation.recommended.users),
        n_judged=next((e["n"] for name, e in metrics["ranking"][FROZEN].items() if name.startswith("ndcg_at_")), 0),
        k=k,
        ranking=_ranking(metrics, k),
        by_k=figures.by_k(evaluation.curves["ranking_by_k"]),
        by_k_rows=figures.by_k_rows(evaluation.curves["ranking_by_k"]),
        examples=examples(features, model, evaluation.recommended, sources.items, params),
        data=sources.data,
        periods=_periods(features),
        looks=LOOKS,
        compared=[LOOKS[name] for name in figures.COMPARED],
        ranked=[LOOKS[name] for name in RANKED],
        learning_looks=figures.learning_looks(sources.curves),
        key=lambda series: Markup(charts.key(series)),
        few=charts.FEW,
    )


def _error_table(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per model: its cells (knowledge, metric, estimate, best?)."""
    columns = []
    for knowledge in metrics["rating"]:
        of_model = by_model(metrics, "rating", knowledge)
        for metric in ("rmse", "mae"):
            lowest = min(estimates[metric]["value"] for estimates in of_model.values())
            columns.append({name: (e[metric], e[metric]["value"] == lowest) for name, e in of_model.items()})
    return [{"look": look, "cells": [column[name] for column in columns]} for name, look in LOOKS.items()]


def _ranking(metrics: Mapping[str, Any], k: int) -> list[dict[str, Any]]:
    """A row per metric at k: the estimate of each of `RANKED`, and whether it is the highest. Novelty, diversity and
    coverage are no better for being higher, so none of theirs is marked."""
    of_model = by_model(metrics, "ranking", FROZEN)
    rows = []
    for metric, label in METRIC_LABELS.items():
        cells = [of_model[name].get(f"{metric}_at_{k}") for name in RANKED]
        if not any(cells):
            continue
        judged = metric not in ("novelty", "diversity", "coverage")
        highest = max(cell["value"] for cell in cells if cell)
        marked = [(cell, judged and cell is not None and 0 < highest == cell["value"]) for cell in cells]
        rows.append({"label": label, "cells": marked})
    return rows


def _periods(features: Features) -> dict[str, str]:
    """First and last day of each split, where there are timestamps."""
    periods = {}
    for split in SPLITS:
        times = features.splits[split].timestamp
        if len(times) and times.any():
            first, last = (str(np.datetime64(int(time), "s"))[:10] for time in (times.min(), times.max()))
            periods[split] = f"{first} to {last}"
    return periods


def headline(metrics: Mapping[str, Any], k: int) -> dict[str, float]:
    """Values for MLflow by flat names: `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `bias.rating.online.rmse`.
    Of the metrics at several cut-offs only those at `k`, of the baselines only the ratings."""
    flat: dict[str, float] = {}
    for prefix, tasks in {"": metrics, **{f"{name}.": tasks for name, tasks in metrics["baselines"].items()}}.items():
        for knowledge, estimates in tasks["rating"].items():
            flat |= {f"{prefix}rating.{knowledge}.{metric}": e["value"] for metric, e in estimates.items()}
    for metric, estimate in metrics["ranking"][FROZEN].items():
        if metric.endswith(f"_at_{k}"):
            flat[f"ranking.{FROZEN}.{metric}"] = estimate["value"]
    return flat
