"""The report: one static HTML page that opens off line, the same bytes for the same numbers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from widedeep.columns import SPLITS
from widedeep.evaluation.evaluate import Evaluation, list_length, relevant_from
from widedeep.features.store import FROZEN, ONLINE, Features
from widedeep.models.model import Model
from widedeep.models.registry import Architecture
from widedeep.params import EvaluateParams
from widedeep.report import charts, figures, findings
from widedeep.report.examples import examples
from widedeep.report.figures import by_model
from widedeep.report.findings import METRIC_LABELS
from widedeep.report.page import render_page

KNOWLEDGE = {
    ONLINE: "Each rating is predicted with all that happened before it, earlier test ratings included, while the "
    "weights stay as trained: a model behind a live feature store.",
    FROZEN: "Only the training ratings are known, nothing later: a model deployed once.",
}


@dataclass(frozen=True)
class Sources:
    """What the report shows beside the evaluation: the canonical items, the kind of split, the learning curves
    (a row per epoch), the epoch whose weights were kept, and the counts of reports/data.json."""

    items: pd.DataFrame
    split: str
    curves: pd.DataFrame
    kept: int
    data: Mapping[str, Any]


def render_report(
    evaluation: Evaluation,
    features: Features,
    model: Model,
    about: Architecture,
    params: EvaluateParams,
    sources: Sources,
) -> str:
    """The whole page as text. `about`: what the model was built from."""
    k = list_length(params.ks)
    name, metrics, curves = evaluation.model, evaluation.metrics, evaluation.curves
    looks = figures.looks(name)
    return render_page(
        "report.html.j2",
        title=findings.title(name),
        dataset=features.spec.dataset,
        scale=features.spec.rating_scale,
        split=sources.split,
        relevant=relevant_from(features, params),
        finding=[findings.rating_finding(name, metrics, knowledge) for knowledge in metrics["rating"]],
        ranking_finding=findings.ranking_finding(metrics, k),
        rating_note=findings.rating_note(about),
        sorting_note=findings.sorting_note(about),
        knowledge={knowledge: text for knowledge, text in KNOWLEDGE.items() if knowledge in metrics["rating"]},
        headline=_error_table(name, metrics),
        headline_charts=figures.headline_charts(name, metrics),
        learning=figures.learning(sources.curves, sources.kept),
        validated=bool(sources.curves.filter(like="validation").notna().any(axis=None)),
        fitted_finding=findings.fitted_finding(name, sources.curves),
        positive=about.positive_rating,
        calibration=figures.calibration(name, curves["calibration"]),
        slices=figures.slices(name, curves),
        slice_knowledge=next(iter(metrics["rating"])),
        n_users=len(evaluation.recommended.users),
        n_judged=next((e["n"] for metric, e in metrics["ranking"][FROZEN].items() if metric.startswith("ndcg_at_")), 0),
        k=k,
        ranking=_ranking(name, metrics, k),
        by_k=figures.by_k(name, curves["ranking_by_k"]),
        by_k_rows=figures.by_k_rows(curves["ranking_by_k"]),
        examples=examples(features, model, evaluation.recommended, sources.items, params),
        data=sources.data,
        periods=_periods(features),
        looks=looks,
        compared=[looks[name], looks[figures.reference(name)]],
        ranked=[looks[ranked] for ranked in by_model(name, metrics, "ranking", FROZEN)],
        few=charts.FEW,
    )


def _error_table(model: str, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row per model: its cells (knowledge, metric, estimate, best?)."""
    columns = []
    for knowledge in metrics["rating"]:
        of_model = by_model(model, metrics, "rating", knowledge)
        for metric in ("rmse", "mae"):
            lowest = min(estimates[metric]["value"] for estimates in of_model.values())
            columns.append({name: (e[metric], e[metric]["value"] == lowest) for name, e in of_model.items()})
    return [
        {"look": look, "cells": [column[name] for column in columns]} for name, look in figures.looks(model).items()
    ]


def _ranking(model: str, metrics: Mapping[str, Any], k: int) -> list[dict[str, Any]]:
    """A row per metric at k: the estimate of each model that ranks, and whether it is the highest. Novelty, diversity
    and coverage are no better for being higher, so none of theirs is marked."""
    of_model = by_model(model, metrics, "ranking", FROZEN)
    rows = []
    for metric, label in METRIC_LABELS.items():
        cells = [estimates.get(f"{metric}_at_{k}") for estimates in of_model.values()]
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
