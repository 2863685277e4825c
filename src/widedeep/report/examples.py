"""Examples that a person can judge: the items that a user liked before, beside the items that the model offers."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from widedeep.columns import GENRES, ITEM_ID, RATING, SPLIT, TITLE, TRAIN, USER_ID, YEAR

SHOWN = 10


class Item(NamedTuple):
    """An item to show.

    rating : the user's rating. It is from training for an item that the user liked, and from the test rows for a
        recommended item. None without such a rating.
    predicted : the predicted rating, if there is one
    """

    title: str
    year: str
    genres: str
    rating: float | None
    predicted: float | None = None


class Example(NamedTuple):
    """A user, with the best rated items in training and the list of the model as of the training cut-off.

    n_train, n_test : number of training and test ratings of the user
    n_relevant : number of relevant test items
    liked : the best rated items in training
    recommended : the list of the model
    """

    user_id: Any
    n_train: int
    n_test: int
    n_relevant: int
    liked: list[Item]
    recommended: list[Item]

    @property
    def hits(self) -> int:
        """Number of recommended items that the user rated in the test rows."""
        return sum(item.rating is not None for item in self.recommended)


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
) -> list[Example]:
    """Collect examples: some of the users who have a list.

    Parameters
    ----------
    ratings, items : the canonical tables. A missing title becomes "item 123".
    test : user_id, item_id and rating of each test row
    lists : user_id, rank and item_id of the model's lists, and the predicted rating if the system has one
    relevant : a test item is relevant from this rating on
    most : largest number of users, drawn with `seed`
    """
    train = ratings.loc[ratings[SPLIT] == TRAIN, [USER_ID, ITEM_ID, RATING]]
    users = pd.Index(lists[USER_ID].unique()).sort_values()
    judged = test.loc[test[RATING] >= relevant, USER_ID]
    chosen = choose_users(users, train[USER_ID], judged, most, seed)
    train, test, lists = (table[table[USER_ID].isin(chosen)] for table in (train, test, lists))
    listed = items.set_index(ITEM_ID)
    found = []
    for user in chosen:
        before, after = train[train[USER_ID] == user], test[test[USER_ID] == user]
        best = before.sort_values([RATING, ITEM_ID], ascending=[False, True]).head(SHOWN)
        top = lists[lists[USER_ID] == user].sort_values("rank").head(SHOWN)
        rated = dict(zip(after[ITEM_ID], after[RATING], strict=True))
        predicted = top["predicted"] if "predicted" in top else [None] * len(top)
        found.append(
            Example(
                user_id=user,
                n_train=len(before),
                n_test=len(after),
                n_relevant=int((after[RATING] >= relevant).sum()),
                liked=[_item(listed, *row) for row in zip(best[ITEM_ID], best[RATING], strict=True)],
                recommended=[
                    _item(listed, item, rated.get(item), score)
                    for item, score in zip(top[ITEM_ID], predicted, strict=True)
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
