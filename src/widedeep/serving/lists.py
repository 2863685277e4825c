"""A list of recommended items, as rows for a program and as a frame for a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Column = list[Any] | np.ndarray


@dataclass(frozen=True)
class ItemList:
    """Items, best first.

    columns : rank, item_id, title, genres, predicted and score
    known : whether the user is known
    at : the second of the question
    fallback : "recent_popularity" if nothing is known of the user, else None
    reason : why the list is empty, else None
    """

    columns: Mapping[str, Column]
    known: bool
    at: int
    fallback: str | None
    reason: str | None

    @property
    def about(self) -> dict[str, Any]:
        return {"known": self.known, "at": self.at, "fallback": self.fallback, "reason": self.reason}

    def rows(self) -> list[dict[str, Any]]:
        """Return a mapping for each item. For ten items this is many times faster than a frame."""
        return list(rows_of(self.columns))

    def frame(self) -> pd.DataFrame:
        frame = pd.DataFrame(self.columns)
        frame.attrs = self.about
        return frame


def rows_of(columns: Mapping[str, Column]) -> Iterator[dict[str, Any]]:
    """Yield a mapping for each row. NaN becomes None."""
    values = (column if isinstance(column, list) else column.tolist() for column in columns.values())
    for row in zip(*values, strict=True):
        yield {name: None if value != value else value for name, value in zip(columns, row, strict=True)}


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a mapping for each row of a frame."""
    return list(rows_of({str(name): column.tolist() for name, column in frame.items()}))
