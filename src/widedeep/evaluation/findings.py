"""Numbers put into words by what they say: better, worse, or no evidence of either."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

LABELS = {
    "wide_deep": "Wide & Deep",
    "bias": "bias",
    "popularity": "popularity",
    "global_mean": "global mean",
}
MODEL = "wide_deep"
PERCENT = "\N{NO-BREAK SPACE}%"
Estimate = Mapping[str, float]  # value, low, high, n, as in metrics.json


def number(value: float, decimals: int = 3) -> str:
    """Fixed decimals with a typographic minus, and no minus before zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def count(value: float) -> str:
    return f"{int(value):,}"


def rating_finding(metrics: Mapping[str, Any], knowledge: str) -> str:
    """How the model's RMSE compares with that of the best baseline under the same knowledge."""
    best, rmse, difference = _against_best(metrics, knowledge)
    own = number(metrics["rating"][knowledge]["rmse"]["value"])
    interval = f"95{PERCENT} interval of the difference {number(difference['low'])} to {number(difference['high'])}"
    first = knowledge == next(iter(metrics["rating"]))
    start = (
        f"Wide & Deep predicts unseen ratings with RMSE {own} {knowledge}"
        if first
        else f"Its {knowledge} RMSE is {own}"
    )
    other = f"the {LABELS[best]} baseline"
    if difference["low"] <= 0 <= difference["high"]:
        return f"{start}: no evidence of a difference from {other} ({number(rmse)}; {interval})."
    word = "below" if difference["high"] < 0 else "above"
    share = f"{number(100 * abs(difference['value']) / rmse, 1)}{PERCENT} {word}" if rmse > 0 else word
    return f"{start}, {share} {other} ({interval})."


def knowledge_finding(metrics: Mapping[str, Any], knowledge: str) -> str:
    """The same as the title of a picture."""
    best, _, difference = _against_best(metrics, knowledge)
    if difference["low"] <= 0 <= difference["high"]:
        return f"{knowledge.capitalize()}, Wide & Deep and {LABELS[best]} cannot be told apart"
    lower, higher = (LABELS[MODEL], LABELS[best]) if difference["high"] < 0 else (LABELS[best], LABELS[MODEL])
    return f"{knowledge.capitalize()}, {lower} has a lower RMSE than {higher}"


def _against_best(metrics: Mapping[str, Any], knowledge: str) -> tuple[str, float, Estimate]:
    """The baseline with the lowest RMSE, that RMSE, and the model's RMSE minus it."""
    rmse = {name: tasks["rating"][knowledge]["rmse"]["value"] for name, tasks in metrics["baselines"].items()}
    best = min(rmse, key=lambda name: rmse[name])
    return best, rmse[best], metrics["rating"][knowledge][f"rmse_minus_{best}"]


def ranking_finding(metrics: Mapping[str, Any], k: int) -> str:
    """How the model's lists compare with those of the best baseline; their intervals are not paired."""
    own = metrics["ranking"]["frozen"].get(f"ndcg_at_{k}")
    if own is None:
        return "No test user has a relevant test item, so how accurate the lists are is not defined."
    others = {
        name: tasks["ranking"]["frozen"][f"ndcg_at_{k}"]
        for name, tasks in metrics["baselines"].items()
        if "ranking" in tasks
    }
    best = max(others, key=lambda name: others[name]["value"])
    other = others[best]
    start = f"Its top-{k} lists reach an NDCG of {number(own['value'])}"
    if own["low"] <= other["high"] and other["low"] <= own["high"]:
        return f"{start}, {LABELS[best]} {number(other['value'])}: the 95{PERCENT} intervals overlap."
    word = "above" if own["value"] > other["value"] else "below"
    return f"{start}, {word} the {number(other['value'])} of {LABELS[best]} (the 95{PERCENT} intervals do not overlap)."


def learning_finding(curves: pd.DataFrame, best: int) -> str:
    last = int(curves["epoch"].iloc[-1])
    if "validation_rmse" not in curves:
        rmse = number(curves["train_rmse"].iloc[-1])
        return f"Training RMSE ends at {rmse} after epoch {last}; there are no validation rows to stop by"
    rmse = number(curves.set_index("epoch")["validation_rmse"][best])
    if best == last:
        return f"Validation RMSE is lowest in the last epoch, {last} ({rmse}): it may still fall"
    return f"Validation RMSE is lowest in epoch {best} ({rmse}), whose weights are kept"


def calibration_finding(table: pd.DataFrame) -> str:
    gap = (table["mean_predicted"] - table["mean_rating"]).abs().max()
    bins = "the one bin" if len(table) == 1 else f"all {len(table)} bins"
    return f"Mean ratings lie within {number(gap, 2)} points of the prediction in {bins}"


def slice_finding(table: pd.DataFrame, groups: str) -> str:
    """In how many groups the model's RMSE is the lower one: a count of points, said as such."""
    rmse = table.pivot(index="group", columns="model", values="rmse")
    lower = int((rmse[MODEL] < rmse["bias"]).sum())
    if len(rmse) == 1:
        return f"{'Lower' if lower else 'No lower'} RMSE than the bias baseline"
    of = {0: f"none of {len(rmse)}", len(rmse): f"all {len(rmse)}"}.get(lower, f"{lower} of {len(rmse)}")
    return f"Lower RMSE than the bias baseline in {of} {groups}"


def by_k_finding(table: pd.DataFrame, metric: str) -> str:
    label = METRIC_LABELS[metric]
    values = table[table["metric"] == metric].pivot(index="k", columns="model", values="value")
    if values.empty:
        return label
    best = values.idxmax(axis=1)
    if (values.nunique(axis=1) > 1).all() and best.nunique() == 1:
        return f"{label}: {LABELS[best.iloc[0]]} is best at every k"
    return f"{label}: which is best depends on k"


METRIC_LABELS = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "ndcg": "NDCG",
    "map": "MAP",
    "mrr": "MRR",
    "hit_rate": "Hit rate",
    "novelty": "Novelty (bits)",
    "diversity": "Diversity",
    "coverage": "Coverage",
}
