"""What was known of the user and the item before a rating: the row-scale work, written with Ibis.

Every mean is of residuals, so that a user's mean is not that of the items the user happened to rate, and is damped
towards 0, so that one rating does not count as much as a hundred (Koren 2010, "Factor in the Neighbors", sec. 2.1):

    item_mean           b_i = sum(r - mu) / (n_i + item_damping)
    user_mean           b_u = sum(r - mu - b_i) / (n_u + user_damping)
    user_recent_k_mean  b_u over the ratings of the last k seconds in which the user rated: taste and mood drift
    user_nearby_k_mean  b_u over the k ratings of the user before the row and the k after it, without its own
    user_genre_mean     mean over the item's genres g of sum(r - mu - b_i - b_u) / (n_ug + genre_damping)

where the sums run over the ratings that the row may see, each residual is the one at the time of its own rating, and
mu is the mean of the training ratings. Out of fold, the b_u that another rating of the user saw holds the row's own
label; there user_genre_mean takes the b_u of the row instead. Residuals are kept as integers (`UNIT` to a rating
point), whose sums do not depend on the order of the rows or the number of threads.
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
    """History of every row of `ratings`, which has the columns row, user, item, rating, timestamp (and fold).

    `item_genres` has a row per (item, genre). With kind "point_in_time" a row sees the ratings strictly before its
    own second; with "out_of_fold" the ratings of the other folds. Recency is seconds since the last visible rating, -1
    where there is none.

    Returns a table with row, user, item, timestamp, split, `history_columns` but those of `nearby`, and the row's
    own `item_residual` (r - mu), `user_residual` (r - mu - b_i) and `genre_residual` (r - mu - b_i - b_u), in units of
    1 / `UNIT`.
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
    """Row and user_nearby_k_mean of every row of `ratings`, over the training ratings, whose history is `before`.

    Ratings of one second are in the order of item. Where the others lie in time says nothing of a row, so those
    outside training neither count nor take a place.
    """
    table = ratings.left_join(before.select(ROW, "user_residual"), ROW)
    earlier = ibis.window(group_by=USER, order_by=[TIMESTAMP, ITEM], preceding=(None, 1))
    own = table.user_residual.notnull().cast("int64")
    # Training ratings have the even places; others stand between the two that they fall between.
    table = table.mutate(own=own, place=2 * table.user_residual.count().over(earlier) - 1 + own)
    residual = table.user_residual.fill_null(0)
    means = {}
    for name, size in zip(window_columns("out_of_fold", recent), recent, strict=True):
        around = ibis.range_window(group_by=USER, order_by="place", preceding=2 * size, following=2 * size)
        count, total = table.own.sum().over(around) - table.own, residual.sum().over(around) - residual
        means[name] = _damped(total, count, damping.user)
    return table.select(ROW, **means)


def user_state(rows: ir.Table) -> ir.Table:
    """What the training rows leave behind of each user: user, count, total of residuals, last timestamp."""
    rows = rows.filter(rows[SPLIT] == TRAIN)
    return rows.group_by(USER).aggregate(
        count=rows.count(), total=rows.user_residual.sum().cast("int64"), last=rows[TIMESTAMP].max()
    )


def item_state(rows: ir.Table) -> ir.Table:
    """What the training rows leave behind of each item: item, count, total of residuals, last timestamp."""
    rows = rows.filter(rows[SPLIT] == TRAIN)
    return rows.group_by(ITEM).aggregate(
        count=rows.count(), total=rows.item_residual.sum().cast("int64"), last=rows[TIMESTAMP].max()
    )


def user_genre_state(rows: ir.Table, item_genres: ir.Table) -> ir.Table:
    """What the training rows leave behind of each user and genre: user, genre, count, total of residuals."""
    rows = rows.filter(rows[SPLIT] == TRAIN).select(USER, ITEM, "genre_residual").join(item_genres, ITEM)
    return rows.group_by([USER, "genre"]).aggregate(count=rows.count(), total=rows.genre_residual.sum().cast("int64"))


def user_moments(rows: ir.Table, most: int) -> ir.Table:
    """The last seconds in which each user rated in training, at most `most`: user, place (0 is the latest), count and
    total of the residuals."""
    moments = _moments(rows.filter(rows[SPLIT] == TRAIN))
    place = ibis.row_number().over(group_by=USER, order_by=ibis.desc(TIMESTAMP))
    return moments.mutate(place=place).filter(lambda t: t.place < most).select(USER, "place", "count", "total")


def _visible(
    table: ir.Table, keys: list[str], value: ir.IntegerColumn, kind: Kind
) -> tuple[ir.IntegerColumn, ir.IntegerColumn]:
    """Count and sum of `value` over the rows with the same keys that the row may see."""
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
    """The seconds in which each user rated, with count and total of the residuals: ratings of a second go together,
    so that none is visible to another."""
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
