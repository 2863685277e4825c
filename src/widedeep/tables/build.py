"""The preprocess stage: turn a raw folder into the canonical tables, and count what was left out."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.columns import (
    IMPLICIT,
    ITEM,
    ITEM_ID,
    RATING,
    RATINGS_SCHEMA,
    SPLIT,
    SPLITS,
    TEST,
    TIMESTAMP,
    TRAIN,
    USER,
    USER_ID,
    VALIDATION,
)
from widedeep.errors import UserError
from widedeep.params import PreprocessParams
from widedeep.sources.entities import item_entities
from widedeep.sources.naming import RATINGS, roles
from widedeep.sources.own import OWN, Own, given_fold
from widedeep.sources.source import GIVEN, GIVEN_FILES, Layout, Source, TableFile
from widedeep.tables import splits
from widedeep.tables.engine import engine
from widedeep.tables.entities import Fitted, complete, impute_and_scale
from widedeep.tables.feedback import implicit
from widedeep.tables.files import About, Tables, external
from widedeep.tables.ids import encode_ids, number_ids
from widedeep.tables.own import FILE
from widedeep.tables.ratings import ANY, check_rows, latest_of_duplicates, with_enough_ratings

BLOCK = 2**20  # ids per step of the hash


def build_tables(
    source: Source,
    raw: Path,
    params: PreprocessParams,
    scaling: Mapping[str, Fitted] | None = None,
    original: Callable[[str], str] | None = None,
) -> tuple[Tables, dict[str, Any]]:
    """Build the canonical tables from the files of a data set.

    The ratings are read, checked, deduplicated, filtered and split. Users and items get codes. Their tables are
    completed, and their numeric columns are filled and scaled.

    Parameters
    ----------
    source : the data set
    raw : the folder with its files
    params : section preprocess
    scaling : imputation and scaling of an earlier run (`About.fitted`); None: fit them on the training rows
    original : what an error about a row calls a file of `raw`, by its name; None: its path

    Returns
    -------
    the tables, and counts of what happened to the rows, for reports/data.json

    Raises
    ------
    UserError
        A file or row is bad (see `check_rows`), the split does not suit the data set, or no rating is left for
        training or for the test.
    """
    if isinstance(source, Own):
        source = replace(source, reading=params, original=original)
    items = source.items(raw) if _have(raw, source.items_files) else item_entities([], [], [], [])
    users = source.users(raw) if _have(raw, source.users_files) else None
    if params.split != "predefined" and _only_given(source, raw):
        raise UserError(
            f"preprocess.split must be predefined, and preprocess.fold {GIVEN}, for {raw}, which has "
            f"{' and '.join(GIVEN_FILES)} in place of one file of ratings. Got split '{params.split}' instead."
        )
    layouts = _layouts(source, raw, params)
    if params.split == "auto":
        timed = TIMESTAMP in layouts[0].fields
        params = params.model_copy(update={"split": "temporal" if timed else "random"})
    listed = {ITEM: items.table[ITEM_ID].tolist(), USER: [] if users is None else users.table[USER_ID].tolist()}
    known_items = listed[ITEM] if source.items_complete and listed[ITEM] else None

    scale = params.rating_scale or source.rating_scale
    allowed = scale if scale is not None and RATING in layouts[0].fields else ANY
    with engine(params.memory_gib, params.threads, params.spill_folder) as con:
        checked = check_rows(con, raw, layouts, allowed, source.integer_ids, known_items, params.timestamp_unit)
        spread = checked.good.aggregate(low=checked.good[RATING].min(), high=checked.good[RATING].max())
        feedback = implicit(params.feedback, layouts[0], *spread.execute().iloc[0])
        if feedback:
            scale = IMPLICIT
        elif scale is None:
            raise UserError(
                f"The data set '{source.name}' has no rating scale of its own. Set preprocess.rating_scale to "
                "[lowest, highest] in params.yaml. `widedeep inspect` finds it in your ratings."
            )
        counts = checked.counts
        rows, numbers = number_ids(con, checked.kept(params.on_bad_rows, original))
        unique = con.create_table("latest", latest_of_duplicates(rows))
        con.drop_table("checked")
        kept = with_enough_ratings(con, unique, params.min_ratings_per_user, params.min_ratings_per_item)
        unique_rows = int(unique.count().execute())
        counts.duplicates = counts.read - sum(counts.bad_rows.values()) - unique_rows
        ids = {}
        for key in (USER, ITEM):
            kept, ids[key] = encode_ids(kept, numbers[key], key, listed[key])
        ratings = _split(con.create_table("coded", kept), ids[USER], params)
        counts.filtered = unique_rows - ratings.num_rows

    training = ratings.filter(pc.equal(ratings[SPLIT], TRAIN))
    parts = _by_split(ratings)
    if not parts[TRAIN] or not parts[TEST]:
        raise UserError(
            f"The split must leave ratings to train and to test on. Got {parts}. "
            "Change the fractions in the preprocess section of params.yaml, or add ratings."
        )
    tables, fitted = {}, {}
    for name, key, entities in (("items", ITEM, items), ("users", USER, users)):
        seen = np.zeros(len(ids[key]), dtype=bool)
        seen[training[key].to_numpy()] = True
        whole = complete(entities, key, ids[key])
        tables[name], fitted[name] = impute_and_scale(whole, seen, None if scaling is None else scaling[name])
    rated = {key: pc.unique(ratings[key]) for key in (USER, ITEM)}
    report = {
        "rows": asdict(counts),
        "ratings": {"kept": ratings.num_rows} | parts,
        "test_sha256": _digest(ratings, ids, TEST),
        "users": {"rated": len(rated[USER]), "listed": len(ids[USER])},
        "items": {
            "rated": len(rated[ITEM]),
            "listed": len(ids[ITEM]),
            "rated_but_not_listed": len(set(ids[ITEM].take(rated[ITEM]).to_pylist()) - set(listed[ITEM])),
        },
    }
    if isinstance(source, Own):
        by_file = [line for layout in layouts if isinstance(layout, TableFile) for line in source.understood(layout)]
        entities_read = [*items.understood, *(users.understood if users else ())]
        report["understood"] = [*by_file, *checked.understood, *entities_read]
    if feedback:
        report["understood"] = [*report.get("understood", ()), feedback]
    about = About(source.name, scale, params.split, fitted)
    return Tables(ratings, tables["items"], tables["users"], ids[ITEM], ids[USER], about), report


def _layouts(source: Source, raw: Path, params: PreprocessParams) -> list[Layout]:
    if params.split != "predefined":
        return source.ratings(raw)
    if params.fold == GIVEN:
        return list(given_fold(source if isinstance(source, Own) else OWN, raw))
    folds = source.folds()
    if params.fold not in folds:
        names = [*folds, GIVEN] if _given(raw) else list(folds)
        known = f"It has: {', '.join(names)}." if names else "It has none: choose another preprocess.split."
        raise UserError(f"preprocess.fold: the data set '{source.name}' has no fold '{params.fold}'. {known}")
    return list(folds[params.fold])


def _only_given(source: Source, raw: Path) -> bool:
    """Whether a given split stands in for the file of ratings."""
    if isinstance(source, Own):
        return roles(raw)[RATINGS] == list(GIVEN_FILES)
    return _given(raw) and not (raw / source.files[0]).exists()


def _given(raw: Path) -> bool:
    return _have(raw, GIVEN_FILES)


def _have(raw: Path, names: Iterable[str]) -> bool:
    return all((raw / name).exists() for name in names)


def _split(ratings: ir.Table, user_ids: pa.Array, params: PreprocessParams) -> pa.Table:
    order = [TIMESTAMP, USER, ITEM]
    if params.split == "temporal":
        split = splits.temporal(ratings, params.validation_fraction, params.test_fraction)
        table = ratings.mutate(split=split).order_by(order).to_pyarrow()
    elif params.split == "leave_last_out":
        split = splits.leave_last_out(ratings, params.validation_fraction > 0, user_ids)
        table = ratings.mutate(split=split).order_by(order).to_pyarrow()
    else:
        table = ratings.order_by(order).to_pyarrow()
        if params.split == "random":
            drawn = splits.random(table.num_rows, params)
        else:
            drawn = splits.predefined(table[FILE].to_numpy() == 1, params)
        table = table.append_column(SPLIT, pa.array(drawn, pa.string()))
    return table.select(RATINGS_SCHEMA.names).cast(RATINGS_SCHEMA)


def _digest(ratings: pa.Table, ids: Mapping[str, pa.Array], split: str) -> str:
    """Return the SHA-256 of the rows of a split: user id, item id, rating and timestamp, column by column.

    It does not depend on the codes, so the same rows give the same digest. Ids are hashed as int64 if all of them are
    plainly written integers, else as lines of UTF-8 text.
    """
    rows, digest = ratings.filter(pc.equal(ratings[SPLIT], split)).combine_chunks(), hashlib.sha256()
    users, items = (external(ids[key].take(rows[key].combine_chunks())) for key in (USER, ITEM))
    for column in (users, items, rows[RATING], rows[TIMESTAMP]):
        if pa.types.is_string(column.type):
            for start in range(0, len(column), BLOCK):
                part = column[start : start + BLOCK]
                lines = pc.binary_join(pa.ListArray.from_arrays([0, len(part)], part), "\n")
                digest.update(lines[0].as_buffer())
                digest.update(b"\n")
        else:
            values = pc.fill_null(column, 0).to_numpy()  # a data set without timestamps has nulls
            digest.update(values.astype(values.dtype.newbyteorder("<")).tobytes())
    return digest.hexdigest()


def _by_split(ratings: pa.Table) -> dict[str, int]:
    counted = {row["values"]: row["counts"] for row in pc.value_counts(ratings[SPLIT]).to_pylist()}
    assert set(counted) <= {TRAIN, VALIDATION, TEST}
    return {name: counted.get(name, 0) for name in SPLITS}
