"""The registry of metrics. Everything about a metric stands in its entry.

To add a metric, add an entry to `METRICS`. The metric then appears in reports/metrics.json, in the verdicts, in the
history, in the report and in the plots.

Notation: N rows, U users. A flat name is the path of a number in reports/metrics.json, such as `rating.online.rmse`.
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

# Columns of the tables by user: number of rows of the user, and number of the user's lists with a relevant item.
N = "n"
N_LISTS = "lists"
SQUARED_ERROR = "squared_error"
ABSOLUTE_ERROR = "absolute_error"
POINTS = "rating points"
NAME = re.compile(r"(?P<name>.+?)(_minus_(?P<other>.+)|_at_(?P<k>\d+))?")


def total_over_rows(total: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Count every row the same: the metric is the sum over all rows / their number."""
    return total, n


def mean_over_users(total: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Count every user the same: the metric is the mean of the users' means."""
    return total / n, np.ones(len(n))


def mean_of_roots(total: Floats, n: Floats) -> tuple[Floats, Floats]:
    """Count every user the same: the metric is the mean of the roots of the users' means."""
    return np.sqrt(total / n), np.ones(len(n))


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric.

    name : as in reports/metrics.json, without a cut-off
    label : the name that readers see
    unit : "" for a number without a unit
    task : "rating" or "ranking"
    direction : whether a lower or a higher value is better, or neither
    root : whether the metric is the square root of the ratio of sums
    at_k : whether the metric judges the first k places of a list, so that its name ends with `_at_<k>`
    every_k : whether it is shown at every k; otherwise it is shown at the headline k only (see `list_length`)
    headline : whether the verdicts on two commits show it by default
    main : whether the history of commits shows it by default
    of_row : rating metrics only: (ratings (N,), predictions (N,)) -> amounts (N,), whose sums by user are stored
    column : rating metrics only: column of these sums in reports/per_user.parquet, without the prefix `<knowledge>_`
    by_user : (stored values (U,), rows of each user (U,)) -> (numerators (U,), denominators (U,)). The metric is the
        sum of the numerators / the sum of the denominators. For a ranking metric, rows are lists.
    of_lists : ranking metrics only: (lists, k) -> values by list. The metric is their mean.
    of_all : (lists, k) -> the metric, for a ranking metric that has no value by list
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
        """Return numerators and denominators by user.

        Parameters
        ----------
        stored : (U,) float64. Sums over the user's rows, or lists.
        n : (U,) float64. The user's number of rows, or lists.
        """
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


# The order is that in which metrics are shown. For the rating metrics see Herlocker et al., "Evaluating collaborative
# filtering recommender systems", TOIS 2004. With S_u and A_u the sums of squared and absolute errors of user u over
# n_u rows: rmse = sqrt(sum S_u / sum n_u), mae = sum A_u / sum n_u, user_mean_rmse = mean sqrt(S_u / n_u),
# user_mean_mae = mean A_u / n_u.
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
    """Return the metrics of a task, in the order in which they are shown."""
    return [metric for metric in METRICS.values() if metric.task == task]


def metric_of(flat_name: str) -> Metric | None:
    """Return the metric behind a flat name, or None for an unknown name.

    Known names look like `rating.online.rmse`, `ranking.frozen.ndcg_at_10`, `rmse_minus_bias` or
    `baselines.bias.rating.frozen.mae`.
    """
    parsed = _parsed(flat_name)
    return parsed[0] if parsed else None


def place_of(flat_name: str) -> int | None:
    """Return the cut-off in a name such as `ranking.frozen.ndcg_at_10`, or None for other names."""
    parsed = _parsed(flat_name)
    return int(parsed[2]) if parsed and parsed[2] else None


def of_model(flat_name: str) -> Metric | None:
    """Return the metric as `metric_of` does, but None for a metric of a baseline and for a difference from one."""
    parsed = _parsed(flat_name)
    return parsed[0] if parsed and not parsed[1] and flat_name.startswith(f"{parsed[0].task}.") else None


def label_of(flat_name: str) -> str:
    """Return the name that readers see: "RMSE", "NDCG at 10", "RMSE minus bias". An unknown name stays as it is."""
    parsed = _parsed(flat_name)
    if not parsed:
        return flat_name
    metric, other, k = parsed
    return metric.label + (f" minus {other.replace('_', ' ')}" if other else "") + (f" at {k}" if k else "")


def unit_of(flat_name: str) -> str:
    """Return the unit of the metric. It is "" for a metric without a unit and for an unknown name."""
    metric = metric_of(flat_name)
    return metric.unit if metric else ""


def stored_column(flat_name: str) -> str | None:
    """Return the column of reports/per_user.parquet that holds a metric of the model by user, or None.

    There is none for metrics of baselines, differences, and metrics that are not a mean over users or rows.
    """
    metric = of_model(flat_name)
    if metric is None or flat_name.count(".") != 2 or not (metric.column or metric.every_k):
        return None
    _, knowledge, name = flat_name.split(".")
    return f"{knowledge}_{metric.column or name}"


def stored_terms(per_user: pd.DataFrame, flat_name: str) -> tuple[pd.Index, Terms] | None:
    """Read a metric of the model from reports/per_user.parquet: the U users, and their numerators and denominators.

    The result is None if the table does not hold the metric (see `stored_column`).
    """
    metric, column = of_model(flat_name), stored_column(flat_name)
    if metric is None or column is None or column not in per_user:
        return None
    table = per_user.dropna(subset=column)
    n = N if metric.task == RATING_TASK else f"{flat_name.split('.')[1]}_{N_LISTS}"
    # Before there were online lists, each user had one list, and the number of lists was not stored.
    of_users = table[n].to_numpy(np.float64) if n in table else np.ones(len(table))
    return pd.Index(table[USER_ID]), metric.terms(table[column].to_numpy(np.float64), of_users)


def list_length(ks: Collection[int]) -> int:
    """Return the headline k: 10 if it is among `ks`, otherwise the largest."""
    return 10 if 10 in ks else max(ks)


def headline_length(flat_names: Iterable[str]) -> int:
    """Return the headline k of the metrics with these names."""
    return list_length({k for name in flat_names if (k := place_of(name)) is not None} or {10})


def _parsed(flat_name: str) -> tuple[Metric, str | None, str | None] | None:
    """Split a flat name into the metric, the model that is subtracted, and the cut-off."""
    *place, last = flat_name.split(".")
    found = NAME.fullmatch(last)
    metric = METRICS.get(found["name"]) if found else None
    if not found or metric is None or (found["k"] is not None) is not metric.at_k:
        return None
    if place and metric.task not in place:
        return None
    return metric, found["other"], found["k"]
