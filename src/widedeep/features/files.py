"""Feature tables as files. Only this module knows the names of the files in data/features.

A model folder has the same files, without splits and histories of rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from widedeep.columns import GENRES, ITEM, ITEM_YEAR, RATING, SPLIT, TIMESTAMP, TITLE, TRAIN, USER
from widedeep.features.spec import BY_USER, SUMS, Spec
from widedeep.files import write_json
from widedeep.reading import made_by, read_json, refuse
from widedeep.sections import typed
from widedeep.tabular import Column, read_parquet, write_parquet

_ROWS, _USERS, _ITEMS, _SPEC = "rows.parquet", "users.parquet", "items.parquet", "features.json"
NAMES = (_ROWS, _USERS, _ITEMS, _SPEC)
MEND = made_by("featurize")


@dataclass(frozen=True)
class FeatureTables:
    """The features of all ratings, users and items.

    rows : one row per rating, in the order of the ratings: user and item (int32 codes), rating, timestamp, split and
        `history_columns`. A history column is null if the history of the row is that at the end of training.
    users, items : one row per code: the id (string), the title and the year (items only), the index (0 if unseen), the
        encoded columns, and the state at the end of training in columns history_*
    spec : description of the features
    """

    rows: pa.Table
    users: pa.Table
    items: pa.Table
    spec: Spec

    def save(self, folder: Path) -> None:
        """Write the tables into an existing folder."""
        for name, table in ((_ROWS, self.rows), (_USERS, self.users), (_ITEMS, self.items)):
            write_parquet(table, folder / name)
        write_json(folder / _SPEC, self.spec.as_dict())

    @classmethod
    def load(cls, folder: str | Path, mend: str = MEND, splits: bool = True) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        mend : a sentence that says what to do if a file is damaged
        splits : whether the rows have splits and histories

        Raises
        ------
        UserError
            A file is missing or damaged, or does not fit the others.
        """
        folder = Path(folder)
        spec = load_spec(folder, mend)
        users = read_parquet(folder / _USERS, _of_entities(spec, "user"), mend)
        items = read_parquet(folder / _ITEMS, _of_entities(spec, "item"), mend)
        columns = {
            USER: Column("integers", len(users)),
            ITEM: Column("integers", len(items)),
            RATING: Column("numbers"),
            TIMESTAMP: Column("integers", gaps=True),
        }
        if splits:
            columns |= {SPLIT: Column("text")}
            columns |= {field.name: Column("numbers", gaps=True) for field in spec.of_kind("history")}
        rows = read_parquet(folder / _ROWS, columns, mend)
        counted = rows.filter(pc.equal(rows[SPLIT], TRAIN)) if splits else rows
        for name, key, table in ((_USERS, USER, users), (_ITEMS, ITEM, items)):
            if np.any(np.bincount(counted[key], minlength=len(table)) != table["history_count"].to_numpy()):
                refuse(folder / name, f"has other numbers of ratings than {_ROWS}", mend)
        return cls(rows, users, items, spec)


def load_spec(folder: Path, mend: str = MEND) -> Spec:
    """Read only the description of the features. `mend` says what to do if it is damaged."""
    path = folder / _SPEC
    spec: Spec = typed(Spec, read_json(path, mend), path, mend)
    if problem := spec.problem():
        refuse(path, problem, mend)
    return spec


def _of_entities(spec: Spec, entity: str) -> dict[str, Column]:
    """Say what the columns of the users, or of the items, must be."""
    columns = {f"{entity}_id": Column("text"), **{f"history_{name}": Column("integers") for name in SUMS}}
    if entity == "item":
        columns[TITLE] = Column("text", gaps=True)
        columns[ITEM_YEAR] = Column("integers", gaps=True, younger=True)
    else:
        widths = {"genre": spec.cardinality(GENRES), "moment": max(spec.recent, default=1)}
        for name in BY_USER:
            columns[f"history_{name}"] = Column("equally long lists of integers", length=widths[name.partition("_")[0]])
    for field in spec.fields:
        if field.entity != entity or field.kind == "history":
            continue
        if field.kind == "number":
            columns[field.name] = Column("numbers")
        elif field.kind == "bag":
            columns[field.name] = Column("lists of integers", field.cardinality)
        else:
            name = f"{entity}_index" if field.name == f"{entity}_id" else field.name
            columns[name] = Column("integers", field.cardinality)
    return columns
