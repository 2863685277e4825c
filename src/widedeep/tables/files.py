"""The canonical tables as files. Only this module knows the names and formats of the files in data/interim."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike

from widedeep.columns import GENRES, ITEM, ITEM_ID, RATING, SPLIT, TIMESTAMP, TITLE, USER, USER_ID, YEAR
from widedeep.files import write_json
from widedeep.reading import made_by, read_json, refuse
from widedeep.sections import typed
from widedeep.tabular import Column, read_parquet, write_parquet

CODE = "code"
ID = "id"

_RATINGS = "ratings.parquet"
_ITEMS = "items.parquet"
_USERS = "users.parquet"
_ITEM_IDS = "item_ids.parquet"
_USER_IDS = "user_ids.parquet"
_ABOUT = "tables.json"
_MEND = made_by("preprocess")
_OF_RATINGS = {
    USER: Column("integers"),
    ITEM: Column("integers"),
    RATING: Column("numbers"),
    TIMESTAMP: Column("integers", gaps=True),
    SPLIT: Column("text"),
}

# A plainly written integer: no plus sign, no leading zero, not "-0". So text and number can be converted both ways.
_INTEGER = "^(0|-?[1-9][0-9]{0,18})$"


@dataclass(frozen=True)
class About:
    """How the tables were made.

    dataset : the value of download.dataset
    rating_scale : lowest and highest rating; `IMPLICIT` for implicit feedback
    split : how the ratings were split; one of the values of preprocess.split, but never "auto"
    fitted : imputation and scaling of the numeric columns, by table and column
    """

    dataset: str
    rating_scale: tuple[float, float]
    split: str
    fitted: Mapping[str, Any]


@dataclass(frozen=True)
class Tables:
    """The canonical tables of a data set. Each user and item has one row; its code 0, 1, 2, ... is the row number.

    ratings : columns of `RATINGS_SCHEMA`, sorted by (timestamp, user, item)
    items : item (the code), title, year (Int64), genres (list of str), numeric columns (float64 in [0, 1]) and
        categorical columns (str or None)
    users : user (the code), numeric and categorical columns
    item_ids, user_ids : the id of each code, as the data set has it (string)
    """

    ratings: pa.Table
    items: pd.DataFrame
    users: pd.DataFrame
    item_ids: pa.Array
    user_ids: pa.Array
    about: About

    def save(self, folder: Path) -> None:
        """Write the tables into an existing folder."""
        write_parquet(self.ratings, folder / _RATINGS)
        for name, entities in ((_ITEMS, self.items), (_USERS, self.users)):
            write_parquet(to_arrow(entities), folder / name)
        for name, ids in ((_ITEM_IDS, self.item_ids), (_USER_IDS, self.user_ids)):
            write_parquet(pa.table({CODE: pa.array(range(len(ids)), pa.int64()), ID: ids}), folder / name)
        write_json(folder / _ABOUT, asdict(self.about))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. The functions below read parts of it.

        Raises
        ------
        UserError
            A file is missing or damaged, or does not fit the others.
        """
        items, users = load_item_ids(folder), load_user_ids(folder)
        return cls(
            _ratings(folder, len(users), len(items)),
            _entities(folder / _ITEMS, ITEM, len(items)),
            _entities(folder / _USERS, USER, len(users)),
            items,
            users,
            load_about(folder),
        )


def load_ratings(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read the ratings, or only some of their columns."""
    return read_parquet(folder / _RATINGS, _OF_RATINGS, _MEND, columns)


def load_item_ids(folder: Path) -> pa.Array:
    """Read the id of each item, in the order of the codes."""
    return _ids(folder / _ITEM_IDS)


def load_user_ids(folder: Path) -> pa.Array:
    """Read the id of each user, in the order of the codes."""
    return _ids(folder / _USER_IDS)


def load_named(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read ratings and items with ids, as user_id and item_id, in place of codes."""
    users, items = external(load_user_ids(folder)), external(load_item_ids(folder))
    ratings = _ratings(folder, len(users), len(items))
    named = pa.table({USER_ID: users.take(ratings[USER]), ITEM_ID: items.take(ratings[ITEM])})
    for name in ratings.column_names:
        if name not in (USER, ITEM):
            named = named.append_column(name, ratings[name])
    listed = _entities(folder / _ITEMS, ITEM, len(items)).drop(columns=ITEM)
    listed.insert(0, ITEM_ID, items.to_pandas())
    return named.to_pandas(), listed


def load_about(folder: Path) -> About:
    """Read how the tables were made."""
    about: About = typed(About, read_json(folder / _ABOUT, _MEND), folder / _ABOUT, _MEND)
    return about


def _ids(path: Path) -> pa.Array:
    return read_parquet(path, {ID: Column("text")}, _MEND, [ID])[ID].combine_chunks()


def _ratings(folder: Path, n_users: int, n_items: int) -> pa.Table:
    """Read the ratings, and check that their codes are among those of the users and items."""
    of_codes = {USER: Column("integers", n_users), ITEM: Column("integers", n_items)}
    return read_parquet(folder / _RATINGS, _OF_RATINGS | of_codes, _MEND)


def _entities(path: Path, key: str, n: int) -> pd.DataFrame:
    """Read the items or the users, and check that each of the n codes has one row."""
    columns = {key: Column("integers", n)}
    if key == ITEM:
        columns |= {
            TITLE: Column("text", gaps=True),
            YEAR: Column("integers", gaps=True),
            GENRES: Column("lists of text"),
        }
    table = read_parquet(path, columns, _MEND)
    if table[key].to_pylist() != list(range(n)):
        refuse(path, f"must have one row for each of the {n:,} {key}s, in the order of their codes", _MEND)
    return table.to_pandas()


def external(ids: pa.Array, codes: ArrayLike | None = None) -> pa.Array:
    """Look up the ids of `codes`, or of all codes in their order, for files that people and other programs read.

    The result is int64 if each of `ids` is a plainly written integer ("7", not "007") that int64 can hold, else string.
    So each id can be read back unchanged.
    """
    known = _integers(ids)
    return known if codes is None else known.take(pa.array(codes, pa.int64()))


def _integers(ids: pa.Array) -> pa.Array:
    if not pc.all(pc.match_substring_regex(ids, _INTEGER)).as_py():
        return ids
    try:
        return ids.cast(pa.int64())
    except pa.ArrowInvalid:  # beyond int64
        return ids


def to_arrow(table: pd.DataFrame) -> pa.Table:
    """Convert items or users to an Arrow table. The types do not depend on which values are missing."""
    types = {USER: pa.int64(), ITEM: pa.int64(), YEAR: pa.int64(), GENRES: pa.list_(pa.string())}
    schema = pa.schema(
        [
            (name, types.get(name, pa.float64() if pd.api.types.is_float_dtype(dtype) else pa.string()))
            for name, dtype in table.dtypes.items()
        ]
    )
    return pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata()
