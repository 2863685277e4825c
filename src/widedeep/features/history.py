"""Compute the history of each rating: what was known of its user and item before.

Each mean is of residuals, so that a user who rates good items does not appear to be a generous user. Each mean is
damped towards 0, so that the mean of one rating counts less than the mean of a hundred (Koren 2010, "Factor in the
Neighbors", sec. 2.1):

    item_mean           b_i = sum(r - mu) / (n_i + item_damping)
    user_mean           b_u = sum(r - mu - b_i) / (n_u + user_damping)
    user_recent_k_mean  b_u over the ratings of the last k seconds in which the user rated: taste changes
    user_nearby_k_mean  b_u over the k ratings of the user before the row and the k after it, without its own
    user_genre_mean     mean over the item's genres g of sum(r - mu - b_i - b_u) / (n_ug + genre_damping)

The sums run over the ratings that the row may see. In a sum, b_i and b_u are those at the time of each rating, and mu
is the mean of the training ratings. There is one exception: out of fold, the b_u of another rating of the user was
computed with the label of the row, so user_genre_mean uses the b_u of the row. Residuals are integers, in units of
1 / `UNIT` rating points, so sums do not depend on the order of the rows.

The rows of a key are brought together by one stable sort. Then a sum over earlier rows is the difference of two
running sums, so the time does not depend on how many rows a user or an item has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from widedeep.features.spec import UNIT, Damping, Kind, window_columns

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK = 2**22  # pairs of a row and a genre that are in memory at once


class Ratings(NamedTuple):
    """N ratings, in the order of time.

    user, item : (N,) integers from 0
    rating : (N,) float32
    timestamp : (N,) int64; all -1 without timestamps
    fold : (N,) integers from 0; only read out of fold
    """

    user: NDArray[Any]
    item: NDArray[Any]
    rating: NDArray[np.float32]
    timestamp: Integers
    fold: NDArray[Any]

    def part(self, kept: NDArray[np.bool_]) -> Self:
        if kept.all():
            return self
        return type(self)(self.user[kept], self.item[kept], self.rating[kept], self.timestamp[kept], self.fold[kept])


class Lists(NamedTuple):
    """The genres of each item: those of item i are value[start[i] : start[i + 1]], integers from 0."""

    start: Integers
    value: NDArray[Any]


class Residuals(NamedTuple):
    """What is left of N ratings after some means are taken away: (N,) int64, in units of 1 / `UNIT` rating points.

    item : r - mu, which is summed up by item
    user : r - mu - b_i, which is summed up by user
    genre : r - mu - b_i - b_u, which is summed up by user and genre
    """

    item: Integers
    user: Integers
    genre: Integers


def history(
    ratings: Ratings, genres: Lists, mean: float, damping: Damping, kind: Kind, recent: tuple[int, ...]
) -> tuple[dict[str, NDArray[Any]], Residuals]:
    """Compute the history of every rating. Recency is seconds since the last visible rating, or -1.

    Parameters
    ----------
    genres : of each item
    mean : mean of the training ratings
    damping : damping of the means
    kind : "point_in_time": a row sees the ratings strictly before its own second. "out_of_fold": a row sees the ratings
        of the other folds.
    recent : windows of the recent means, in seconds with ratings of the user

    Returns
    -------
    columns : the `history_columns` without the means of `nearby`: (N,) int64 or float32, by name
    residuals : of the ratings themselves
    """
    timed = kind == "point_in_time"
    columns: dict[str, NDArray[Any]] = {}

    def known(key: str, codes: NDArray[Any], value: Integers, weight: float) -> tuple[Earlier | OtherFolds, Floats]:
        """Fill the columns of users or of items. Return what was visible, and the mean."""
        seen: Earlier | OtherFolds = Earlier.of(codes, ratings.timestamp) if timed else OtherFolds(codes, ratings.fold)
        count = seen.count
        mean_seen = _damped(seen.total(value), count, weight)
        columns[f"{key}_count"], columns[f"{key}_mean"] = count, mean_seen.astype(np.float32)
        if isinstance(seen, Earlier):
            columns[f"{key}_recency"] = seen.recency(ratings.timestamp)
        return seen, mean_seen

    of_item = _integer((ratings.rating.astype(np.float64) - mean) * UNIT)
    _, item_mean = known("item", ratings.item, of_item, damping.item)
    of_user = of_item - _integer(item_mean * UNIT)
    del item_mean
    by_user, user_mean = known("user", ratings.user, of_user, damping.user)
    of_genre = of_user - _integer(user_mean * UNIT)
    if isinstance(by_user, Earlier):
        for size in recent:
            count, total = by_user.recent(of_user, size)
            columns[f"user_recent_{size}_mean"] = _damped(total, count, damping.user).astype(np.float32)
    order = by_user.order if isinstance(by_user, Earlier) else np.argsort(ratings.user, kind="stable")
    del by_user
    count_of_genres, genre_mean = np.empty(len(order), np.float32), np.empty(len(order), np.float32)
    for part, row, genre in _pairs(ratings, genres, order):
        key = ratings.user[part][row].astype(np.int64) * (int(genres.value.max(initial=0)) + 1) + genre
        part_row = part[row]
        if timed:
            earlier = Earlier.of(key, ratings.timestamp[part_row])
            count, total = earlier.count, earlier.total(of_genre[part_row])
        else:
            others = OtherFolds(np.unique(key, return_inverse=True)[1], ratings.fold[part_row])
            count = others.count
            total = others.total(of_user[part_row]) - count * _integer(user_mean[part_row] * UNIT)
        mean_of = _integer(_damped(total, count, damping.genre) * UNIT)
        n = np.bincount(row, minlength=len(part))
        has = np.maximum(n, 1)
        count_of_genres[part] = _summed(row, count, len(part)) / has
        genre_mean[part] = _summed(row, mean_of, len(part)) / has / UNIT
    columns |= {"user_genre_count": count_of_genres, "user_genre_mean": genre_mean}
    return columns, Residuals(of_item, of_user, of_genre)


def nearby(
    ratings: Ratings, training: NDArray[np.bool_], residual: Integers, recent: tuple[int, ...], damping: Damping
) -> dict[str, NDArray[np.float32]]:
    """Compute the means user_nearby_k_mean of every rating, over training ratings only.

    Parameters
    ----------
    ratings : of all splits; those of the same second in the order of the item
    training : (N,) bool
    residual : the residuals `Residuals.user` of the training ratings, in their order
    recent : numbers of ratings on each side of the row
    damping : damping of the means

    Returns
    -------
    (N,) float32 by name, for each k in `recent`
    """
    order = np.argsort(ratings.user, kind="stable")
    user, own = ratings.user[order], training[order]
    value = np.zeros(len(order), np.int64)
    value[training] = residual
    running = np.append(0, np.cumsum(value[order][own]))
    place = np.append(0, np.cumsum(own))  # number of training ratings, of any user, before each row
    first, last = place[np.searchsorted(user, user)], place[np.searchsorted(user, user, side="right")]
    place, columns = place[:-1], {}
    for name, size in zip(window_columns("out_of_fold", recent), recent, strict=True):
        low, high = np.maximum(place - size, first), np.minimum(place + size + own, last)
        total = running[high] - running[low] - value[order]
        columns[name] = np.empty(len(order), np.float32)
        columns[name][order] = _damped(total, high - low - own, damping.user)
    return columns


@dataclass(frozen=True)
class Sums:
    """Sums by user or item after training: (n,) int64 each.

    count : number of ratings
    total : sum of their residuals, in units of 1 / `UNIT` rating points
    last : last timestamp; -1 without a rating
    """

    count: Integers
    total: Integers
    last: Integers


def sums(key: NDArray[Any], timestamp: Integers, residual: Integers, n: int) -> Sums:
    """Sum up training ratings (M,) by the key, an integer in [0, n)."""
    last = np.full(n, -1, np.int64)
    np.maximum.at(last, key, timestamp)
    return Sums(np.bincount(key, minlength=n), _summed(key, residual, n), last)


def genre_sums(
    user: NDArray[Any], item: NDArray[Any], genres: Lists, residual: Integers, n: int, n_genres: int
) -> tuple[Integers, Integers]:
    """Count the training ratings (M,) of each user in each genre, and sum up their residuals: both (n, n_genres)."""
    count, total = (np.zeros(n * n_genres, np.int64) for _ in range(2))
    for start in range(0, len(user), BLOCK // 4):
        part = slice(start, start + BLOCK // 4)
        row, genre = _expanded(genres, item[part])
        key = user[part][row].astype(np.int64) * n_genres + genre
        np.add.at(count, key, 1)
        np.add.at(total, key, residual[part][row])
    return count.reshape(n, n_genres), total.reshape(n, n_genres)


def last_moments(
    user: NDArray[Any], timestamp: Integers, residual: Integers, n: int, most: int
) -> tuple[Integers, Integers]:
    """Count the training ratings (M,) of each user in each of the last `most` seconds in which the user rated.

    Returns
    -------
    their number and the sum of their residuals, (n, most) each; place 0 is the latest second
    """
    earlier = Earlier.of(user, timestamp)
    first = np.flatnonzero(earlier.until == np.arange(len(user)))  # the first rating of each moment
    owner = user[earlier.order[first]]
    place = np.searchsorted(owner, owner, side="right") - 1 - np.arange(len(owner))
    kept = place < most
    count, total = (np.zeros((n, most), np.int64) for _ in range(2))
    if len(first):
        count[owner[kept], place[kept]] = np.diff(np.append(first, len(user)))[kept]
        total[owner[kept], place[kept]] = np.add.reduceat(residual[earlier.order], first)[kept]
    return count, total


@dataclass(frozen=True)
class Earlier:
    """Which rows have the same key and are from an earlier second. The rows are in the order of time.

    The rows in `order` are sorted by key, then by time. For each of these:

    start : place of the first row with the same key
    until : place of the first row with the same key and second. So the earlier rows are those in [start, until).
    """

    order: Integers
    start: Integers
    until: Integers

    @classmethod
    def of(cls, key: NDArray[Any], timestamp: Integers) -> Self:
        # A radix sort, which numpy has for 16 bits only, is several times faster than the one for wider integers.
        narrow = len(key) and key.max() < 2**16
        order = np.argsort(key.astype(np.uint16) if narrow else key, kind="stable")
        key, timestamp = key[order], timestamp[order]
        first = np.append(True, key[1:] != key[:-1])[: len(key)]
        start = _latest(first)
        first[1:] |= timestamp[1:] != timestamp[:-1]
        return cls(order, start, _latest(first))

    @cached_property
    def count(self) -> Integers:
        return self._back(self.until - self.start)

    def total(self, value: Integers) -> Integers:
        """Sum up `value` over the earlier rows."""
        running = np.append(0, np.cumsum(value[self.order]))
        return self._back(running[self.until] - running[self.start])

    def recency(self, timestamp: Integers) -> Integers:
        """Return the seconds since the latest earlier row, or -1."""
        time = timestamp[self.order]
        return self._back(np.where(self.until > self.start, time - time[self.until - 1], -1))

    def recent(self, value: Integers, size: int) -> tuple[Integers, Integers]:
        """Count the rows of the last `size` earlier seconds of the key, and sum up `value` over them."""
        begins = self.until == np.arange(len(self.until))
        moments, moment = np.flatnonzero(begins), np.cumsum(begins) - 1
        low = moments[np.maximum(moment - size, moment[self.start])]
        running = np.append(0, np.cumsum(value[self.order]))
        return self._back(self.until - low), self._back(running[self.until] - running[low])

    def _back(self, values: Integers) -> Integers:
        """Bring values into the order in which the rows were given."""
        result = np.empty_like(values)
        result[self.order] = values
        return result


class OtherFolds:
    """Which rows have the same key, an integer from 0, and another fold."""

    def __init__(self, key: NDArray[Any], fold: NDArray[Any]) -> None:
        self.key = key
        self.key_and_fold = key.astype(np.int64) * (int(fold.max(initial=0)) + 1) + fold

    @property
    def count(self) -> Integers:
        every, own = (np.bincount(key)[key] for key in (self.key, self.key_and_fold))
        others: Integers = every - own
        return others

    def total(self, value: Integers) -> Integers:
        """Sum up `value` over these rows."""
        every, own = (_summed(key, value, int(key.max(initial=-1)) + 1)[key] for key in (self.key, self.key_and_fold))
        others: Integers = every - own
        return others


def _pairs(ratings: Ratings, genres: Lists, order: Integers) -> Iterator[tuple[Integers, Integers, NDArray[Any]]]:
    """Yield the ratings of some users at a time, each with its genres: about `BLOCK` pairs, or those of one user.

    order : the rows, sorted by user, then by time

    Yields
    ------
    the rows, then for each pair the place of its rating among these rows, and its genre
    """
    user = ratings.user[order]
    ends = np.append(np.flatnonzero(user[1:] != user[:-1]) + 1, len(user))
    pairs = np.cumsum(np.diff(genres.start)[ratings.item[order]])[ends - 1] if len(user) else ends
    start = first = 0
    while start < len(order):
        limit = (pairs[first - 1] if first else 0) + BLOCK
        following = max(int(np.searchsorted(pairs, limit, side="right")), first + 1)
        end = int(ends[following - 1])
        part = np.sort(order[start:end])
        yield part, *_expanded(genres, ratings.item[part])
        start, first = end, following


def _expanded(genres: Lists, item: NDArray[Any]) -> tuple[Integers, NDArray[Any]]:
    """Return a pair for each genre of each item (N,): the place of the item, and the genre."""
    count = np.diff(genres.start)[item]
    row = np.repeat(np.arange(len(item)), count)
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    return row, genres.value[genres.start[item][row] + within]


def _latest(first: NDArray[np.bool_]) -> Integers:
    """Return for each row the place of the latest row, itself included, that is `first`."""
    places: Integers = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
    return places


def _summed(key: NDArray[Any], value: Integers, n: int) -> Integers:
    """Sum up integers by their key. Float64 is exact for these sums, which are far below 2^53."""
    total: Integers = np.bincount(key, weights=value, minlength=n).astype(np.int64)
    return total


def _damped(total: Integers, count: Integers, damping: float) -> Floats:
    weight = count + damping
    mean: Floats = total / UNIT / np.where(weight > 0, weight, 1)
    mean[weight <= 0] = 0
    return mean


def _integer(value: Floats) -> Integers:
    """Round to the nearest integer, halves away from 0."""
    whole = np.trunc(value)
    return (whole + np.where(np.abs(value - whole) >= 0.5, np.sign(value), 0)).astype(np.int64)
