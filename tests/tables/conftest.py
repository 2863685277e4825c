"""Tables from a few lines of csv."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from widedeep.params import PreprocessParams
from widedeep.sources import SOURCES
from widedeep.tables.build import Tables, build_tables

HEADER = "user_id,item_id,rating,timestamp"
DEFAULTS: dict[str, Any] = {
    "on_bad_rows": "error",
    "rating_scale": (1, 5),
    "min_ratings_per_user": 1,
    "min_ratings_per_item": 1,
    "split": "temporal",
    "fold": "u1",
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "seed": 0,
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def build(raw: Path) -> Callable[..., Tables]:
    """Tables of the data set csv from the text or bytes of its ratings.csv, with some params changed."""

    def build_with(ratings: str | bytes, items: str | None = None, **changes: Any) -> Tables:
        (raw / "ratings.csv").write_bytes(ratings.encode() if isinstance(ratings, str) else ratings)
        if items is not None:
            (raw / "items.csv").write_text(items, encoding="utf-8")
        return build_tables(SOURCES["csv"], raw, PreprocessParams(**(DEFAULTS | changes)))

    return build_with


@pytest.fixture
def csv() -> Callable[..., str]:
    """Text of a ratings.csv from rows (user, item, rating, timestamp)."""

    def text(*rows: tuple[Any, ...], header: str = HEADER) -> str:
        return "\n".join([header, *(",".join(str(value) for value in row) for row in rows)]) + "\n"

    return text
