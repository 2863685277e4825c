"""The facts about the data that the metrics need: catalogue, counts and test rows.

They are the same for every system that is judged.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from widedeep.columns import GENRES, IMPLICIT, ITEM_ID, RATING, SPLIT, TEST, TIMESTAMP, TRAIN, USER_ID
from widedeep.tables.files import load_about, load_named


@dataclass(frozen=True)
class Background:
    """Facts about a data set and its split. Ids are the external ones.

    dataset : name of the data set
    rating_scale : lowest and highest rating; `IMPLICIT` for implicit feedback, where every rating is 1
    users : ids of all users who have a rating
    training_counts : number of training ratings of each user who has any, by user_id
    catalogue : ids of all I items
    item_counts : (I,) int64, number of training ratings of each item
    genres : names of the G genres that occur among the items with a training rating
    item_genres : (I, G) bool, whether the item has the genre
    test : the test rows in their order, with user_id, item_id, rating and timestamp. The timestamp is null where the
        data have none.
    rated_at : user_id and timestamp of the ratings of all splits
    """

    dataset: str
    rating_scale: tuple[float, float]
    users: pd.Index
    training_counts: pd.Series
    catalogue: pd.Index
    item_counts: NDArray[np.int64]
    genres: tuple[str, ...]
    item_genres: NDArray[np.bool_]
    test: pd.DataFrame
    rated_at: pd.DataFrame

    @classmethod
    def load(cls, tables: Path) -> Self:
        """Read the facts from a folder of canonical tables, as the preprocess stage writes them."""
        about = load_about(tables)
        return cls.of(*load_named(tables), about.dataset, about.rating_scale)

    @classmethod
    def of(cls, ratings: pd.DataFrame, items: pd.DataFrame, dataset: str, rating_scale: tuple[float, float]) -> Self:
        """Collect the facts from canonical tables with external ids.

        `ratings` has the column split. `items` may have the column genres.
        """
        training, test = (ratings[ratings[SPLIT] == split] for split in (TRAIN, TEST))
        catalogue = pd.Index(items[ITEM_ID].to_numpy())
        item_counts = np.bincount(catalogue.get_indexer(training[ITEM_ID].to_numpy()), minlength=len(catalogue))
        of_items = items[GENRES] if GENRES in items else [()] * len(items)
        genres = tuple(sorted({genre for own, n in zip(of_items, item_counts, strict=True) if n for genre in own}))
        test = test[[USER_ID, ITEM_ID, RATING, TIMESTAMP]].reset_index(drop=True)
        if rating_scale == IMPLICIT:
            test = test.assign(**{RATING: 1.0})
        return cls(
            dataset=dataset,
            rating_scale=rating_scale,
            users=pd.Index(ratings[USER_ID].unique()),
            training_counts=training[USER_ID].value_counts(),
            catalogue=catalogue,
            item_counts=item_counts,
            genres=genres,
            item_genres=_incidence(of_items, genres),
            test=test.astype({RATING: np.float32, TIMESTAMP: "Int64"}),
            rated_at=ratings[[USER_ID, TIMESTAMP]],
        )

    @property
    def implicit(self) -> bool:
        """Whether the data have no ratings."""
        return self.rating_scale == IMPLICIT

    @property
    def n_training_users(self) -> int:
        return len(self.training_counts)

    def counts_of_users(self, user: pd.Series) -> NDArray[np.int64]:
        """Return the number of training ratings of each user: (N,) ids -> (N,) int64."""
        counts: NDArray[np.int64] = (
            self.training_counts.reindex(user.to_numpy(), fill_value=0).to_numpy().astype(np.int64)
        )
        return counts

    def known_ratings(self, user: pd.Series, timestamp: pd.Series) -> NDArray[np.int64]:
        """Count the ratings of each user strictly before a second, in all splits: (N,) ids, (N,) -> (N,) int64.

        The data must have timestamps.
        """
        first, span, keys = self._by_user_and_second
        of_user = self.users.get_indexer(user.to_numpy()) * span
        since = (timestamp.to_numpy(np.int64) - first).clip(0, span)
        counts: NDArray[np.int64] = np.searchsorted(keys, of_user + since) - np.searchsorted(keys, of_user)
        return counts

    @cached_property
    def _by_user_and_second(self) -> tuple[int, int, NDArray[np.int64]]:
        """Return the first second, the number of seconds, and a sorted key of user and second for each rating."""
        second = self.rated_at[TIMESTAMP].to_numpy(np.int64)
        first, span = int(second.min()), int(np.ptp(second)) + 1
        return first, span, np.sort(self.users.get_indexer(self.rated_at[USER_ID].to_numpy()) * span + second - first)

    def codes_of_items(self, item: pd.Series) -> NDArray[np.int64]:
        """Return the position of each item in the catalogue: (N,) ids -> (N,) int64. An unknown item gets -1."""
        codes: NDArray[np.int64] = self.catalogue.get_indexer(item.to_numpy())
        return codes


def _incidence(of_items: Iterable[Iterable[str]], genres: tuple[str, ...]) -> NDArray[np.bool_]:
    """Mark the genres of each item: (I, G) bool."""
    column = {genre: place for place, genre in enumerate(genres)}
    pairs = [(row, column[genre]) for row, own in enumerate(of_items) for genre in own if genre in column]
    incidence = np.zeros((len(list(of_items)), len(genres)), dtype=bool)
    if pairs:
        incidence[tuple(np.array(pairs).T)] = True
    return incidence
