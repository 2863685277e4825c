"""Intervals of the difference of a metric between two revisions: paired by user, or from two stored intervals."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from widedeep.columns import USER_ID
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.metrics import ABSOLUTE_ERROR, SQUARED_ERROR, N

ERRORS = {"rmse": SQUARED_ERROR, "mae": ABSOLUTE_ERROR}


def paired(old: pd.DataFrame, new: pd.DataFrame, metrics: Iterable[str], bootstrap: Bootstrap) -> dict[str, Estimate]:
    """new - old of each metric that both have by user, on the same resamples of users.

    Parameters
    ----------
    old, new : of `evaluate`, a row per test user: user_id, n (rows), `<knowledge>_squared_error` and
        `<knowledge>_absolute_error` (sums), `<knowledge>_<ranking metric>`, NaN for users it is not defined for
    metrics : flat names, `rating.<knowledge>.<name>` or `ranking.<knowledge>.<name>`

    Returns
    -------
    By metric; those are left out that the tables do not have for the same users, or that are no mean over rows or
    users. n of an estimate is users.
    """
    groups: dict[bytes, dict[str, tuple[pd.DataFrame, pd.DataFrame]]] = {}
    for metric in metrics:
        before, after = _terms(old, metric), _terms(new, metric)
        if len(before) and before.index.equals(after.index):
            groups.setdefault(before.index.to_numpy().tobytes(), {})[metric] = (before, after)
    differences = {}
    for group in groups.values():  # metrics of the same users share their resamples
        columns = [part.to_numpy().T for pair in group.values() for part in pair]
        sums = bootstrap.sums(np.concatenate(columns)).reshape(len(group), 2, 2, -1)
        for metric, ((above_old, below_old), (above_new, below_new)) in zip(group, sums, strict=True):
            means = above_old / below_old, above_new / below_new
            before, after = (np.sqrt(mean) for mean in means) if metric.endswith(".rmse") else means
            differences[metric] = bootstrap.estimate(after - before, len(group[metric][0]))
    return differences


def _terms(per_user: pd.DataFrame, metric: str) -> pd.DataFrame:
    """What a metric sums above and below its fraction line, by user it is defined for; empty if it is no such mean."""
    task, _, rest = metric.partition(".")
    knowledge, _, name = rest.partition(".")
    table = per_user.set_index(USER_ID)
    above, below = pd.Series(dtype=float), pd.Series(1.0, table.index)
    error = f"{knowledge}_{ERRORS.get(name.removeprefix('user_mean_'))}"
    if task == "ranking" and f"{knowledge}_{name}" in table:
        above = table[f"{knowledge}_{name}"]
    elif task == "rating" and error in table:
        above, below = table[error], table[N].astype(float)
        if name.startswith("user_mean_"):
            mean = above / below
            above, below = np.sqrt(mean) if name.endswith("rmse") else mean, pd.Series(1.0, table.index)
    return pd.DataFrame({"above": above, "below": below}).dropna()


def independent(old: Mapping[str, Any], new: Mapping[str, Any]) -> Estimate | None:
    """The interval of new - old from their own intervals, as if they were independent; None where they have none.

    Its half-widths are the roots of the sums of the squared half-widths (MOVER: Zou and Donner, "Construction of
    confidence limits about effect measures", Statistics in Medicine 2008). For two models on the same rows it is too
    wide, because their errors go together.

    Parameters
    ----------
    old, new : value, low, high and n, as in reports/metrics.json. low = high is no interval: of a number that is not
        a mean over users, as the coverage.
    """
    if not {"low", "high"} <= old.keys() & new.keys() or (old["low"] == old["high"] and new["low"] == new["high"]):
        return None
    value = new["value"] - old["value"]
    down = math.hypot(new["value"] - new["low"], old["high"] - old["value"])
    up = math.hypot(new["high"] - new["value"], old["value"] - old["low"])
    return Estimate(value, value - down, value + up, new.get("n", 0))
