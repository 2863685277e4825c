"""Metrics by groups of rows, to show where a model is good and where it is not.

A slice is one way to group rows, such as by genre. A row may be in one group, in several groups, or in none.
A row is a test rating or a list. Notation: N rows, I items, G genres, M pairs of a row and a group of the row.
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
KNOWN_BOUNDS = (0, 1, 3, 5, 10, 20)


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


def by_known_ratings(counts: ArrayLike) -> Slice:
    """Group rows by the number of ratings that their user gave before: 0, 1-2, 3-4, 5-9, 10-19, 20+.

    counts : (N,) int64, this number for each row
    """
    return _by_count("known_ratings", counts, KNOWN_BOUNDS)


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
    squared = {model: (np.asarray(predicted, np.float64) - rating) ** 2 for model, predicted in predictions.items()}
    tables = [group_means(one, user, squared, bootstrap, root=True).assign(slice=one.name) for one in slices]
    columns = ["slice", "group", "model", "n", "users", "rmse", "low", "high"]
    return pd.concat(tables, ignore_index=True).rename(columns={"value": "rmse"})[columns]


def group_means(
    one: Slice,
    user: ArrayLike,
    amounts: Mapping[str, NDArray[np.float64]],
    bootstrap: Bootstrap,
    root: bool = False,
) -> pd.DataFrame:
    """Compute the mean of the amounts (N,) of each model in every group of a slice, or the root of that mean.

    The intervals resample the users (N,) who have rows in the group, as in `slice_metrics`.

    Returns
    -------
    DataFrame [group, model, n, users, value, low, high], in the order of `slice_metrics`
    """
    user_code = pd.factorize(np.asarray(user), sort=True)[0]
    found = []
    for group, rows in _members(one):
        n = np.bincount(user_code[rows])
        there, users = n > 0, np.count_nonzero(n)
        count = n[there].astype(np.float64)
        sums = [np.bincount(user_code[rows], weights=own[rows])[there].astype(np.float64) for own in amounts.values()]
        ratios = bootstrap.ratios([Terms(total, count, root) for total in sums])
        for model, ratio in zip(amounts, ratios, strict=True):
            mean = bootstrap.estimate(ratio, len(rows), int(users))
            found.append((group, model, mean.n, users, mean.value, mean.low, mean.high))
    return pd.DataFrame(found, columns=["group", "model", "n", "users", "value", "low", "high"])


def _members(one: Slice) -> Iterable[tuple[str, NDArray[np.int64]]]:
    """Yield each group that has rows, with its rows."""
    order = np.argsort(one.codes, kind="stable")
    ends = np.cumsum(np.bincount(one.codes, minlength=len(one.groups)))[:-1]
    for group, rows in zip(one.groups, np.split(one.rows[order], ends), strict=True):
        if rows.size:
            yield group, rows


def _by_count(name: str, counts: ArrayLike, bounds: Sequence[int]) -> Slice:
    """Group counts into half-open ranges [bound, next bound). A count below the first bound is in the group `NEW`."""
    closed = [str(low) if high == low + 1 else f"{low}-{high - 1}" for low, high in itertools.pairwise(bounds)]
    codes = np.searchsorted(bounds, np.asarray(counts), side="right")
    return Slice(name, (NEW, *closed, f"{bounds[-1]}+"), np.arange(len(codes)), codes)
