"""RMSE by groups of rows, to show where a model is good and where it is not.

A slice is one way to group rows, such as by genre. A row may be in one group, in several groups, or in none.
Notation: N rows, I items, G genres, M pairs of a row and a group of the row.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from widedeep.evaluation.bootstrap import Bootstrap, Terms

NEW = "new"
ACTIVITY_BOUNDS = (1, 10, 50, 200)
POPULARITY_BOUNDS = (1, 5, 20, 100)


@dataclass(frozen=True)
class Slice:
    """One way to group rows. Row `rows[m]` belongs to group `groups[codes[m]]`.

    name : name of the slice
    groups : names of the groups in their natural order
    rows, codes : (M,) int64
    """

    name: str
    groups: tuple[str, ...]
    rows: NDArray[np.int64]
    codes: NDArray[np.int64]


def by_user_activity(counts: ArrayLike) -> Slice:
    """Group rows by the number of training ratings of their user: new, 1-9, 10-49, 50-199, 200+.

    counts : (N,) int64, this number for each row
    """
    return _by_count("user_activity", counts, ACTIVITY_BOUNDS)


def by_item_popularity(counts: ArrayLike) -> Slice:
    """Group rows by the number of training ratings of their item: new, 1-4, 5-19, 20-99, 100+.

    counts : (N,) int64, this number for each row
    """
    return _by_count("item_popularity", counts, POPULARITY_BOUNDS)


def by_genre(item: ArrayLike, item_genres: ArrayLike, names: Sequence[str]) -> Slice:
    """Group rows by the genres of their item, in the order of `names`. A row is in the group of each of these genres.

    Parameters
    ----------
    item : (N,) int64, the row of `item_genres` for the item
    item_genres : (I, G) bool
    names : names of the G genres
    """
    rows, codes = np.nonzero(np.asarray(item_genres, dtype=bool)[np.asarray(item)])
    return Slice("genre", tuple(names), rows, codes)


def by_month(timestamp: ArrayLike) -> Slice:
    """Group rows by calendar month in UTC, "YYYY-MM", in order of time.

    timestamp : (N,) int64, seconds since 1970-01-01 UTC
    """
    months = np.asarray(timestamp, dtype=np.int64).astype("datetime64[s]").astype("datetime64[M]")
    groups, codes = np.unique(months, return_inverse=True)
    return Slice("month", tuple(groups.astype(str).tolist()), np.arange(len(months)), codes)


def slice_metrics(
    slices: Iterable[Slice],
    user: ArrayLike,
    rating: ArrayLike,
    predictions: Mapping[str, ArrayLike],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Compute the RMSE of one or more models in every group of every slice.

    rmse = sqrt(mean (p - r)^2) over the rows of the group. The intervals resample the users who have rows in the group.
    All models of a group are computed on the same resamples.

    Parameters
    ----------
    user : (N,) ids
    rating : (N,) float32 or float64
    predictions : (N,) float32 or float64, by the name of the model

    Returns
    -------
    DataFrame [slice, group, model, n, users, rmse, low, high]. Slices and models are in the given order, groups in
    their natural order. n is the number of rows, users the number of distinct users. Empty groups are left out.

    Raises
    ------
    ValueError
        The arrays differ in length, or a rating or prediction is NaN or infinite.
    """
    rating = np.asarray(rating, dtype=np.float64)
    lengths = {np.shape(column) for column in (user, rating, *predictions.values())}
    if len(lengths) > 1:
        raise ValueError(f"user, rating and predictions must be vectors of one length. Got {sorted(lengths)}.")
    squared = np.stack([(np.asarray(predicted, np.float64) - rating) ** 2 for predicted in predictions.values()])
    user_code = pd.factorize(np.asarray(user), sort=True)[0]
    found = []
    for one in slices:
        for group, rows in _members(one):
            n = np.bincount(user_code[rows])
            there, users = n > 0, np.count_nonzero(n)
            count = n[there].astype(np.float64)
            sums = [np.bincount(user_code[rows], weights=error)[there].astype(np.float64) for error in squared[:, rows]]
            ratios = bootstrap.ratios([Terms(total, count, root=True) for total in sums])
            for model, ratio in zip(predictions, ratios, strict=True):
                rmse = bootstrap.estimate(ratio, len(rows), int(users))
                found.append((one.name, group, model, rmse.n, users, rmse.value, rmse.low, rmse.high))
    return pd.DataFrame(found, columns=["slice", "group", "model", "n", "users", "rmse", "low", "high"])


def _members(one: Slice) -> Iterable[tuple[str, NDArray[np.int64]]]:
    """Yield each group that has rows, with its rows."""
    order = np.argsort(one.codes, kind="stable")
    ends = np.cumsum(np.bincount(one.codes, minlength=len(one.groups)))[:-1]
    for group, rows in zip(one.groups, np.split(one.rows[order], ends), strict=True):
        if rows.size:
            yield group, rows


def _by_count(name: str, counts: ArrayLike, bounds: Sequence[int]) -> Slice:
    """Group counts into half-open ranges [bound, next bound). A count of 0 is in the group `NEW`."""
    closed = [f"{low}-{high - 1}" for low, high in itertools.pairwise(bounds)]
    codes = np.searchsorted(bounds, np.asarray(counts), side="right")
    return Slice(name, (NEW, *closed, f"{bounds[-1]}+"), np.arange(len(codes)), codes)
