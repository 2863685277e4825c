"""Fixtures that make tables from a few lines of CSV."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from widedeep.params import PreprocessParams
from widedeep.params.data import NOTHING_SAID
from widedeep.sources import SOURCES
from widedeep.tables.build import build_tables
from widedeep.tables.files import Tables, external

HEADER = "user_id,item_id,rating,timestamp"
DEFAULTS: dict[str, Any] = {
    **dict(NOTHING_SAID),
    "on_bad_rows": "error",
    "rating_scale": (1, 5),
    "min_ratings_per_user": 1,
    "min_ratings_per_item": 1,
    "split": "temporal",
    "fold": "u1",
    "validation_fraction": 0.2,
    "test_fraction": 0.2,
    "seed": 0,
    "memory_gib": 1,
    "threads": None,
    "spill_folder": None,
}


@dataclass(frozen=True)
class Built(Tables):
    """Tables, and the report of `build_tables` on them."""

    report: dict[str, Any]

    @staticmethod
    def params(**changes: Any) -> PreprocessParams:
        return PreprocessParams(**(DEFAULTS | changes))

    @classmethod
    def of(cls, raw: Path, **changes: Any) -> "Built":
        """Build tables from the folder of a data set own, with some params changed."""
        tables, report = build_tables(SOURCES["own"], raw, cls.params(**changes))
        return cls(**vars(tables), report=report)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return the ratings with ids instead of codes: user, item, rating, timestamp, split."""
        users, items = (external(self.user_ids, self.ratings["user"]), external(self.item_ids, self.ratings["item"]))
        others = (self.ratings[name].to_pylist() for name in ("rating", "timestamp", "split"))
        return list(zip(users.to_pylist(), items.to_pylist(), *others, strict=True))


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


@pytest.fixture
def build(raw: Path) -> Callable[..., Built]:
    """Build tables of the data set own from the text or bytes of its ratings.csv, with some params changed."""

    def build_with(ratings: str | bytes, items: str | None = None, **changes: Any) -> Built:
        (raw / "ratings.csv").write_bytes(ratings.encode() if isinstance(ratings, str) else ratings)
        if items is not None:
            (raw / "items.csv").write_text(items, encoding="utf-8")
        return Built.of(raw, **changes)

    return build_with


@pytest.fixture
def csv() -> Callable[..., str]:
    """Make the text of a ratings.csv from rows (user, item, rating, timestamp)."""

    def text(*rows: tuple[Any, ...], header: str = HEADER) -> str:
        return "\n".join([header, *(",".join(str(value) for value in row) for row in rows)]) + "\n"

    return text
