"""A small random data set, hard where it matters: ties in time, several genres per item, items without any."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from widedeep.columns import RATINGS_SCHEMA
from widedeep.features.build import FeatureTables, build_features
from widedeep.files import write_json
from widedeep.params import FeaturizeParams

DEFAULTS: dict[str, Any] = {
    "crosses": (("user_id", "genres"),),
    "hash_buckets": 1000,
    "user_damping": 3,
    "item_damping": 5,
    "genre_damping": 2,
    "recent": (2, 5),
    "recency_cap": 20,
    "buckets": 10,
    "folds": 4,
    "seed": 0,
}
GENRES = ["Action", "Comedy", "Drama", "War"]


@pytest.fixture
def ratings() -> pd.DataFrame:
    """240 ratings of 10 users and 30 items in 60 seconds; the last fifth tests, the fifth before it validates."""
    rng = np.random.default_rng(5)
    pairs = rng.permutation(300)[:240]
    table = pd.DataFrame(
        {
            "user_id": pairs // 30 + 1,
            "item_id": pairs % 30 + 1,
            "rating": rng.integers(1, 11, 240) / 2,
            "timestamp": rng.integers(1000, 1060, 240),
        }
    ).sort_values(["timestamp", "user_id", "item_id"], ignore_index=True)
    cuts = table["timestamp"].iloc[[144, 192]].to_numpy()
    return table.assign(
        split=np.array(["train", "validation", "test"])[np.searchsorted(cuts, table["timestamp"], "right")]
    )


@pytest.fixture
def items() -> pd.DataFrame:
    rng = np.random.default_rng(6)
    genres = [[name for name in GENRES if rng.random() < 0.4] for _ in range(31)]
    return pd.DataFrame(
        {
            "item_id": np.arange(1, 32),
            "title": "T",
            "year": [float("nan") if item % 7 == 0 else 1990.0 + item for item in range(31)],
            "genres": genres,
        }
    )


@pytest.fixture
def users() -> pd.DataFrame:
    return pd.DataFrame({"user_id": np.arange(1, 11), "gender": ["F", "M"] * 5})


@pytest.fixture
def featurize(ratings: pd.DataFrame, items: pd.DataFrame, users: pd.DataFrame) -> Callable[..., FeatureTables]:
    """Features of the small data set, with other tables or params where given."""

    def build(split: str = "temporal", **changes: Any) -> FeatureTables:
        tables = {
            name: changes.pop(name, table) for name, table in (("ratings", ratings), ("items", items), ("users", users))
        }
        arrow = pa.Table.from_pandas(tables["ratings"], RATINGS_SCHEMA, preserve_index=False)
        params = FeaturizeParams(**(DEFAULTS | changes))
        return build_features(arrow, tables["items"], tables["users"], "csv", split, (0.5, 5.0), params)

    return build


def written(tables: FeatureTables, folder: Path) -> Path:
    """The features folder that the stage would write."""
    for name in ("rows", "users", "items"):
        pq.write_table(getattr(tables, name), folder / f"{name}.parquet")
    write_json(folder / "features.json", tables.spec.as_dict())
    return folder
