"""The results of a judgement as a long table with a row per metric, as nested JSON, and by flat names."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from widedeep.columns import FROZEN, KNOWLEDGE, MODEL
from widedeep.evaluation.bootstrap import Estimate
from widedeep.evaluation.metrics import METRICS, RANKING_TASK, RATING_TASK, label_of, of_task
from widedeep.reading import made_by, read_mapping, refuse
from widedeep.sections import typed

DECIMALS = 6  # further digits differ between processors
TASK, METRIC, K = "task", "metric", "k"
LIKED = "liked"  # stands in place of a model: the relevant test items of each user
ESTIMATE = ("value", "low", "high", "n")
COLUMNS = (MODEL, KNOWLEDGE, TASK, METRIC, K, *ESTIMATE)


@dataclass(frozen=True)
class _Estimate:
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class _OfModel:
    rating: dict[str, dict[str, _Estimate]] = field(default_factory=dict)
    ranking: dict[str, dict[str, _Estimate]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Metrics:
    """The content of reports/metrics.json."""

    rating: dict[str, dict[str, _Estimate]]
    ranking: dict[str, dict[str, _Estimate]]
    baselines: dict[str, _OfModel]
    missing: dict[str, str] = field(default_factory=dict)


def row(model: str, knowledge: str, task: str, metric: str, k: int | None, estimate: Estimate) -> dict[str, Any]:
    """Make a row of the long table.

    `metric` is a name of the registry, or `rmse_minus_<model>`. `k` is None for a rating metric.
    """
    return {MODEL: model, KNOWLEDGE: knowledge, TASK: task, METRIC: metric, K: k} | estimate.as_dict()


def table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Make the long table [model, knowledge, task, metric, k, value, low, high, n] from the rows of `row`."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype({K: "Int64"})


def nested(results: pd.DataFrame, model: str, missing: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Nest the long table as in reports/metrics.json, with numbers rounded to 6 decimals.

    The keys are task, knowledge and metric of `model`. The other models have the same keys under `baselines.<model>`.
    If metrics are missing, `missing` says why (see `Evaluation`), and so does the key `missing`.
    """
    metrics: dict[str, Any] = {RATING_TASK: {}, RANKING_TASK: {}, "baselines": {}}
    if missing:
        metrics["missing"] = dict(missing)
    for (name, task, knowledge), part in results.groupby([MODEL, TASK, KNOWLEDGE], sort=False, observed=True):
        where = metrics if name == model else metrics["baselines"].setdefault(name, {})
        names = [metric if pd.isna(k) else f"{metric}_at_{k}" for metric, k in zip(part[METRIC], part[K], strict=True)]
        numbers = part[list(ESTIMATE)].to_dict("records")
        estimates = {
            metric: {key: round(number, DECIMALS) for key, number in estimate.items()}
            for metric, estimate in sorted(zip(names, numbers, strict=True), key=lambda pair: pair[0])
        }
        where.setdefault(task, {})[knowledge] = estimates
    return metrics


def missing_sentences(missing: Mapping[str, str]) -> list[str]:
    """Say which metrics are missing, and why: a sentence for each task, or for each knowledge and reason."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, reason in missing.items():
        _, _, of_knowledge = name.partition(".")
        where = f"{of_knowledge.partition('.')[0]} lists" if of_knowledge else f"{name}s"
        groups.setdefault((where, reason), []).append(label_of(name) if of_knowledge else "all")
    return [f"Not measured of {where}: {', '.join(labels)} ({reason})." for (where, reason), labels in groups.items()]


def read_metrics(path: Path, model: str, k: int) -> dict[str, Any]:
    """Read reports/metrics.json, and check that it has the numbers of `model` that a report shows.

    k : length of the lists in the headline

    Raises
    ------
    UserError
        The file is missing or damaged, or lacks a metric.
    """
    mend = made_by("evaluate")
    metrics: dict[str, Any] = read_mapping(path, mend)
    typed(_Metrics, metrics, path, mend)
    baselines = metrics["baselines"]
    if not metrics[RATING_TASK] and RATING_TASK not in metrics.get("missing", {}):
        refuse(path, "has no rating metric", mend)
    of_ratings = [metric.name for metric in of_task(RATING_TASK)]
    rated = [name for name, tasks in baselines.items() if RATING_TASK in tasks]
    needed = {"": [*of_ratings, *(f"rmse_minus_{name}" for name in rated)], **dict.fromkeys(rated, of_ratings)}
    for name, of_model in {"": metrics, **baselines}.items():
        named = needed.get(name, [])
        wanted = [(RATING_TASK, knowledge, metric) for knowledge in metrics[RATING_TASK] for metric in named]
        if RANKING_TASK in of_model:
            wanted.append((RANKING_TASK, FROZEN, f"coverage_at_{k}"))
        for task, knowledge, metric in wanted:
            if metric not in of_model.get(task, {}).get(knowledge, {}):
                refuse(path, f"lacks {task}.{knowledge}.{metric} of the model {name or model}", mend)
    return metrics


def select_headline(results: pd.DataFrame, model: str, k: int) -> dict[str, float]:
    """Select the few values that people follow, for reports/headline.json and so for the tables of DVC.

    They are the `main` metrics of the registry, rounded to 6 decimals, those of `model` first. Ranking metrics have the
    cut-off `k`. The names are short, because DVC has a column for each: `rmse` and `ndcg_at_10` are of the first
    knowledge of their task, `frozen_rmse` is of another knowledge, and `bias_rmse` is of another model. Other models
    have the first knowledge only.
    """
    main = [metric.name for metric in METRICS.values() if metric.main]
    rows = results[results[METRIC].isin(main)].to_dict("records")
    first = {row[TASK]: row[KNOWLEDGE] for row in reversed(rows)}
    found = {}
    for row in sorted(rows, key=lambda row: row[MODEL] != model):
        shown = row[MODEL] == model or row[KNOWLEDGE] == first[row[TASK]]
        if shown and (pd.isna(row[K]) or row[K] == k):
            parts = [
                "" if row[MODEL] == model else row[MODEL],
                "" if row[KNOWLEDGE] == first[row[TASK]] else row[KNOWLEDGE],
                row[METRIC],
                "" if pd.isna(row[K]) else f"at_{k}",
            ]
            found["_".join(filter(None, parts))] = round(row["value"], DECIMALS)
    return found


def flatten(results: pd.DataFrame, model: str, k: int) -> dict[str, float]:
    """Select the values for MLflow: the rating metrics of all models, and the ranking metrics of `model` at `k`.

    The names are flat: `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `bias.rating.online.rmse`.
    """
    metrics = nested(results, model)
    flat: dict[str, float] = {}
    for prefix, tasks in {"": metrics, **{f"{name}.": tasks for name, tasks in metrics["baselines"].items()}}.items():
        for knowledge, estimates in tasks.get(RATING_TASK, {}).items():
            flat |= {f"{prefix}{RATING_TASK}.{knowledge}.{metric}": e["value"] for metric, e in estimates.items()}
    for knowledge, estimates in metrics[RANKING_TASK].items():
        for metric, estimate in estimates.items():
            if metric.endswith(f"_at_{k}"):
                flat[f"{RANKING_TASK}.{knowledge}.{metric}"] = estimate["value"]
    return flat
