"""What verdicts, gates and history need to know about a metric, by its name in reports/metrics.json."""

import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import USER
from widedeep.evaluation.rating import ABSOLUTE_ERROR, SQUARED_ERROR, N

LOWER: Literal["lower"] = "lower"
HIGHER: Literal["higher"] = "higher"
NEITHER: Literal["neither"] = "neither"
NAME = re.compile(r"(?P<name>\w+?)(_minus_\w+|_at_(?P<k>\d+))?")


@dataclass(frozen=True)
class Metric:
    """One metric.

    direction : whether a lower or a higher value is better, or neither
    headline : whether the table of verdicts shows it without being asked
    main : whether the history shows it without being asked
    """

    name: str
    task: Literal["rating", "ranking"]
    direction: Literal["lower", "higher", "neither"]
    headline: bool = False
    main: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric("rmse", "rating", LOWER, headline=True, main=True),
        Metric("mae", "rating", LOWER, headline=True),
        Metric("user_mean_rmse", "rating", LOWER),
        Metric("user_mean_mae", "rating", LOWER),
        Metric("precision", "ranking", HIGHER),
        Metric("recall", "ranking", HIGHER, headline=True),
        Metric("f1", "ranking", HIGHER),
        Metric("ndcg", "ranking", HIGHER, headline=True, main=True),
        Metric("map", "ranking", HIGHER),
        Metric("mrr", "ranking", HIGHER),
        Metric("hit_rate", "ranking", HIGHER, headline=True),
        Metric("novelty", "ranking", NEITHER, headline=True),
        Metric("diversity", "ranking", NEITHER, headline=True),
        Metric("coverage", "ranking", NEITHER, headline=True),
    )
}


class Terms(NamedTuple):
    """A metric as a ratio of two sums over users: sum of `above` / sum of `below`, with `root` its square root."""

    above: NDArray[np.float64]
    below: NDArray[np.float64]
    root: bool = False


def metric_of(flat_name: str) -> Metric | None:
    """The metric behind a name as `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `rmse_minus_bias` or
    `baselines.bias.rating.frozen.mae`; None for a name that is not known."""
    found = NAME.fullmatch(flat_name.rpartition(".")[2])
    return METRICS.get(found["name"]) if found else None


def place_of(flat_name: str) -> int | None:
    """The length of the list in a name as `ranking.frozen.ndcg_at_10`, None for other names."""
    found = NAME.fullmatch(flat_name.rpartition(".")[2])
    return int(found["k"]) if found and found["k"] else None


def of_model(flat_name: str) -> Metric | None:
    """As `metric_of`, but only for metrics of the model itself: neither of a baseline nor a difference from one."""
    metric = metric_of(flat_name)
    own = metric is not None and flat_name.startswith(f"{metric.task}.") and "_minus_" not in flat_name
    return metric if own else None


def headline_length(flat_names: list[str]) -> int:
    """The length of the lists that is shown without being asked: 10 if there is one, else the longest."""
    lengths = {k for name in flat_names if (k := place_of(name)) is not None}
    return 10 if 10 in lengths else max(lengths, default=10)


def stored_terms(per_user: pd.DataFrame, flat_name: str) -> tuple[pd.Index, Terms] | None:
    """Numerators and denominators of a metric of the model, and the users they are of, from reports/per_user.parquet.

    None for a metric that this table does not hold: one of a baseline, a difference, or one that is no mean over users
    or rows.
    """
    metric = of_model(flat_name)
    if metric is None:
        return None
    _, knowledge, name = flat_name.split(".")
    error = SQUARED_ERROR if metric.name.endswith("rmse") else ABSOLUTE_ERROR
    column = f"{knowledge}_{error if metric.task == 'rating' else name}"
    if column not in per_user:
        return None
    table = per_user[[USER, N, column]].dropna(subset=column)
    above, users = table[column].to_numpy(np.float64), pd.Index(table[USER])
    ones = np.ones(len(table))
    if metric.task == "ranking":
        return users, Terms(above, ones)
    n = table[N].to_numpy(np.float64)
    if metric.name.startswith("user_mean_"):
        return users, Terms(np.sqrt(above / n) if error == SQUARED_ERROR else above / n, ones)
    return users, Terms(above, n, root=error == SQUARED_ERROR)
