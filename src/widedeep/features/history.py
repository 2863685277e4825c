"""Compute the history of each rating: what was known of its user and item before. Written with Ibis.

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
1 / `UNIT` rating points, so sums do not depend on the order of the rows or the number of threads.
"""

import ibis
import ibis.expr.types as ir

from widedeep.columns import ITEM, RATING, SPLIT, TIMESTAMP, TRAIN, USER
from widedeep.features.spec import UNIT, Damping, Kind, history_columns, window_columns

ROW = "row"
FOLD = "fold"


def history(
    ratings: ir.Table, item_genres: ir.Table, mean: float, damping: Damping, kind: Kind, recent: tuple[int, ...]
) -> ir.Table:
    """Compute the history of every row of `ratings`. Recency is seconds since the last visible rating, or -1.

    Parameters
    ----------
    ratings : row, user, item, rating, timestamp, split and fold
    item_genres : one row per item and genre
    mean : mean of the training ratings
    damping : damping of the means
    kind : "point_in_time": a row sees the ratings strictly before its own second. "out_of_fold": a row sees the ratings
        of the other folds.
    recent : windows of the recent means, in seconds with ratings of the user

    Returns
    -------
    row, user, item, timestamp, split, the `history_columns` without the means of `nearby`, and the residuals of the
    row itself in units of 1 / `UNIT`: item_residual (r - mu), user_residual (r - mu - b_i) and genre_residual
    (r - mu - b_i - b_u)
    """
    table = ratings.mutate(item_residual=_integer((ratings[RATING].cast("float64") - mean) * UNIT))
    count, total = _visible(table, [ITEM], table.item_residual, kind)
    table = table.mutate(item_count=count, item_mean=_damped(total, count, damping.item))
    table = table.mutate(user_residual=table.item_residual - _integer(table.item_mean * UNIT))
    count, total = _visible(table, [USER], table.user_residual, kind)
    table = table.mutate(user_count=count, user_mean=_damped(total, count, damping.user))
    table = table.mutate(genre_residual=table.user_residual - _integer(table.user_mean * UNIT))
    if kind == "point_in_time":
        table = table.mutate(user_recency=_recency(table, USER), item_recency=_recency(table, ITEM))
        table = _with_recent_means(table, recent, damping.user)

    summed = "genre_residual" if kind == "point_in_time" else "user_residual"
    by_genre = table.select(ROW, USER, ITEM, TIMESTAMP, FOLD, summed, "user_mean").join(item_genres, ITEM)
    count, total = _visible(by_genre, [USER, "genre"], by_genre[summed], kind)
    if kind == "out_of_fold":
        total = total - count * _integer(by_genre.user_mean * UNIT)
    by_genre = by_genre.mutate(n=count, mean=_integer(_damped(total, count, damping.genre) * UNIT))
    of_row = by_genre.group_by(ROW).aggregate(
        user_genre_count=by_genre.n.sum().cast("float64") / by_genre.count(),
        user_genre_mean=by_genre["mean"].sum().cast("float64") / by_genre.count() / UNIT,
    )
    table = table.left_join(of_row, ROW).drop(f"{ROW}_right")
    table = table.mutate(
        user_genre_count=table.user_genre_count.fill_null(0.0), user_genre_mean=table.user_genre_mean.fill_null(0.0)
    )
    residuals = ("item_residual", "user_residual", "genre_residual")
    columns = history_columns(kind, recent if kind == "point_in_time" else ())
    return table.select(ROW, USER, ITEM, TIMESTAMP, SPLIT, *columns, *residuals)


def nearby(ratings: ir.Table, before: ir.Table, recent: tuple[int, ...], damping: Damping) -> ir.Table:
    """Compute the means user_nearby_k_mean of every row of `ratings`, over training ratings only.

    Ratings of the same second are in the order of the item.

    Parameters
    ----------
    ratings : row, user, item and timestamp of all splits
    before : the result of `history` for the training rows
    recent : numbers of ratings on each side of the row
    damping : damping of the means

    Returns
    -------
    row, and a column user_nearby_k_mean for each k in `recent`
    """
    table = ratings.left_join(before.select(ROW, "user_residual"), ROW)
    earlier = ibis.window(group_by=USER, order_by=[TIMESTAMP, ITEM], preceding=(None, 1))
    own = table.user_residual.notnull().cast("int64")
    # Training ratings have even places. A rating outside training has the odd place between its two neighbours.
    table = table.mutate(own=own, place=2 * table.user_residual.count().over(earlier) - 1 + own)
    residual = table.user_residual.fill_null(0)
    means = {}
    for name, size in zip(window_columns("out_of_fold", recent), recent, strict=True):
        around = ibis.range_window(group_by=USER, order_by="place", preceding=2 * size, following=2 * size)
        count, total = table.own.sum().over(around) - table.own, residual.sum().over(around) - residual
        means[name] = _damped(total, count, damping.user)
    return table.select(ROW, **means)


