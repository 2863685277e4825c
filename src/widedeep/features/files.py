"""Features as files: the one place that knows what lies in data/features, and of it beside a model."""

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
    """What the featurize stage writes, and a model keeps without splits and row histories.

    rows : user and item (int32 codes), rating, timestamp, split and `history_columns`, in the order of the ratings. A
        history column is null where the row's history is that of the training cut-off.
    users, items : a row per code: the id (string), the title of an item, the index (0 unseen), encoded columns and, as
        history_*, what the training rows leave behind
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
    """Read the description of the features alone."""
    return Spec.of(read_json(folder / _SPEC))
