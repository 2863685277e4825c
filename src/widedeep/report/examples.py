"""Examples that a person can judge: what a user liked before, what two models offered, and what the user chose then."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from widedeep.columns import GENRES, ITEM_ID, PREDICTED, RANK, RATING, SPLIT, TITLE, TRAIN, USER_ID, YEAR

SHOWN = 10


class Item(NamedTuple):
    """An item to show.

    rating : the user's rating. It is from training for an item that the user liked, and from the test rows for an item
        that the user was offered or chose. None without such a rating.
    relevant : whether the user gave it a relevant rating in the test rows
    predicted : the predicted rating, if there is one
    """

    title: str
    year: str
    genres: str
    rating: float | None
    relevant: bool = False
    predicted: float | None = None


class Example(NamedTuple):
    """A user at the training cut-off, and what the user rated later.

    n_train, n_test : number of training and test ratings of the user
    n_relevant : number of relevant test items
    liked : the best rated items in training
    recommended : the list of the model
    beside : the list of the baseline; empty if there is none
    chosen : the best rated test items
    """

    user_id: Any
    n_train: int
    n_test: int
    n_relevant: int
    liked: list[Item]
    recommended: list[Item]
    beside: list[Item]
    chosen: list[Item]

    @staticmethod
    def hits(listed: Sequence[Item]) -> int:
        """Count the items of a list that are relevant."""
        return sum(item.relevant for item in listed)


def choose_users(users: pd.Index, known: pd.Series, judged: pd.Series, most: int, seed: int) -> list[Any]:
    """Draw at most `most` of the users.

    Users with training ratings and a relevant test item come first. Then come new users with a relevant test item, then
    all other users.

    Parameters
    ----------
    users : each user once, in rising order
    known : the users who have training ratings
    judged : the users who have a relevant test item
    """
    rank = np.where(users.isin(judged), np.where(users.isin(known), 0, 1), 2)
    order = np.random.default_rng(seed).permutation(len(users))
    return list(users[order[np.argsort(rank[order], kind="stable")][:most]])


def examples(
    ratings: pd.DataFrame,
    items: pd.DataFrame,
    test: pd.DataFrame,
    lists: pd.DataFrame,
    relevant: float,
    most: int,
    seed: int,
    beside: pd.DataFrame | None = None,
) -> list[Example]:
    """Collect examples: some of the users who have a list.

    Parameters
    ----------
    ratings, items : the canonical tables. A missing title becomes "item 123".
    test : user_id, item_id and rating of each test row
    lists : user_id, rank and item_id of the model's lists, and the predicted rating if the system has one
    relevant : a test item is relevant from this rating on
    most : largest number of users, drawn with `seed`
    beside : user_id, rank and item_id of the lists of a baseline, for the same users. None: no baseline.
    """
    train = ratings.loc[ratings[SPLIT] == TRAIN, [USER_ID, ITEM_ID, RATING]]
    users = pd.Index(lists[USER_ID].unique()).sort_values()
    judged = test.loc[test[RATING] >= relevant, USER_ID]
    chosen = choose_users(users, train[USER_ID], judged, most, seed)
    if beside is None:
        beside = lists[:0]
    train, test, lists, beside = (table[table[USER_ID].isin(chosen)] for table in (train, test, lists, beside))
    named = items.set_index(ITEM_ID)

    def offered(table: pd.DataFrame, user: Any, rated: Mapping[Any, float]) -> list[Item]:
        top = table[table[USER_ID] == user].sort_values(RANK).head(SHOWN)
        predicted = top[PREDICTED] if PREDICTED in top else [None] * len(top)
        return [
            _item(named, item, rated.get(item), rated.get(item, -np.inf) >= relevant, score)
            for item, score in zip(top[ITEM_ID], predicted, strict=True)
        ]

    found = []
    for user in chosen:
        before, after = (
            table[table[USER_ID] == user].sort_values([RATING, ITEM_ID], ascending=[False, True])
            for table in (train, test)
        )
        rated = dict(zip(after[ITEM_ID], after[RATING], strict=True))
        found.append(
            Example(
                user_id=user,
                n_train=len(before),
                n_test=len(after),
                n_relevant=int((after[RATING] >= relevant).sum()),
                liked=[_item(named, *row) for row in zip(before[ITEM_ID][:SHOWN], before[RATING][:SHOWN], strict=True)],
                recommended=offered(lists, user, rated),
                beside=offered(beside, user, rated),
                chosen=[_item(named, item, rating, rating >= relevant) for item, rating in [*rated.items()][:SHOWN]],
            )
        )
    return found


def _item(
    named: pd.DataFrame, item: Any, rating: float | None, relevant: bool = False, predicted: float | None = None
) -> Item:
    row = named.loc[item] if item in named.index else pd.Series(dtype=object)
    title, year, genres = (row.get(column) for column in (TITLE, YEAR, GENRES))
    return Item(
        title=title if isinstance(title, str) and title.strip() else f"item {item}",
        year="" if year is None or pd.isna(year) else str(int(year)),
        genres=", ".join(genres) if isinstance(genres, list | tuple | np.ndarray) else "",
        rating=rating,
        relevant=bool(relevant),
        predicted=None if predicted is None or pd.isna(predicted) else predicted,
    )
