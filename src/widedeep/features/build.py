"""The featurize stage: turn the canonical tables into indices, numbers and histories."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from widedeep.columns import (
    GENRES,
    IMPLICIT,
    ITEM,
    ITEM_ID,
    ITEM_YEAR,
    RATING,
    SPLIT,
    TIMESTAMP,
    TITLE,
    TRAIN,
    USER,
    USER_ID,
    YEAR,
)
from widedeep.errors import UserError, nearest
from widedeep.features import history
from widedeep.features.encode import encode_entities, index_codes
from widedeep.features.files import FeatureTables
from widedeep.features.spec import (
    OPTIONAL_FIELDS,
    UNIT,
    Cross,
    Damping,
    Field,
    Kind,
    Spec,
    combinations,
    cross_of,
    history_columns,
)
from widedeep.features.vocabulary import Vocabulary
from widedeep.params import FeaturizeParams
from widedeep.tables.files import Tables

_RESERVED = (USER, ITEM, "user_index", "item_index")


def build_features(tables: Tables, params: FeaturizeParams, earlier: Vocabulary | None = None) -> FeatureTables:
    """Fit vocabularies on the training rows, encode users and items, and compute the history of each row.

    What the history of a row contains depends on the split:

    - temporal: all ratings before its own second ("point_in_time").
    - leave_last_out: for a training row, the ratings before its own second ("point_in_time").
    - random, predefined, or any split without timestamps: for a training row, the training ratings of the other folds
      ("out_of_fold").

    In the last two cases a row outside training sees all training ratings. Out-of-fold histories of all rows also have
    means of the training ratings near the row in time, if there are timestamps.

    Parameters
    ----------
    earlier : the vocabulary of an earlier model, for a warm start. Known ids and values keep their index; new ones are
        appended. Bucket edges and the mean rating are kept.

    Raises
    ------
    UserError
        A cross names an unknown field or two fields with several values, a column has the name of another feature, or
        the features of `earlier` were made with other settings.
    """
    ratings, about = tables.ratings, tables.about
    if about.rating_scale == IMPLICIT:
        ones = pa.array(np.ones(ratings.num_rows, np.float32))
        ratings = ratings.set_column(ratings.schema.get_field_index(RATING), ratings.schema.field(RATING), ones)
    training = pc.equal(ratings[SPLIT], TRAIN).to_numpy()
    columns = _columns(ratings, params)
    trained = columns.part(training)  # a copy, so it is made anew below and not kept
    crossed = {name for names in params.crosses for name in names}
    known = None if earlier is None else {field.name: field for field in earlier.spec.fields}
    (encoded_users, user_fields), (encoded_items, item_fields) = (
        encode_entities(table, key, *index_codes(ids, codes, before), crossed, params.buckets, known)
        for table, key, ids, codes, before in (
            (tables.users, USER, tables.user_ids, trained.user, () if earlier is None else earlier.user_ids),
            (tables.items, ITEM, tables.item_ids, trained.item, () if earlier is None else earlier.item_ids),
        )
    )
    mean = (
        round(float(pc.sum(pc.round(pc.multiply(pa.array(trained.rating), UNIT))).as_py())) / UNIT / len(trained.user)
    )
    del trained
    fields = [*user_fields, *item_fields]
    _check_names(fields)
    crosses, left_out = _crosses(fields, params)

    timed = ratings[TIMESTAMP].null_count == 0
    kind: Kind = "point_in_time" if timed and about.split in ("temporal", "leave_last_out") else "out_of_fold"
    online = about.split == "temporal"
    recent = params.recent if timed else ()
    damping = Damping(params.user_damping, params.item_damping, params.genre_damping)
    spec = Spec(
        about.dataset,
        about.rating_scale,
        mean,
        kind,
        online,
        damping,
        recent,
        params.recency_cap,
        (*fields, *map(_history_field, history_columns(kind, recent))),
        crosses,
        left_out,
        about.fitted,
    )
    if earlier is not None:
        spec = _continued(spec, earlier.spec)

    genres = _lists(encoded_items[GENRES])
    seen = np.ones_like(training) if online else training
    before, residuals = history.history(columns.part(seen), genres, spec.mean, damping, kind, recent)
    if kind == "out_of_fold" and recent:
        near = history.nearby(columns, training, residuals.user, recent, damping)
    else:
        near = {}
    of_training = history.Residuals(*(residual[training[seen]] for residual in residuals))
    trained = columns.part(training)
    users = _user_table(encoded_users, trained, of_training, genres, fields, recent)
    items = _entity_table(
        encoded_items, history.sums(trained.item, trained.timestamp, of_training.item, len(encoded_items))
    )
    return FeatureTables(
        rows=_rows(ratings, before, near, seen, history_columns(kind, recent)),
        users=users.add_column(0, USER_ID, tables.user_ids),
        items=items.add_column(0, ITEM_ID, tables.item_ids)
        .add_column(1, TITLE, _titles(tables.items))
        .add_column(2, ITEM_YEAR, _years(tables.items)),
        spec=spec,
    )


def _columns(ratings: pa.Table, params: FeaturizeParams) -> history.Ratings:
    n = ratings.num_rows
    return history.Ratings(
        ratings[USER].to_numpy(),
        ratings[ITEM].to_numpy(),
        ratings[RATING].to_numpy().astype(np.float32),
        pc.fill_null(ratings[TIMESTAMP], -1).to_numpy(),
        (np.random.default_rng(params.seed).permutation(n) % params.folds).astype(np.int32),
    )


def _continued(spec: Spec, earlier: Spec) -> Spec:
    """Return `spec` with the mean of the earlier spec. Its crosses stay exact or hashed, even if they have grown."""
    same = ("dataset", "rating_scale", "history", "online", "damping", "recent", "recency_cap")
    for name in (*same, "fields", "crosses"):
        before, now = (_shape(getattr(one, name)) for one in (earlier, spec))
        if before != now:
            raise UserError(
                f"train.warm_start_from: the features of the earlier model have {name} {before}, these have {now}. "
                "They must be the same: set preprocess and featurize as they were, or set train.warm_start_from to "
                "null."
            )
    sizes = {field.name: int(field.cardinality or 0) for field in spec.fields}
    crosses = tuple(
        cross if cross.hashed else replace(cross, cardinality=combinations([sizes[name] for name in cross.fields]))
        for cross in earlier.crosses
    )
    return replace(spec, mean=earlier.mean, crosses=crosses)


def _shape(part: Any) -> Any:
    """Return what must not change in a part of a spec when vocabularies grow."""
    if isinstance(part, tuple) and part and isinstance(part[0], Field):
        return [(field.name, field.kind) for field in part]
    if isinstance(part, tuple) and part and isinstance(part[0], Cross):
        return [cross.fields for cross in part]
    return part


def _user_table(
    encoded: pd.DataFrame,
    trained: history.Ratings,
    residuals: history.Residuals,
    genres: history.Lists,
    fields: list[Field],
    recent: tuple[int, ...],
) -> pa.Table:
    """Return the encoded users and their state after training: overall, by genre, and in the latest seconds."""
    n, user, time = len(encoded), trained.user, trained.timestamp
    table = _entity_table(encoded, history.sums(user, time, residuals.user, n))
    n_genres = next(field.cardinality or 0 for field in fields if field.name == GENRES)
    by_genre = history.genre_sums(user, trained.item, genres, residuals.genre, n, n_genres)
    places = max(recent, default=1)  # at least 1: Arrow has no lists of size 0
    moments = history.last_moments(user, time, residuals.user, n, places)
    for slot, values in (("genre", by_genre), ("moment", moments)):
        for name, matrix in zip(("count", "total"), values, strict=True):
            wide = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])
            table = table.append_column(f"history_{slot}_{name}", wide)
    return table


def _check_names(fields: list[Field]) -> None:
    taken = dict.fromkeys(history_columns("point_in_time", ()), "a history feature")
    for field in fields:
        if field.name in taken or field.name in _RESERVED or field.name.startswith("history_"):
            raise UserError(
                f"{field.source}: the column name '{field.name}' must not be that of another feature. "
                f"It is the name of {taken.get(field.name, 'an internal column')}. Rename the column in its file."
            )
        taken[field.name] = field.source


def _crosses(fields: list[Field], params: FeaturizeParams) -> tuple[tuple[Cross, ...], tuple[tuple[str, ...], ...]]:
    by_name = {field.name: field for field in fields}
    crosses, left_out = [], []
    for names in params.crosses:
        resolved = [by_name.get(f"{name}_bucket", by_name.get(name)) for name in names]
        unknown = [name for name, field in zip(names, resolved, strict=True) if field is None]
        wrong = [name for name in unknown if name not in OPTIONAL_FIELDS]
        if wrong:
            known = [field.name for field in fields if not field.name.endswith("_bucket")]
            known += [name for name in OPTIONAL_FIELDS if name not in known]
            hint = nearest(wrong[0], known, f"Known: {', '.join(known)}.")
            raise UserError(f"featurize.crosses: {list(names)} names the unknown field '{wrong[0]}'. {hint}")
        if unknown:
            left_out.append(names)
            continue
        found = tuple(field for field in resolved if field is not None)
        if sum(field.kind == "bag" for field in found) > 1:
            raise UserError(
                f"featurize.crosses: {list(names)} has two fields with several values; at most one is allowed."
            )
        crosses.append(cross_of(found, params.hash_buckets))
    return tuple(crosses), tuple(left_out)


def _titles(items: pd.DataFrame) -> pa.Array:
    titles = items[TITLE] if TITLE in items else [None] * len(items)
    return pa.array([title if isinstance(title, str) else None for title in titles], pa.string())


def _years(items: pd.DataFrame) -> pa.Array:
    years = items[YEAR].astype("Int64") if YEAR in items else pd.Series([None] * len(items), dtype="Int64")
    return pa.array(years, pa.int64())


def _history_field(name: str) -> Field:
    entity = name.split("_")[0]
    return Field(name, "user" if entity == "user" else "item", "history", "ratings before the row")


def _rows(
    ratings: pa.Table,
    known: Mapping[str, NDArray[Any]],
    near: Mapping[str, NDArray[Any]],
    seen: NDArray[np.bool_],
    names: tuple[str, ...],
) -> pa.Table:
    """Return the rows. `known` are the histories of those that are `seen`, `near` those of all rows."""
    columns = {
        USER: ratings[USER].cast(pa.int32()),
        ITEM: ratings[ITEM].cast(pa.int32()),
        RATING: ratings[RATING],
        TIMESTAMP: ratings[TIMESTAMP],
        SPLIT: ratings[SPLIT],
    }
    for name in names:
        if name in near or seen.all():
            columns[name] = pa.array(near[name] if name in near else known[name])
        else:
            values = np.zeros(len(seen), known[name].dtype)
            values[seen] = known[name]
            columns[name] = pa.array(values, mask=~seen)
    return pa.table(columns)


def _entity_table(encoded: pd.DataFrame, state: history.Sums) -> pa.Table:
    table = encoded.assign(**{f"history_{name}": column for name, column in vars(state).items()})
    schema = pa.Schema.from_pandas(table, preserve_index=False)
    if GENRES in table:
        schema = schema.set(schema.get_field_index(GENRES), pa.field(GENRES, pa.list_(pa.int32())))
    return pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata()


def _lists(genres: pd.Series) -> history.Lists:
    count = genres.str.len().to_numpy()
    return history.Lists(np.append(0, np.cumsum(count)), genres.explode().dropna().to_numpy().astype(np.int64))
