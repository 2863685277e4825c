"""Results as a long table, a row per number, and the forms that others read: nested JSON and flat names."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from widedeep.columns import FROZEN, KNOWLEDGE, MODEL
from widedeep.evaluation.bootstrap import Estimate
from widedeep.evaluation.metrics import RANKING_TASK, RATING_TASK

DECIMALS = 6  # the last bits differ from processor to processor and mean nothing
TASK, METRIC, K = "task", "metric", "k"
ESTIMATE = ("value", "low", "high", "n")
COLUMNS = (MODEL, KNOWLEDGE, TASK, METRIC, K, *ESTIMATE)


def row(model: str, knowledge: str, task: str, metric: str, k: int | None, estimate: Estimate) -> dict[str, Any]:
    """A row of the long table. `metric` is a name of the registry, or `rmse_minus_<model>`; `k` is None for ratings."""
    return {MODEL: model, KNOWLEDGE: knowledge, TASK: task, METRIC: metric, K: k} | estimate.as_dict()


def table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """The long table [model, knowledge, task, metric, k, value, low, high, n] of such rows."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype({K: "Int64"})


def nested(results: pd.DataFrame, model: str) -> dict[str, Any]:
    """The content of reports/metrics.json: task, knowledge and metric of `model`, then the same of each other model
    under `baselines`. Numbers are rounded to 6 decimals."""
    metrics: dict[str, Any] = {RATING_TASK: {}, RANKING_TASK: {}, "baselines": {}}
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


def headline(results: pd.DataFrame, model: str, k: int) -> dict[str, float]:
    """Values for MLflow by flat names: `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `bias.rating.online.rmse`.
    Rankings are those of `model` at the cut-off `k`; ratings are of all models."""
    metrics = nested(results, model)
    flat: dict[str, float] = {}
    for prefix, tasks in {"": metrics, **{f"{name}.": tasks for name, tasks in metrics["baselines"].items()}}.items():
        for knowledge, estimates in tasks.get(RATING_TASK, {}).items():
            flat |= {f"{prefix}{RATING_TASK}.{knowledge}.{metric}": e["value"] for metric, e in estimates.items()}
    for metric, estimate in metrics[RANKING_TASK].get(FROZEN, {}).items():
        if metric.endswith(f"_at_{k}"):
            flat[f"{RANKING_TASK}.{FROZEN}.{metric}"] = estimate["value"]
    return flat
