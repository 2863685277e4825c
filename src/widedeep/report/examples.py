"""Recommendations that a person can judge: what a user liked before, beside what the model offers."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from widedeep.columns import GENRES, ITEM_ID, TEST, TITLE, TRAIN, YEAR
from widedeep.evaluation.evaluate import Recommended, relevant_from
from widedeep.evaluation.ranking import PAD
from widedeep.features.store import Features, Rows
from widedeep.models.model import Model
from widedeep.params import EvaluateParams

SHOWN = 10


class Item(NamedTuple):
    """A title to show. `rating`: the user's own, in training (liked) or in the test rows (recommended), if any."""

    title: str
    year: str
    genres: str
    rating: float | None
    predicted: float | None = None


class Example(NamedTuple):
    """A user: the best rated of the `n_train` training ratings, and the model's list as of the cut-off."""

    user_id: int | str
    n_train: int
    n_test: int
    n_relevant: int
    liked: list[Item]
    recommended: list[Item]

    @property
    def hits(self) -> int:
        return sum(item.rating is not None for item in self.recommended)


def choose(features: Features, users: Tensor, params: EvaluateParams) -> list[int]:
    """Places in `users` (U,) of up to `params.examples` users, drawn with `params.seed`: first among those with
    training rows and a relevant test item, then among new users with one, then among the others."""
    test = features.splits[TEST]
    relevant = test.user[test.rating >= relevant_from(features, params)]
    known, judged = (torch.isin(users, some) for some in (features.splits[TRAIN].user, relevant))
    rank = torch.where(judged, torch.where(known, 0, 1), 2).numpy()
    order = np.random.default_rng(params.seed).permutation(len(users))
    chosen: list[int] = order[np.argsort(rank[order], kind="stable")][: params.examples].tolist()
    return chosen


@torch.no_grad()
def examples(
    features: Features, model: Model, recommended: Recommended, items: pd.DataFrame, params: EvaluateParams
) -> list[Example]:
    """Collect what the report shows of some users. `items` is the canonical table.

    A missing title becomes "item 123", with the item's id.
    """
    titles = items.assign(**{ITEM_ID: features.items.ids})
    threshold = relevant_from(features, params)
    found = []
    for place in choose(features, recommended.users, params):
        user = recommended.users[place]
        train, test = (_of_user(features.splits[split], user) for split in (TRAIN, TEST))
        best = sorted(train, key=lambda item: (-train[item], item))[:SHOWN]
        top = recommended.items[place]
        top = top[top != PAD][:SHOWN]
        inputs = features.grid(user[None], top, recommended.asked_at[place][None], model.reads, with_history=True)
        predicted = model(inputs).rating.expand(1, len(top))[0].clamp(*features.spec.rating_scale).tolist()
        found.append(
            Example(
                user_id=features.users.ids[user],
                n_train=len(train),
                n_test=len(test),
                n_relevant=sum(rating >= threshold for rating in test.values()),
                liked=[_item(titles, item, train[item]) for item in best],
                recommended=[
                    _item(titles, item, test.get(item), score)
                    for item, score in zip(top.tolist(), predicted, strict=True)
                ],
            )
        )
    return found


def _of_user(rows: Rows, user: Tensor) -> Mapping[int, float]:
    """Rating of each item that the user rated, by the item's code."""
    own = rows.user == user
    return dict(zip(rows.item[own].tolist(), rows.rating[own].tolist(), strict=True))


def _item(titles: pd.DataFrame, code: int, rating: float | None, predicted: float | None = None) -> Item:
    row = titles.iloc[code]
    title, year, genres = (row.get(column) for column in (TITLE, YEAR, GENRES))
    return Item(
        title=title if isinstance(title, str) and title.strip() else f"item {row[ITEM_ID]}",
        year="" if year is None or pd.isna(year) else str(int(year)),
        genres=", ".join(genres) if isinstance(genres, list | tuple | np.ndarray) else "",
        rating=rating,
        predicted=predicted,
    )
