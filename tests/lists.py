"""Make lists to judge from the literals of a test."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from widedeep.evaluation.ranking import Lists


def lists(
    top: ArrayLike,
    relevant: Sequence[Sequence[int]] | None = None,
    pairs: tuple[Any, Any] | None = None,
    item_counts: ArrayLike | None = None,
    n_users: int = 1,
    item_genres: ArrayLike | None = None,
) -> Lists:
    """Make lists of items by position. Relevant items are given by user, or as `pairs` of users and items."""
    items = np.asarray(top)
    if relevant is not None:
        pairs = [user for user, own in enumerate(relevant) for _ in own], [item for own in relevant for item in own]
    user, item = (np.asarray(part, dtype=np.int64) for part in pairs or ([], []))
    n_items = max(items.max(initial=0), item.max(initial=0)) + 1
    counts = np.ones(n_items, dtype=np.int64) if item_counts is None else np.asarray(item_counts)
    genres = np.zeros((len(counts), 0), dtype=bool) if item_genres is None else np.asarray(item_genres)
    return Lists.of(items, user, item, counts, n_users, genres)
