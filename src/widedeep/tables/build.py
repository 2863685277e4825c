"""The whole of preprocessing: from a raw folder to the three canonical tables and what happened on the way."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.columns import ITEM, RATING, RATINGS_SCHEMA, SPLIT, SPLITS, TEST, TIMESTAMP, TRAIN, USER, VALIDATION
from widedeep.errors import UserError
from widedeep.params import PreprocessParams
from widedeep.sources.source import GIVEN, GIVEN_FILES, RatingsFile, Source
from widedeep.sources.table import given_fold
from widedeep.tables import splits
from widedeep.tables.entities import Fitted, complete, impute_and_scale
from widedeep.tables.ratings import FILE, latest_of_duplicates, read_ratings, with_enough_ratings


@dataclass(frozen=True)
class Tables:
    """The canonical tables of a data set.

    ratings: `RATINGS_SCHEMA`, ordered by (timestamp, user_id, item_id).
    items: item_id, title, year (Int64), genres (list of str), numeric columns (float64 in [0, 1]) and categorical
    ones (str or None), ordered by item_id. users: user_id and such columns, ordered by user_id.
    split: how the ratings were split. rating_scale: lowest and highest rating. report: counts of rows, by what became
    of them, for the reports. fitted: imputation and scaling of the numeric columns, per table.
    """

    ratings: pa.Table
    items: pd.DataFrame
    users: pd.DataFrame
    split: str
    rating_scale: tuple[float, float]
    report: Mapping[str, Any]
    fitted: Mapping[str, Any]


def build_tables(
    source: Source, raw: Path, params: PreprocessParams, scaling: Mapping[str, Fitted] | None = None
) -> Tables:
    """Read, check, deduplicate, filter and split the ratings of `source` in the folder `raw`; complete its entities,
    whose numeric columns are imputed and scaled by the training rows, or as an earlier `scaling` (`Tables.fitted`) has
    it.

    Raises
    ------
    UserError
        A file or row is bad (see `read_ratings`), the split does not fit the data set, or nothing is left to train on.
    """
    scale = params.rating_scale or source.rating_scale
    if scale is None:
        raise UserError(
            f"The data set '{source.name}' does not say its rating scale. "
            "Set preprocess.rating_scale to [lowest, highest] in params.yaml."
        )
    items = source.items(raw)
    users = source.users(raw)
    if params.split != "predefined" and _given(raw) and not (raw / source.files[0]).exists():
        raise UserError(
            f"preprocess.split must be predefined, and preprocess.fold {GIVEN}, for {raw}, which has "
            f"{' and '.join(GIVEN_FILES)} in place of {source.files[0]}. Got split '{params.split}' instead."
        )
    if params.split == "auto":
        timed = TIMESTAMP in source.ratings(raw).fields
        params = params.model_copy(update={"split": "temporal" if timed else "random"})
    layouts = _layouts(source, raw, params)
    listed = items.table[ITEM].tolist() if source.items_complete and len(items.table) else None

    con = ibis.duckdb.connect()
    rows, counts = read_ratings(con, raw, layouts, scale, listed, params.on_bad_rows)
    unique = con.create_table("latest", latest_of_duplicates(rows))
    kept = with_enough_ratings(con, unique, params.min_ratings_per_user, params.min_ratings_per_item)
    counts.duplicates = counts.read - sum(counts.bad_rows.values()) - int(unique.count().execute())
    ratings = _split(con, kept, params)
    counts.filtered = int(unique.count().execute()) - ratings.num_rows

    training = ratings.filter(pc.equal(ratings[SPLIT], TRAIN))
    parts = _by_split(ratings)
    if not parts[TRAIN] or not parts[TEST]:
        raise UserError(
            f"The split must leave ratings to train and to test on. Got {parts}. "
            "Change the fractions in the preprocess section of params.yaml, or bring more ratings."
        )
    tables, fitted = {}, {}
    for name, key, entities in (("items", ITEM, items), ("users", USER, users)):
        whole = complete(entities, key, ratings[key].unique().to_numpy())
        tables[name], fitted[name] = impute_and_scale(
            whole, key, training[key].unique().to_numpy(), None if scaling is None else scaling[name]
        )
    report = {
        "rows": asdict(counts),
        "ratings": {"kept": ratings.num_rows} | parts,
        "test_sha256": _digest(ratings, TEST),
        "users": {"rated": len(ratings[USER].unique()), "listed": len(tables["users"])},
        "items": {
            "rated": len(ratings[ITEM].unique()),
            "listed": len(tables["items"]),
            "rated_but_not_listed": len(np.setdiff1d(ratings[ITEM].unique().to_numpy(), items.table[ITEM].to_numpy())),
        },
    }
    return Tables(ratings, tables["items"], tables["users"], params.split, scale, report, fitted)


def _layouts(source: Source, raw: Path, params: PreprocessParams) -> list[RatingsFile]:
    if params.split != "predefined":
        return [source.ratings(raw)]
    if params.fold == GIVEN:
        return list(given_fold(raw))
    folds = source.folds()
    if params.fold not in folds:
        names = [*folds, GIVEN] if _given(raw) else list(folds)
        known = f"It has: {', '.join(names)}." if names else "It has none: choose another preprocess.split."
        raise UserError(f"preprocess.fold: the data set '{source.name}' has no fold '{params.fold}'. {known}")
    return list(folds[params.fold])


def _given(raw: Path) -> bool:
    return all((raw / name).exists() for name in GIVEN_FILES)


def _split(con: ibis.BaseBackend, ratings: Any, params: PreprocessParams) -> pa.Table:
    order = [TIMESTAMP, USER, ITEM]
    if params.split == "temporal":
        split = splits.temporal(ratings, params.validation_fraction, params.test_fraction)
        table = ratings.mutate(split=split).order_by(order).to_pyarrow()
    elif params.split == "leave_last_out":
        split = splits.leave_last_out(ratings, params.validation_fraction > 0)
        table = ratings.mutate(split=split).order_by(order).to_pyarrow()
    else:
        table = ratings.order_by(order).to_pyarrow()
        if params.split == "random":
            drawn = splits.random(table.num_rows, params)
        else:
            drawn = splits.predefined(table[FILE].to_numpy() == 1, params)
        table = table.append_column(SPLIT, pa.array(drawn, pa.string()))
    return table.select(RATINGS_SCHEMA.names).cast(RATINGS_SCHEMA)


def _digest(ratings: pa.Table, split: str) -> str:
    """SHA-256 of the rows of a split, column by column, in the order of the table: the same rows, the same digest."""
    rows, digest = ratings.filter(pc.equal(ratings[SPLIT], split)), hashlib.sha256()
    for name in (USER, ITEM, RATING, TIMESTAMP):
        values = pc.fill_null(rows[name], 0).to_numpy()  # without timestamps all are null
        digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _by_split(ratings: pa.Table) -> dict[str, int]:
    counted = {row["values"]: row["counts"] for row in pc.value_counts(ratings[SPLIT]).to_pylist()}
    assert set(counted) <= {TRAIN, VALIDATION, TEST}
    return {name: counted.get(name, 0) for name in SPLITS}
