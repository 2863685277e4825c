"""Intervals of the difference of a metric between two revisions: paired by user, or from two stored intervals.

Notation: U users, C columns of per-user sums, R resamples.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from widedeep.evaluation.bootstrap import Bootstrap, Estimate, Terms
from widedeep.evaluation.metrics import stored_terms


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