def user_state(rows: ir.Table) -> ir.Table:
    """Return the state of each user after training: user, count, total of residuals, last timestamp."""
    rows = rows.filter(rows[SPLIT] == TRAIN)
    return rows.group_by(USER).aggregate(
        count=rows.count(), total=rows.user_residual.sum().cast("int64"), last=rows[TIMESTAMP].max()
    )


def item_state(rows: ir.Table) -> ir.Table:
    """Return the state of each item after training: item, count, total of residuals, last timestamp."""
    rows = rows.filter(rows[SPLIT] == TRAIN)
    return rows.group_by(ITEM).aggregate(
        count=rows.count(), total=rows.item_residual.sum().cast("int64"), last=rows[TIMESTAMP].max()
    )


def user_genre_state(rows: ir.Table, item_genres: ir.Table) -> ir.Table:
    """Return the state of each user and genre after training: user, genre, count, total of residuals."""
    rows = rows.filter(rows[SPLIT] == TRAIN).select(USER, ITEM, "genre_residual").join(item_genres, ITEM)
    return rows.group_by([USER, "genre"]).aggregate(count=rows.count(), total=rows.genre_residual.sum().cast("int64"))


def user_moments(rows: ir.Table, most: int) -> ir.Table:
    """Return the last seconds, at most `most`, in which each user rated in training.

    The columns are user, place (0 is the latest second), and count and total of the residuals.
    """
    moments = _moments(rows.filter(rows[SPLIT] == TRAIN))
    place = ibis.row_number().over(group_by=USER, order_by=ibis.desc(TIMESTAMP))
    return moments.mutate(place=place).filter(lambda t: t.place < most).select(USER, "place", "count", "total")


def _visible(
    table: ir.Table, keys: list[str], value: ir.IntegerColumn, kind: Kind
) -> tuple[ir.IntegerColumn, ir.IntegerColumn]:
    """Count and sum `value` over those rows with the same keys that the row may see."""
    if kind == "point_in_time":
        earlier = ibis.range_window(group_by=keys, order_by=TIMESTAMP, preceding=(None, 1))
        count, total = value.count().over(earlier), value.sum().over(earlier)
    else:
        every, own = ibis.window(group_by=keys), ibis.window(group_by=[*keys, FOLD])
        count = value.count().over(every) - value.count().over(own)
        total = value.sum().over(every) - value.sum().over(own)
    return count.cast("int64"), total.fill_null(0).cast("int64")


def _with_recent_means(table: ir.Table, recent: tuple[int, ...], damping: float) -> ir.Table:
    moments = _moments(table)
    means = {}
    for size in recent:
        last = ibis.window(group_by=USER, order_by=TIMESTAMP, preceding=(size, 1))
        count = moments["count"].sum().over(last).fill_null(0)
        means[f"user_recent_{size}_mean"] = _damped(moments["total"].sum().over(last).fill_null(0), count, damping)
    means_at = moments.select(USER, TIMESTAMP, **means)
    return table.left_join(means_at, [USER, TIMESTAMP]).drop(f"{USER}_right", f"{TIMESTAMP}_right")


def _moments(table: ir.Table) -> ir.Table:
    """Group ratings of the same user and second, so that they do not see each other: count and total of residuals."""
    return table.group_by([USER, TIMESTAMP]).aggregate(
        count=table.count(), total=table.user_residual.sum().cast("int64")
    )


def _recency(table: ir.Table, key: str) -> ir.IntegerColumn:
    earlier = ibis.range_window(group_by=key, order_by=TIMESTAMP, preceding=(None, 1))
    return (table[TIMESTAMP] - table[TIMESTAMP].max().over(earlier)).fill_null(-1)


def _damped(total: ir.IntegerColumn, count: ir.IntegerColumn, damping: float) -> ir.FloatingColumn:
    weight = count.cast("float64") + damping
    return ibis.ifelse(weight > 0, total.cast("float64") / UNIT / weight.nullif(0.0), 0.0)


def _integer(value: ir.FloatingColumn) -> ir.IntegerColumn:
    return value.round().cast("int64")
