"""How far predicted ratings are from the given ones: RMSE, MAE and calibration.

Notation: N rows (one rating each), U users, r the rating and p the prediction, in stars or points of the data set.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from widedeep.columns import USER
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.metrics import METRICS, RATING_TASK, N, of_task


def per_user_errors(user: ArrayLike, rating: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Sum up by user what the rating metrics need, and the comparison of two commits.

    Parameters
    ----------
    user : (N,) ids
    rating, predicted : (N,) float32 or float64

    Returns
    -------
    DataFrame with a row per user, ordered by user_id: squared_error = sum (p - r)^2 and absolute_error = sum |p - r|
    (float64), and the like of other rating metrics of the registry; n = number of rows (int64, at least 1).

    Raises
    ------
    ValueError
        The arrays differ in length, are empty, or hold NaN or infinity.
    """
    user = np.asarray(user)
    rating, predicted = _paired(rating, predicted)
    if user.shape != rating.shape:
        raise ValueError(f"user and rating must have the same length. Got {user.shape} and {rating.shape}.")
    code, users = pd.factorize(user, sort=True)
    of_row = {metric.column: metric.of_row for metric in of_task(RATING_TASK) if metric.of_row}
    sums = {
        column: np.bincount(code, weights=amount(rating, predicted).astype(np.float64))
        for column, amount in of_row.items()
    }
    return pd.DataFrame({USER: users, **sums, N: np.bincount(code)})


def rating_metrics(per_user: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Every rating metric of the registry, from the table of `per_user_errors`. n is the rows of a mean over rows, and
    the users of a mean over users.

    Raises
    ------
    ValueError
        The table is empty.
    """
    metrics = of_task(RATING_TASK)
    n = per_user[N].to_numpy(np.float64)
    terms = [metric.terms(per_user[metric.column].to_numpy(np.float64), n) for metric in metrics]
    return {
        metric.name: bootstrap.estimate(ratio, int(below.sum()))
        for metric, ratio, (_, below, _) in zip(metrics, bootstrap.ratios(terms), terms, strict=True)
    }


def rmse_difference(a: pd.DataFrame, b: pd.DataFrame, bootstrap: Bootstrap) -> Estimate:
    """rmse_a - rmse_b of two models on the same rows, paired: both are computed on the same resampled users.

    Below 0 means that `a` is better; an interval without 0 means that the data tell them apart. n is rows. `a` and `b`
    are tables of `per_user_errors`.

    Raises
    ------
    ValueError
        The tables are empty or do not have the same users with the same numbers of rows.
    """
    if not (np.array_equal(a[USER], b[USER]) and np.array_equal(a[N], b[N])):
        raise ValueError("Paired comparison needs the same rows: users or their numbers of rows differ.")
    rmse, n = METRICS["rmse"], a[N].to_numpy(np.float64)
    ratio_a, ratio_b = bootstrap.ratios([rmse.terms(table[rmse.column].to_numpy(np.float64), n) for table in (a, b)])
    return bootstrap.estimate(ratio_a - ratio_b, int(n.sum()))


def calibration(predicted: ArrayLike, rating: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Whether ratings average to what was predicted, by quantile bins of the prediction.

    Bins are half-open intervals (previous edge, edge], where the edges are the 1/bins, 2/bins, ... quantiles of the
    predictions. Equal predictions share a bin, so there may be fewer than `bins`, of unequal size; none is empty.

    Parameters
    ----------
    predicted, rating : (N,) float32 or float64
    bins : at least 1

    Returns
    -------
    DataFrame with a row per bin, in rising order: mean_predicted, mean_rating (float64), n (int64). A calibrated
    model has mean_predicted = mean_rating up to noise.

    Raises
    ------
    ValueError
        The arrays differ in length, are empty, or hold NaN or infinity; `bins` is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be an int in the range [1, inf). Got {bins} instead.")
    rating, predicted = _paired(rating, predicted)
    # Edges that are themselves predictions, as the inverted CDF gives, leave no bin before the last one empty.
    edges = np.unique(np.quantile(predicted, np.arange(1, bins) / bins, method="inverted_cdf"))
    used, code = np.unique(np.searchsorted(edges, predicted, side="left"), return_inverse=True)
    n = np.bincount(code, minlength=len(used))
    return pd.DataFrame(
        {
            "mean_predicted": np.bincount(code, weights=predicted) / n,
            "mean_rating": np.bincount(code, weights=rating) / n,
            N: n,
        }
    )


def _paired(rating: ArrayLike, predicted: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rating, predicted = np.asarray(rating, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if rating.ndim != 1 or rating.shape != predicted.shape:
        raise ValueError(
            f"rating and predicted must be vectors of one length. Got {rating.shape} and {predicted.shape}."
        )
    if rating.size == 0:
        raise ValueError("There are no rows: a metric of nothing is not defined.")
    if not (np.isfinite(rating).all() and np.isfinite(predicted).all()):
        raise ValueError("rating and predicted must hold finite numbers only. Got NaN or infinity.")
    return rating, predicted
