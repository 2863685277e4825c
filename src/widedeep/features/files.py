"""Feature tables as files. Only this module knows the names of the files in data/features.

A model folder has the same files, without splits and histories of rows.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from widedeep.features.spec import Spec
from widedeep.files import read_json, write_json

_ROWS, _USERS, _ITEMS, _SPEC = "rows.parquet", "users.parquet", "items.parquet", "features.json"


@dataclass(frozen=True)
class FeatureTables:
    """The features of all ratings, users and items.

    rows : one row per rating, in the order of the ratings: user and item (int32 codes), rating, timestamp, split and
        `history_columns`. A history column is null if the history of the row is that at the end of training.
    users, items : one row per code: the id (string), the title (items only), the index (0 if unseen), the encoded
        columns, and the state at the end of training in columns history_*
    spec : description of the features
    """

    rows: pa.Table
    users: pa.Table
    items: pa.Table
    spec: Spec

    def save(self, folder: Path) -> None:
        """Write the tables into an existing folder."""
        for name, table in ((_ROWS, self.rows), (_USERS, self.users), (_ITEMS, self.items)):
            pq.write_table(table, folder / name)
        write_json(folder / _SPEC, self.spec.as_dict())

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Read what `save` wrote."""
        folder = Path(folder)
        rows, users, items = (pq.read_table(folder / name) for name in (_ROWS, _USERS, _ITEMS))
        return cls(rows, users, items, load_spec(folder))


def load_spec(folder: Path) -> Spec:
    """Read only the description of the features."""
    return Spec.of(read_json(folder / _SPEC))
