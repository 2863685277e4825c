"""Metrics of predicted ratings: errors and calibration.

Notation: N rows (one rating each), U users. r is the rating and p the prediction, both in points of the rating scale.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from widedeep.columns import USER_ID
from widedeep.evaluation.bootstrap import Bootstrap, Estimate
from widedeep.evaluation.metrics import METRICS, RATING_TASK, N, of_task


def per_user_errors(user: ArrayLike, rating: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Sum up the errors by user. The rating metrics and the comparison of two commits are computed from these sums.

    Parameters
    ----------
    user : (N,) ids
    rating, predicted : (N,) float32 or float64

    Returns
    -------
    DataFrame with a row per user, ordered by user_id. Its columns:
        squared_error : float64, sum (p - r)^2
        absolute_error : float64, sum |p - r|
        n : int64, number of rows, at least 1
    A rating metric of the registry with another `column` adds that column.

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
    return pd.DataFrame({USER_ID: users, **sums, N: np.bincount(code)})


def rating_metrics(per_user: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Estimate every rating metric of the registry from a table of `per_user_errors`.

    Raises
    ------
    ValueError
        The table is empty.
    """
    metrics = of_task(RATING_TASK)
    n = per_user[N].to_numpy(np.float64)
    terms = [metric.terms(per_user[metric.column].to_numpy(np.float64), n) for metric in metrics]
    return {
        metric.name: bootstrap.estimate(ratio, int(below.sum()), len(per_user))
        for metric, ratio, (_, below, _) in zip(metrics, bootstrap.ratios(terms), terms, strict=True)
    }


def rmse_difference(a: pd.DataFrame, b: pd.DataFrame, bootstrap: Bootstrap) -> Estimate:
    """Estimate rmse_a - rmse_b of two models on the same rows. The interval is paired: both use the same resamples.

    Below 0, `a` is better. If the interval does not hold 0, there is evidence of a difference. n is the number of rows.
    `a` and `b` are tables of `per_user_errors`.

    Raises
    ------
    ValueError
        The tables are empty or do not have the same users with the same numbers of rows.
    """
    if not (np.array_equal(a[USER_ID], b[USER_ID]) and np.array_equal(a[N], b[N])):
        raise ValueError("A paired comparison needs the same rows. The users or their numbers of rows differ.")
    rmse, n = METRICS["rmse"], a[N].to_numpy(np.float64)
    ratio_a, ratio_b = bootstrap.ratios([rmse.terms(table[rmse.column].to_numpy(np.float64), n) for table in (a, b)])
    return bootstrap.estimate(ratio_a - ratio_b, int(n.sum()), len(n))


def calibration(predicted: ArrayLike, rating: ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Compare the mean rating with the mean prediction, in bins of the prediction.

    The edges are the 1/bins, 2/bins, ... quantiles of the predictions. A bin is the half-open interval (previous edge,
    edge]. Equal predictions share a bin. So there may be fewer bins than `bins`, and they may have unequal sizes. No
    bin is empty.

    Parameters
    ----------
    predicted, rating : (N,) float32 or float64
    bins : at least 1

    Returns
    -------
    DataFrame with a row per bin, in rising order: mean_predicted (float64), mean_rating (float64), n (int64). For a
    calibrated model, mean_predicted and mean_rating are equal but for noise.

    Raises
    ------
    ValueError
        The arrays differ in length, are empty, or hold NaN or infinity; `bins` is below 1.
    """
    if bins < 1:
        raise ValueError(f"bins must be an int in the range [1, inf). Got {bins} instead.")
    rating, predicted = _paired(rating, predicted)
    # With the inverted CDF the edges are predictions themselves, so no bin before the last one is empty.
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
        raise ValueError("There are no rows. A metric needs at least one.")
    if not (np.isfinite(rating).all() and np.isfinite(predicted).all()):
        raise ValueError("rating and predicted must hold finite numbers only. Got NaN or infinity.")
    return rating, predicted
