"""How far predicted ratings are from the given ones: RMSE, MAE and calibration.

Notation: N rows (one rating each), U users, r the rating and p the prediction, in stars or points of the data set.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from widedeep.columns import USER_ID
from widedeep.evaluation.bootstrap import Bootstrap, Estimate

SQUARED_ERROR = "squared_error"
ABSOLUTE_ERROR = "absolute_error"
N = "n"


def per_user_errors(user: ArrayLike, rating: ArrayLike, predicted: ArrayLike) -> pd.DataFrame:
    """Sums of errors by user: what every rating metric, and the comparison of two commits, needs.

    Parameters
    ----------
    user : (N,) ids, int64 or str
    rating, predicted : (N,) float32 or float64

    Returns
    -------
    DataFrame with a row per user, ordered by user_id (as in `user`): squared_error = sum (p - r)^2 and absolute_error =
    sum |p - r| (float64), n = number of rows (int64, at least 1).

    Raises
    ------
    ValueError
        The arrays differ in length, are empty, or hold NaN or infinity.
    """
    user = np.asarray(user)
    rating, predicted = _paired(rating, predicted)
    if user.shape != rating.shape:
        raise ValueError(f"user and rating must have the same length. Got {user.shape} and {rating.shape}.")
    error = predicted - rating
    users, code = np.unique(user, return_inverse=True)
    return pd.DataFrame(
        {
            USER_ID: users,
            SQUARED_ERROR: np.bincount(code, weights=error**2),
            ABSOLUTE_ERROR: np.bincount(code, weights=np.abs(error)),
            N: np.bincount(code),
        }
    )


def rating_metrics(per_user: pd.DataFrame, bootstrap: Bootstrap) -> dict[str, Estimate]:
    """Global errors and means of the users' own errors, from the table of `per_user_errors`.

    With S_u and A_u the sums of squared and absolute errors of user u over n_u rows:

    - rmse = sqrt(sum_u S_u / sum_u n_u) and mae = sum_u A_u / sum_u n_u: every row counts the same; n is rows.
    - user_mean_rmse = mean_u sqrt(S_u / n_u) and user_mean_mae = mean_u A_u / n_u: every user counts the same; n is
      users.

    All are in the unit of the ratings, in [0, inf), lower is better. See Herlocker et al., "Evaluating collaborative
    filtering recommender systems", TOIS 2004.

    Raises
    ------
    ValueError
        The table is empty.
    """
    squared, absolute, n = (per_user[column].to_numpy(np.float64) for column in (SQUARED_ERROR, ABSOLUTE_ERROR, N))
    sums = bootstrap.sums([squared, absolute, n, np.sqrt(squared / n), absolute / n])
    squared_sum, absolute_sum, n_sum, user_rmse_sum, user_mae_sum = sums
    rows, users = int(per_user[N].sum()), len(per_user)
    return {
        "rmse": bootstrap.estimate(np.sqrt(squared_sum / n_sum), rows),
        "mae": bootstrap.estimate(absolute_sum / n_sum, rows),
        "user_mean_rmse": bootstrap.estimate(user_rmse_sum / users, users),
        "user_mean_mae": bootstrap.estimate(user_mae_sum / users, users),
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
    if not (np.array_equal(a[USER_ID], b[USER_ID]) and np.array_equal(a[N], b[N])):
        raise ValueError("Paired comparison needs the same rows: users or their numbers of rows differ.")
    squared_a, squared_b, n = bootstrap.sums([a[SQUARED_ERROR], b[SQUARED_ERROR], a[N]])
    return bootstrap.estimate(np.sqrt(squared_a / n) - np.sqrt(squared_b / n), int(a[N].sum()))


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
