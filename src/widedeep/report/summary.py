"""The headline numbers as Markdown, for a terminal, a merge request or the README."""

from collections.abc import Mapping
from typing import Any

from widedeep.features.store import FROZEN
from widedeep.report.findings import LABELS, Estimate, number

RANKED = ("ndcg", "recall", "hit_rate", "coverage")


def render_summary(model: str, metrics: Mapping[str, Any], dataset: str, k: int) -> str:
    """Two tables: RMSE of the trained model and the baselines under each knowledge with 95 % intervals, and rankings
    at the cut-off k."""
    tasks = {model: metrics, **metrics["baselines"]}
    rows = []
    for name, of_model in tasks.items():
        rows.append([LABELS[name], *(_interval(estimates["rmse"]) for estimates in of_model["rating"].values())])
    for name in metrics["baselines"]:
        differences = (estimates[f"rmse_minus_{name}"] for estimates in metrics["rating"].values())
        rows.append([f"{LABELS[model]} minus {LABELS[name]}, paired", *map(_interval, differences)])
    n = next(iter(metrics["rating"].values()))["rmse"]["n"]
    text = _table([f"RMSE on {n:,} test ratings of {dataset}", *metrics["rating"]], rows)

    ranked = {LABELS[name]: of_model["ranking"][FROZEN] for name, of_model in tasks.items() if "ranking" in of_model}
    names = [f"{metric}_at_{k}" for metric in RANKED]
    rows = [
        [label, *(_interval(estimates[name]) if name in estimates else "" for name in names)]
        for label, estimates in ranked.items()
    ]
    return text + "\n" + _table([f"full ranking, {FROZEN}", *names], rows)


def _interval(estimate: Estimate) -> str:
    value = number(estimate["value"])
    if estimate["low"] == estimate["high"]:
        return value
    return f"{value} [{number(estimate['low'])}, {number(estimate['high'])}]"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
