"""Pairs of user and item to score, and ratings to train on or to evaluate with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Queries:
    """N pairs of a user and an item to score, and what a model may know of each.

    user, item : (N,) int64
        Codes.
    timestamp : (N,) int64
        When the score is asked for, in seconds since 1970; 0 if the data have no timestamps.
    user_seen, item_seen : (N,) int64
        Number of visible interactions of the user and of the item. They are the earliest ones.
    history : (N, H) float32, or None
        The history columns. None for a model that must not see them.
    """

    user: Tensor
    item: Tensor
    timestamp: Tensor
    user_seen: Tensor
    item_seen: Tensor
    history: Tensor | None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, index: Tensor | slice) -> Self:
        return self._each(lambda values: values[index])

    def parts(self, size: int) -> Iterator[Self]:
        """Yield the pairs in order, at most `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def to(self, device: torch.device | str) -> Self:
        return self._each(lambda values: values.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Self:
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {
            name: column if column is None else change(column) for name, column in columns.items()
        }
        return type(self)(**changed)


@dataclass(frozen=True)
class Rows(Queries):
    """N pairs whose rating is known.

    rating : (N,) float32
    """

    history: Tensor
    rating: Tensor
