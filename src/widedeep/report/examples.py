"""Recommendations that a person can judge: what a user liked before, beside what the model offers."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from widedeep.columns import GENRES, ITEM, RATING, SPLIT, TITLE, TRAIN, USER, YEAR

SHOWN = 10


class Item(NamedTuple):
    """A title to show.

    `rating` is the user's own: in training for an item that was liked before, in test for a recommended one, if any.
    """

    title: str
    year: str
    genres: str
    rating: float | None
    predicted: float | None = None


class Example(NamedTuple):
    """A user: the best rated of `n_train` training ratings, and the list of the model as of the training cut-off."""

    user_id: Any
    n_train: int
    n_test: int
    n_relevant: int
    liked: list[Item]
    recommended: list[Item]

    @property
    def hits(self) -> int:
        return sum(item.rating is not None for item in self.recommended)


def choose_users(users: pd.Index, known: pd.Series, judged: pd.Series, most: int, seed: int) -> list[Any]:
    """Draw at most so many of the users (each once, in rising order).

    Users in `known`, who have training ratings, and in `judged`, who have a relevant test item, come first. Then come
    new users with a relevant test item, then all others.
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
) -> list[Example]:
    """Show some of the users who have a list.

    Parameters
    ----------
    ratings, items : the canonical tables. A missing title becomes "item 123".
    test : user_id, item_id and rating of each test row
    lists : user_id, rank and item_id of the model's lists, and the `predicted` rating where the system has one
    relevant : a test item is relevant from this rating on
    most : at most so many users, drawn with `seed`
    """
    train = ratings.loc[ratings[SPLIT] == TRAIN, [USER, ITEM, RATING]]
    users = pd.Index(lists[USER].unique()).sort_values()
    judged = test.loc[test[RATING] >= relevant, USER]
    chosen = choose_users(users, train[USER], judged, most, seed)
    train, test, lists = (table[table[USER].isin(chosen)] for table in (train, test, lists))
    listed = items.set_index(ITEM)
    found = []
    for user in chosen:
        before, after = train[train[USER] == user], test[test[USER] == user]
        best = before.sort_values([RATING, ITEM], ascending=[False, True]).head(SHOWN)
        top = lists[lists[USER] == user].sort_values("rank").head(SHOWN)
        rated = dict(zip(after[ITEM], after[RATING], strict=True))
        predicted = top["predicted"] if "predicted" in top else [None] * len(top)
        found.append(
            Example(
                user_id=user,
                n_train=len(before),
                n_test=len(after),
                n_relevant=int((after[RATING] >= relevant).sum()),
                liked=[_item(listed, *row) for row in zip(best[ITEM], best[RATING], strict=True)],
                recommended=[
                    _item(listed, item, rated.get(item), score)
                    for item, score in zip(top[ITEM], predicted, strict=True)
                ],
            )
        )
    return found


def _item(listed: pd.DataFrame, item: Any, rating: float | None, predicted: float | None = None) -> Item:
    row = listed.loc[item] if item in listed.index else pd.Series(dtype=object)
    title, year, genres = (row.get(column) for column in (TITLE, YEAR, GENRES))
    return Item(
        title=title if isinstance(title, str) and title.strip() else f"item {item}",
        year="" if year is None or pd.isna(year) else str(int(year)),
        genres=", ".join(genres) if isinstance(genres, list | tuple | np.ndarray) else "",
        rating=rating,
        predicted=None if predicted is None or pd.isna(predicted) else predicted,
    )
