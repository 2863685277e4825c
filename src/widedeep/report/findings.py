"""Numbers put into words by what they say: better, worse, or no evidence of either."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from widedeep.models.registry import ENTRIES, Architecture

LABELS = {name: entry.label for name, entry in ENTRIES.items()}
PERCENT = "\N{NO-BREAK SPACE}%"
Estimate = Mapping[str, float]  # value, low, high, n, as in metrics.json


def number(value: float, decimals: int = 3) -> str:
    """Fixed decimals with a typographic minus, and no minus before zero."""
    text = f"{value:.{decimals}f}"
    return text.removeprefix("-") if float(text) == 0 else text.replace("-", "−")


def count(value: float) -> str:
    return f"{int(value):,}"


def title(model: str) -> str:
    """The label of a model at the start of a sentence."""
    return LABELS[model][0].upper() + LABELS[model][1:]


def rating_finding(model: str, metrics: Mapping[str, Any], knowledge: str) -> str:
    """How the model's RMSE compares with that of the best baseline under the same knowledge."""
    best, rmse, difference = _against_best(metrics, knowledge)
    own = number(metrics["rating"][knowledge]["rmse"]["value"])
    interval = f"95{PERCENT} interval of the difference {number(difference['low'])} to {number(difference['high'])}"
    first = knowledge == next(iter(metrics["rating"]))
    start = (
        f"{title(model)} predicts unseen ratings with RMSE {own} {knowledge}"
        if first
        else f"Its {knowledge} RMSE is {own}"
    )
    other = f"the {LABELS[best]} baseline"
    if difference["low"] <= 0 <= difference["high"]:
        return f"{start}: no evidence of a difference from {other} ({number(rmse)}; {interval})."
    word = "below" if difference["high"] < 0 else "above"
    share = f"{number(100 * abs(difference['value']) / rmse, 1)}{PERCENT} {word}" if rmse > 0 else word
    return f"{start}, {share} {other} ({interval})."


def knowledge_finding(model: str, metrics: Mapping[str, Any], knowledge: str) -> str:
    """The same as the title of a picture."""
    best, _, difference = _against_best(metrics, knowledge)
    if difference["low"] <= 0 <= difference["high"]:
        return f"{knowledge.capitalize()}, {LABELS[model]} and {LABELS[best]} cannot be told apart"
    lower, higher = (model, best) if difference["high"] < 0 else (best, model)
    return f"{knowledge.capitalize()}, {LABELS[lower]} has a lower RMSE than {LABELS[higher]}"


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


def rating_note(about: Architecture) -> str:
    """Where the ratings of a model come from that is made to rank; nothing to say of others."""
    if about.model == "ease" or (about.objective == "ranking" and about.entry.trained):
        return (
            f"{title(about.model)} learns an order, not ratings: its predicted rating is the least-squares "
            "line of its score on the training ratings."
        )
    return ""


def sorting_note(about: Architecture) -> str:
    """What the lists of a model with two heads are sorted by; nothing to say of others."""
    if about.objective != "joint" or not about.entry.trained:
        return ""
    rating = f" plus {about.rating_weight:g} times the predicted rating" if about.rating_weight else ""
    return f"{title(about.model)} sorts by its ranking head{rating}."


def fitted_finding(model: str, curves: pd.DataFrame) -> str:
    """Instead of curves, for a model that is not trained in epochs: what validation measured."""
    labels = {
        "validation_rmse": "RMSE",
        "validation_frozen_rmse": "frozen RMSE",
        "validation_online_rmse": "online RMSE",
        "validation_ndcg_at_10": "NDCG at 10",
    }
    row = curves.iloc[0].dropna()
    measured = [f"{label} {number(row[name])}" for name, label in labels.items() if name in row]
    start = f"{title(model)} is not trained in epochs: it is computed from the training ratings in one step."
    return f"{start} On the validation ratings: {', '.join(measured)}." if measured else start


def learning_finding(measure: str, curves: pd.DataFrame, kept: int) -> str:
    """Where the validation curve of RMSE or NDCG is best, or where the training curve ends if there is none. `curves`
    has the columns of this measure, by epoch."""
    last = int(curves.index[-1])
    validation = [name for name in curves if str(name).startswith("validation")]
    if not validation:
        return f"Training {measure} ends at {number(curves.iloc[:, 0].dropna().iloc[-1])} after epoch {last}"
    values = curves[validation[0]]
    lowest = measure == "RMSE"
    best = int(values.index[values.argmin() if lowest else values.argmax()])
    start = f"Validation {measure} is {'lowest' if lowest else 'highest'} in"
    if best != kept:  # with two objectives, each has its own best epoch
        return (
            f"{start} epoch {best} ({number(values[best])}); epoch {kept} is kept ({number(values[kept])}), where RMSE "
            "minus NDCG is lowest"
        )
    if best == last:
        return f"{start} the last epoch, {best} ({number(values[best])}): it may still {'fall' if lowest else 'rise'}"
    return f"{start} epoch {best} ({number(values[best])}), whose weights are kept"


def calibration_finding(table: pd.DataFrame) -> str:
    gap = (table["mean_predicted"] - table["mean_rating"]).abs().max()
    bins = "the one bin" if len(table) == 1 else f"all {len(table)} bins"
    return f"Mean ratings lie within {number(gap, 2)} points of the prediction in {bins}"


def slice_finding(table: pd.DataFrame, model: str, other: str, groups: str) -> str:
    """In how many groups the model's RMSE is lower than that of a baseline: a count of points, said as such."""
    rmse = table.pivot(index="group", columns="model", values="rmse")
    lower = int((rmse[model] < rmse[other]).sum())
    if len(rmse) == 1:
        return f"{'Lower' if lower else 'No lower'} RMSE than the {LABELS[other]} baseline"
    of = {0: f"none of {len(rmse)}", len(rmse): f"all {len(rmse)}"}.get(lower, f"{lower} of {len(rmse)}")
    return f"Lower RMSE than the {LABELS[other]} baseline in {of} {groups}"


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
