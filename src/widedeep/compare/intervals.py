"""Intervals of the difference of a metric between two revisions: paired by user, or from two stored intervals.

A paired interval comes from the results by user, the value beside it from the metrics. `check` makes sure that both are
of one run.

Notation: U users, C columns of per-user sums, R resamples.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from widedeep.columns import USER_ID
from widedeep.errors import UserError
from widedeep.evaluation.bootstrap import Bootstrap, Estimate, Terms
from widedeep.evaluation.metrics import RATING_TASK, N, stored_column, stored_terms
from widedeep.evaluation.results import DECIMALS


def check(per_user: pd.DataFrame, metrics: Mapping[str, Mapping[str, Any]], place: str, beside: str) -> None:
    """Check that results by user are whole, and of the same run as the metrics.

    Parameters
    ----------
    per_user : reports/per_user.parquet, see `paired`
    metrics : estimates by flat name, from the metrics of the same revision
    place, beside : what the message calls the results and the metrics

    Raises
    ------
    UserError
        A column is missing, holds something else than numbers, or lacks a number; a user stands there twice; or a
        metric has another value or another number of rows or users than the results by user give.
    """
    mend = "`dvc checkout` and `git restore reports` bring back results of one run, `dvc repro` makes new ones."
    stored = {metric: column for metric in metrics if (column := stored_column(metric))}
    missing = [name for name in dict.fromkeys((USER_ID, N, *stored.values())) if name not in per_user]
    if missing:
        raise UserError(f"{place} must have the column {missing[0]}, which is missing. {mend}")
    errors = {column for metric, column in stored.items() if metric.startswith(RATING_TASK)}
    for name in (N, *stored.values()):
        if not pd.api.types.is_numeric_dtype(per_user[name]):
            raise UserError(f"{place}: column {name} must hold numbers. Got {per_user[name].dtype} instead. {mend}")
        values = per_user[name].to_numpy(np.float64, na_value=np.nan)
        # A ranking metric is not defined for a user without a relevant item.
        bad = ~np.isfinite(values) if name == N or name in errors else np.isinf(values)
        if bad.any():
            user = per_user[USER_ID].iloc[int(bad.argmax())]
            raise UserError(f"{place}: column {name} has no finite number for user {user}. {mend}")
    twice = per_user.loc[per_user[USER_ID].duplicated(), USER_ID]
    if len(twice):
        raise UserError(f"{place}: user {twice.iloc[0]} stands there twice. {mend}")
    for metric in stored:
        _, terms = stored_terms(per_user, metric) or (None, Terms(np.zeros(0), np.zeros(0)))
        above, below, known = terms.above.sum(), terms.below.sum(), metrics[metric]
        if known.get("n", below) != below:
            raise UserError(
                f"{place} and {beside} are not of one run: {metric} has n = {known['n']:,} there, but {below:,.0f} "
                f"by user. {mend}"
            )
        ratio = above / below if below else math.nan
        value = math.sqrt(ratio) if terms.root else ratio
        if not math.isclose(value, known["value"], rel_tol=1e-9, abs_tol=10**-DECIMALS):
            raise UserError(
                f"{place} and {beside} are not of one run: {metric} is {known['value']:g} there, but {value:g} "
                f"by user. {mend}"
            )


def paired(old: pd.DataFrame, new: pd.DataFrame, metrics: Iterable[str], bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Estimate new - old of each metric that both tables hold by user, on the same resamples of users.

    Parameters
    ----------
    old, new : reports/per_user.parquet of both revisions, a row per test user. Columns: user_id, n (number of rows),
        `<knowledge>_squared_error` and `<knowledge>_absolute_error` (sums), `<knowledge>_<ranking metric>` (NaN for a
        user for whom it is not defined)
    metrics : flat names, `rating.<knowledge>.<name>` or `ranking.<knowledge>.<name>`

    Returns
    -------
    Estimates by metric; their n is the number of users. A metric is left out if the tables do not hold it for the same
    users, or if it is not a mean over rows or users.
    """
    groups: dict[tuple[Any, ...], dict[str, tuple[Terms, Terms]]] = {}
    for metric in metrics:
        before, after = stored_terms(old, metric), stored_terms(new, metric)
        if before and after and len(before[0]) and before[0].equals(after[0]):
            groups.setdefault(tuple(before[0]), {})[metric] = (before[1], after[1])
    differences = {}
    for users, group in groups.items():  # metrics that are defined for the same users share their resamples
        columns = [part for pair in group.values() for terms in pair for part in (terms.above, terms.below)]
        sums = bootstrap.sums(np.stack(columns)).reshape(len(group), 2, 2, -1)  # (C, 1 + R) by metric, side and part
        for (metric, pair), parts in zip(group.items(), sums, strict=True):
            before, after = (
                np.sqrt(above / below) if terms.root else above / below
                for terms, (above, below) in zip(pair, parts, strict=True)
            )
            differences[metric] = bootstrap.estimate(after - before, len(users), len(users))
    return differences


def independent(old: Mapping[str, Any], new: Mapping[str, Any]) -> Estimate | None:
    """Estimate new - old from the intervals of both, as if they were independent. Without intervals, return None.

    The half-widths of this interval are the roots of the sums of the squared half-widths (MOVER: Zou and Donner,
    "Construction of confidence limits about effect measures", Statistics in Medicine 2008). For two models on the same
    rows the interval is too wide, because their errors are correlated.

    Parameters
    ----------
    old, new : value, low, high and n, as in reports/metrics.json. A metric without an interval, such as coverage, has
        low = high.
    """
    if not {"low", "high"} <= old.keys() & new.keys() or (old["low"] == old["high"] and new["low"] == new["high"]):
        return None
    value = new["value"] - old["value"]
    down = math.hypot(new["value"] - new["low"], old["high"] - old["value"])
    up = math.hypot(new["high"] - new["value"], old["value"] - old["low"])
    return Estimate(value, value - down, value + up, new.get("n", 0))
