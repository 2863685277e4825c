"""The results of the policies: each metric by window and over all updates, with intervals and differences."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from studies.drift.policies import RETRAIN, STALE, WARM_START, Judged, Scored
from studies.drift.reference import RIVER
from studies.drift.stream import Stream
from widedeep.columns import FROZEN, ONLINE, TIMESTAMP, USER_ID
from widedeep.evaluation.bootstrap import Bootstrap, Estimate, Terms
from widedeep.evaluation.metrics import ABSOLUTE_ERROR, SQUARED_ERROR, N
from widedeep.evaluation.rating import rating_metrics
from widedeep.evaluation.results import DECIMALS

POLICIES = (STALE, RETRAIN, WARM_START, RIVER)
PAIRS = ((WARM_START, RETRAIN), (STALE, RETRAIN), (WARM_START, STALE), (WARM_START, RIVER))
RMSE, MAE, FROZEN_RMSE, NDCG = "rmse", "mae", "frozen_rmse", "ndcg_at_10"
# The column of `Judged.per_user` that each metric sums up: errors over rows, ranking metrics over users.
METRICS = {
    RMSE: f"{ONLINE}_{SQUARED_ERROR}",
    MAE: f"{ONLINE}_{ABSOLUTE_ERROR}",
    FROZEN_RMSE: f"{FROZEN}_{SQUARED_ERROR}",
    NDCG: f"{FROZEN}_{NDCG}",
}

Pair = tuple[str, str]


@dataclass(frozen=True)
class Estimates:
    """The estimates of one metric.

    values : by policy
    differences : by pair of policies, the first minus the second on the same rows
    """

    values: Mapping[str, Estimate]
    differences: Mapping[Pair, Estimate]


@dataclass(frozen=True)
class Results:
    """The results of all policies.

    by_window : results.csv
    overall : estimates by metric over the windows after the first (in the first, all policies have the same model)
    seconds : seconds of training by policy, for the same windows
    whole : RMSE of River from the first rating to the last
    """

    by_window: pd.DataFrame
    overall: Mapping[str, Estimates]
    seconds: Mapping[str, float]
    whole: Estimate


def results(stream: Stream, judged: Sequence[Judged], bootstrap: Bootstrap) -> Results:
    """Estimate all metrics, with the 95 % intervals of a bootstrap over users."""
    sums = sums_by_user(judged)
    whole = sums[(sums["policy"] == RIVER) & (sums["metric"] == RMSE)]
    sums = sums[sums["window"] > 0]
    seconds = pd.Series({(one.window, one.policy): one.seconds for one in judged if one.window})
    dataset, rows = stream.tables.about.dataset, []
    for (window, metric), part in sums.groupby(["window", "metric"], sort=False):
        found = estimate(part, metric, bootstrap)
        for policy, value in found.values.items():
            row = {
                "dataset": dataset,
                "window": window,
                **_bounds(stream, window),
                "policy": policy,
            }
            row |= {"metric": metric, **value.as_dict(), "seconds": round(seconds[window, policy], 2)}
            if minus := found.differences.get((policy, RETRAIN)):
                row |= {"minus_retrain": minus.value, "minus_low": minus.low, "minus_high": minus.high}
            rows.append(row)
    later = sums[sums["window"] > 1].groupby("metric", sort=False)
    return Results(
        pd.DataFrame(rows).round(DECIMALS),
        {str(metric): estimate(part, str(metric), bootstrap) for metric, part in later},
        seconds.drop(1, level=0).groupby(level=1).sum().to_dict(),
        estimate(whole, RMSE, bootstrap).values[RIVER],
    )


def sums_by_user(judged: Iterable[Judged]) -> pd.DataFrame:
    """Collect the sums by user that make each metric.

    Returns
    -------
    DataFrame [window, policy, metric, user_id, above, below]. A metric is the sum of above / the sum of below, and for
    RMSE the root of this.
    """
    parts = []
    for one in judged:
        for metric, column in METRICS.items():
            if column in one.per_user:
                table = one.per_user.dropna(subset=column)
                part = pd.DataFrame({USER_ID: table[USER_ID], "above": table[column]})
                part["below"] = table[N].astype(float) if column.endswith("_error") else 1.0
                parts.append(part.assign(window=one.window, policy=one.policy, metric=metric))
    return pd.concat(parts, ignore_index=True)


def estimate(sums: pd.DataFrame, metric: str, bootstrap: Bootstrap) -> Estimates:
    """Estimate one metric from its rows of `sums_by_user`."""
    values, below = {}, {}
    for policy, part in sums.groupby("policy", sort=False):
        by_user = part.groupby(USER_ID)[["above", "below"]].sum()
        above, n = by_user.to_numpy(np.float64).T
        (values[str(policy)],) = bootstrap.ratios([Terms(above, n, root=metric.endswith(RMSE))])
        below[str(policy)] = by_user["below"]
    pairs = [pair for pair in PAIRS if set(pair) <= set(values)]
    for one, other in pairs:
        if not below[one].equals(below[other]):
            raise ValueError(f"{one} and {other} were not judged on the same rows.")
    n_of = {policy: (int(n.sum()), len(n)) for policy, n in below.items()}  # rows and users
    return Estimates(
        {policy: bootstrap.estimate(values[policy], *n_of[policy]) for policy in POLICIES if policy in values},
        {(one, other): bootstrap.estimate(values[one] - values[other], *n_of[one]) for one, other in pairs},
    )


def matrix(stream: Stream, scored: Iterable[Scored], bootstrap: Bootstrap) -> pd.DataFrame:
    """Make matrix.csv: the RMSE of each model of `retrain` on its own window and on all later ones."""
    rows = []
    for one in scored:
        estimate = rating_metrics(one.per_user, bootstrap)[RMSE]
        where = {"dataset": stream.tables.about.dataset, "trained_before": one.trained_before, "window": one.window}
        rows.append(where | {"metric": RMSE, **estimate.as_dict()})
    return pd.DataFrame(rows).round(DECIMALS)


def _bounds(stream: Stream, window: int) -> dict[str, str]:
    """Return the first second of the window and of the next one, in UTC. The last window ends with its last second."""
    ends = [*stream.starts.tolist(), stream.tables.ratings[TIMESTAMP][-1].as_py()]
    start, end = (datetime.fromtimestamp(ends[place], UTC) for place in (window - 1, window))
    return {"start": f"{start:%Y-%m-%dT%H:%M:%SZ}", "end": f"{end:%Y-%m-%dT%H:%M:%SZ}"}
