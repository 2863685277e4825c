"""The registry of metrics. All that the project knows about a metric stands in its entry, and nowhere else.

A new metric is one entry in `METRICS`. It then appears in reports/metrics.json, the verdicts, the history, the report
and the plots.
"""

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import USER_ID
from widedeep.evaluation import ranking
from widedeep.evaluation.bootstrap import Terms
from widedeep.evaluation.ranking import Lists

Task = Literal["rating", "ranking"]
Direction = Literal["lower", "higher", "neither"]
Floats = NDArray[np.float64]

RATING_TASK: Final = "rating"
RANKING_TASK: Final = "ranking"
LOWER: Final = "lower"
HIGHER: Final = "higher"
NEITHER: Final = "neither"

N = "n"  # column of the tables by user: number of rows
SQUARED_ERROR = "squared_error"
ABSOLUTE_ERROR = "absolute_error"
POINTS = "rating points"
NAME = re.compile(r"(?P<name>.+?)(_minus_(?P<other>.+)|_at_(?P<k>\d+))?")


def total_over_rows(total: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Every row counts the same: the sum of all rows by their number."""
    return total, n


def mean_over_users(total: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Every user counts the same: the mean of each user's own mean."""
    return total / n, np.ones(len(n))


def mean_of_roots(total: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Every user counts the same: the mean of the root of each user's own mean."""
    return np.sqrt(total / n), np.ones(len(n))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    name : as in reports/metrics.json, without a cut-off
    label : for people
    unit : "" for a number without one
    task : "rating" or "ranking"
    direction : whether a lower or a higher value is better, or neither
    root : whether the metric is the square root of the ratio of sums
    at_k : whether the metric is one of a list's first k places, so that its name ends with `_at_<k>`
    every_k : whether it is shown at every k; else only at the headline k (see `list_length`)
    headline : whether the verdicts on two commits show it without being asked
    main : whether the history of commits shows it without being asked
    of_row : for a rating metric, from rating and prediction (N,) to an amount (N,) whose sums by user are stored
    column : for a rating metric, the column of these sums in reports/per_user.parquet, after `<knowledge>_`
    by_user : from what is stored of the users, and their numbers of rows (of a ranking metric 1), to numerators and
        denominators, all (U,): the metric is sum / sum
    of_lists : for a ranking metric, from lists and k to its value by user, which is averaged over the users
    of_all : for a ranking metric that has no value by user, from lists and k to the metric
    """

    name: str
    label: str
    task: Task
    direction: Direction
    unit: str = ""
    root: bool = False
    at_k: bool = False
    every_k: bool = False
    headline: bool = False
    main: bool = False
    of_row: Callable[[Floats, Floats], Floats] | None = None
    column: str = ""
    by_user: Callable[[Floats, Floats], tuple[Floats, Floats]] = total_over_rows
    of_lists: Callable[[Lists, int], pd.Series] | None = None
    of_all: Callable[[Lists, int], float] | None = None

    def terms(self, stored: Floats, n: Floats) -> Terms:
        """Numerators and denominators by user, from what is stored of each user: for a rating metric the sums over the
        user's `n` rows, for a ranking metric the user's value (with `n` = 1)."""
        return Terms(*self.by_user(stored, n), self.root)


def squared_error(rating: Floats, predicted: Floats) -> Floats:
    return (predicted - rating) ** 2


def absolute_error(rating: Floats, predicted: Floats) -> Floats:
    return np.abs(predicted - rating)


def _error(
    name: str,
    label: str,
    column: str,
    by_user: Callable[..., tuple[Floats, Floats]],
    root: bool = False,
    headline: bool = False,
    main: bool = False,
) -> Metric:
    of_row = squared_error if column == SQUARED_ERROR else absolute_error
    return Metric(
        name=name, label=label, unit=POINTS, task=RATING_TASK, direction=LOWER, root=root, of_row=of_row, column=column,
        by_user=by_user, headline=headline, main=main,
    )  # fmt: skip


def _accuracy(
    name: str,
    label: str,
    of_lists: Callable[[Lists, int], pd.Series],
    headline: bool = False,
    main: bool = False,
) -> Metric:
    return Metric(
        name=name, label=label, task=RANKING_TASK, direction=HIGHER, at_k=True, every_k=True, of_lists=of_lists,
        headline=headline, main=main,
    )  # fmt: skip


# In the order in which they are shown. RMSE and its kin: Herlocker et al., "Evaluating collaborative filtering
# recommender systems", TOIS 2004. With S_u and A_u the sums of squared and absolute errors of user u over n_u rows,
# rmse = sqrt(sum S_u / sum n_u), mae = sum A_u / sum n_u, user_mean_rmse = mean sqrt(S_u / n_u) and user_mean_mae =
# mean A_u / n_u.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _error("rmse", "RMSE", SQUARED_ERROR, total_over_rows, root=True, headline=True, main=True),
        _error("mae", "MAE", ABSOLUTE_ERROR, total_over_rows, headline=True),
        _error("user_mean_rmse", "Mean RMSE of users", SQUARED_ERROR, mean_of_roots),
        _error("user_mean_mae", "Mean MAE of users", ABSOLUTE_ERROR, mean_over_users),
        _accuracy("precision", "Precision", ranking.precision),
        _accuracy("recall", "Recall", ranking.recall, headline=True),
        _accuracy("f1", "F1", ranking.f1),
        _accuracy("ndcg", "NDCG", ranking.ndcg, headline=True, main=True),
        _accuracy("map", "MAP", ranking.average_precision),
        _accuracy("mrr", "MRR", ranking.reciprocal_rank),
        _accuracy("hit_rate", "Hit rate", ranking.hit_rate, headline=True),
        Metric(
            name="novelty", label="Novelty", unit="bits", task=RANKING_TASK, direction=NEITHER, at_k=True,
            of_lists=ranking.novelty, headline=True,
        ),
        Metric(
            name="diversity", label="Diversity", task=RANKING_TASK, direction=NEITHER, at_k=True,
            of_lists=ranking.diversity, headline=True,
        ),
        Metric(
            name="coverage", label="Coverage", task=RANKING_TASK, direction=NEITHER, at_k=True,
            of_all=ranking.coverage, headline=True,
        ),
    )
}  # fmt: skip


def of_task(task: Task) -> list[Metric]:
    """The metrics of a task, in the order in which they are shown."""
    return [metric for metric in METRICS.values() if metric.task == task]


def metric_of(flat_name: str) -> Metric | None:
    """The metric behind a name as `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `rmse_minus_bias` or
    `baselines.bias.rating.frozen.mae`; None for a name that is not known."""
    parsed = _parsed(flat_name)
    return parsed[0] if parsed else None


def place_of(flat_name: str) -> int | None:
    """The length of the list in a name as `ranking.frozen.ndcg_at_10`, None for other names."""
    parsed = _parsed(flat_name)
    return int(parsed[2]) if parsed and parsed[2] else None


def of_model(flat_name: str) -> Metric | None:
    """As `metric_of`, but only for metrics of the model itself: neither of a baseline nor a difference from one."""
    parsed = _parsed(flat_name)
    return parsed[0] if parsed and not parsed[1] and flat_name.startswith(f"{parsed[0].task}.") else None


def label_of(flat_name: str) -> str:
    """What to call the metric: "RMSE", "NDCG at 10", "RMSE minus bias"; a name that is not known as it is."""
    parsed = _parsed(flat_name)
    if not parsed:
        return flat_name
    metric, other, k = parsed
    return metric.label + (f" minus {other.replace('_', ' ')}" if other else "") + (f" at {k}" if k else "")


def unit_of(flat_name: str) -> str:
    """The unit of the metric, "" for none, or for a name that is not known."""
    metric = metric_of(flat_name)
    return metric.unit if metric else ""


def stored_terms(per_user: pd.DataFrame, flat_name: str) -> tuple[pd.Index, Terms] | None:
    """Numerators and denominators of a metric of the model, and the users they are of, from reports/per_user.parquet.

    None for a metric that this table does not hold: one of a baseline, a difference, or one that is no mean over users
    or rows.
    """
    metric = of_model(flat_name)
    if metric is None:
        return None
    task, knowledge, name = flat_name.split(".")
    column = f"{knowledge}_{metric.column or name}"
    if column not in per_user:
        return None
    table = per_user[[USER_ID, N, column]].dropna(subset=column)
    n = table[N].to_numpy(np.float64) if task == RATING_TASK else np.ones(len(table))
    return pd.Index(table[USER_ID]), metric.terms(table[column].to_numpy(np.float64), n)


def list_length(ks: Collection[int]) -> int:
    """The headline k: 10 if it is one of them, else the longest."""
    return 10 if 10 in ks else max(ks)


def headline_length(flat_names: Iterable[str]) -> int:
    """The headline k of the metrics with these names."""
    return list_length({k for name in flat_names if (k := place_of(name)) is not None} or {10})


def _parsed(flat_name: str) -> tuple[Metric, str | None, str | None] | None:
    """The metric, the model that is subtracted, and the cut-off."""
    *place, last = flat_name.split(".")
    found = NAME.fullmatch(last)
    metric = METRICS.get(found["name"]) if found else None
    if not found or metric is None or (found["k"] is not None) is not metric.at_k:
        return None
    if place and metric.task not in place:
        return None
    return metric, found["other"], found["k"]
