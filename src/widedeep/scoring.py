"""The two places where a model meets many rows: predict ratings, and rank the whole catalogue for many users.

Both return score tables, which everything after them reads (see `widedeep.evaluation.files` for the columns). Notation:
U users, I items, k places in a list. Users and items are positions in the entity tables; a list is a row of `top`,
(U, k) int64, best item first, with `PAD` where it has fewer items than places.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from widedeep.columns import (
    FROZEN,
    ITEM,
    KNOWLEDGE,
    MODEL,
    ONLINE,
    PREDICTED,
    RANK,
    RATING,
    SCORE,
    TEST,
    TIMESTAMP,
    TRAIN,
    USER,
)
from widedeep.errors import UserError
from widedeep.features.store import Features
from widedeep.models.family import BASELINES
from widedeep.models.model import Model
from widedeep.params import EvaluateParams, ModelParams

COMPARED = ("bias", "popularity", "global_mean")  # the baselines that every model is judged beside
UNRANKED = ("global_mean",)  # every item has the same score, so a list would say nothing
ROWS = 2**15  # rows scored at a time, each with all that its user rated before
CHUNK = 2**18  # pairs of a grid scored at a time
PAD = -1


class UserItems(NamedTuple):
    """The set of items of each user, compressed by row: user u has `items[indptr[u]:indptr[u + 1]]`, in rising order.

    indptr : (U + 1,) int64, items : (nnz,) int64
    """

    indptr: Tensor
    items: Tensor

    @classmethod
    def from_pairs(cls, user: Tensor, item: Tensor, n_users: int) -> "UserItems":
        """From (nnz,) int64 pairs in any order; a pair given twice counts once."""
        width = int(item.max()) + 1 if len(item) else 1
        pairs = torch.unique(user * width + item)
        counts = torch.bincount(pairs // width, minlength=n_users)
        return cls(functional.pad(counts.cumsum(0), (1, 0)), pairs % width)

    def batch(self, start: int, stop: int) -> "UserItems":
        """The users [start, stop), renumbered from 0."""
        indptr = self.indptr[start : stop + 1]
        return UserItems(indptr - indptr[0], self.items[indptr[0] : indptr[-1]])

    def users(self) -> Tensor:
        """The user of each entry of `items`, (nnz,) int64."""
        counts = self.indptr.diff()
        return torch.arange(len(counts), device=counts.device).repeat_interleave(counts)


def score_tables(
    features: Features, model: Model, name: str, config: ModelParams, params: EvaluateParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score the test rows and rank the catalogue, by a trained model and the baselines of `COMPARED`.

    Parameters
    ----------
    name, config : the name of the model and its parameters, by which the baselines are built
    params : `ranked_users`, `seed` (of the draw of these users) and `ks`, the largest being the length of the lists

    Returns
    -------
    predictions : [model, knowledge, user_id, item_id, rating, timestamp, predicted], a row per model, knowledge and
        test rating; the trained model first, `online` before `frozen`, test rows in their own order
    recommendations : [model, knowledge, user_id, rank, item_id, score, predicted], a row per place in a list, best
        first, all under `frozen`; baselines of `UNRANKED` have no lists

    Raises
    ------
    UserError
        There is no test row.
    """
    test = features.splits[TEST]
    if not len(test):
        raise UserError("There is no test row to evaluate on. Raise preprocess.test_fraction in params.yaml.")
    models = {name: model} | {other: BASELINES[other](features.spec, config) for other in COMPARED if other != name}
    for other in set(models) - {name}:
        models[other].fit(features)
    by_knowledge = {knowledge: predict(features, models, knowledge) for knowledge in knowledges(features)}
    predictions = pd.concat(
        [table[table[MODEL] == other] for other in models for table in by_knowledge.values()], ignore_index=True
    )
    ranking = {other: scorer for other, scorer in models.items() if other == name or other not in UNRANKED}
    users = _drawn(torch.unique(test.user), params.ranked_users, params.seed)
    recommendations = recommend(features, ranking, users, max(params.ks))
    categories = {MODEL: pd.CategoricalDtype(list(models)), KNOWLEDGE: pd.CategoricalDtype([ONLINE, FROZEN])}
    return predictions.astype(categories), recommendations.astype(categories)


def knowledges(features: Features) -> tuple[str, ...]:
    """What the models may know of the past of the test rows, the fullest knowledge first."""
    return (ONLINE, FROZEN) if features.spec.online else (FROZEN,)


@torch.no_grad()
def predict(features: Features, models: Mapping[str, Model], knowledge: str) -> pd.DataFrame:
    """Predict the rating of every test row by each model, clipped to the rating scale: the table `predictions`.

    All models share one look at the features, made of what the first of them reads.
    """
    rows = test = features.splits[TEST]
    if knowledge == FROZEN:
        rows = features.frozen(rows)
    reads = next(iter(models.values())).reads
    predicted: dict[str, list[Tensor]] = {name: [] for name in models}
    for part in rows.parts(ROWS):
        inputs = features.inputs(part, reads)
        for name, model in models.items():
            predicted[name].append(model(inputs).rating)
    timed = bool(test.timestamp.any())
    table = pd.DataFrame(
        {
            USER: _ids(features.users.ids[test.user]),
            ITEM: _ids(features.items.ids[test.item]),
            RATING: test.rating.numpy(),
            TIMESTAMP: pd.array(test.timestamp.numpy() if timed else [None] * len(test), dtype="Int64"),
        }
    )
    return _stacked(
        {name: table.assign(**{PREDICTED: _clipped(features, torch.cat(parts))}) for name, parts in predicted.items()},
        knowledge,
    )


@torch.no_grad()
def recommend(features: Features, models: Mapping[str, Model], users: Tensor, k: int) -> pd.DataFrame:
    """Rank the catalogue for each of `users` (U,) by each model: the table `recommendations`.

    Candidates are all items but those that the user rated in training. The models know the training ratings, and the
    time at which they are asked: the first test rating of the user. All share one look at the features.
    """
    catalogue = torch.arange(len(features.items))
    exclude, asked = _training_items(features, users), _first_test_second(features)[users]
    first = next(iter(models.values()))
    parts: dict[str, list[pd.DataFrame]] = {name: [] for name in models}
    size = max(1, CHUNK // len(catalogue))
    for start in range(0, len(users), size):
        stop = min(start + size, len(users))
        user, asked_at = users[start:stop], asked[start:stop]
        inputs = features.grid(user, catalogue, asked_at, first.reads, with_history=True)
        for name, model in models.items():
            scores = model(inputs if model.ranks_with_history else inputs._replace(history=None)).ranking
            scores = scores.expand(len(user), len(catalogue))
            top = top_items(scores, exclude.batch(start, stop), k)
            parts[name].append(_lists(features, model, user, asked_at, scores, top))
    return _stacked({name: pd.concat(tables) for name, tables in parts.items()}, FROZEN)


def top_items(scores: Tensor, exclude: UserItems, k: int) -> Tensor:
    """The k best items of each user, without the excluded ones (those of the training split).

    Equal scores are ordered by item position, lower first, so that the list does not depend on the device.

    Parameters
    ----------
    scores : (U, I) float, higher is better; an item with score -inf is no candidate
    exclude : items that are no candidates, by user

    Returns
    -------
    (U, k) int64, best first, `PAD` at the end where a user has fewer than k candidates.

    Raises
    ------
    ValueError
        `k` is below 1, or a score of a candidate is NaN.
    """
    if k < 1:
        raise ValueError(f"k must be an int in the range [1, inf). Got {k} instead.")
    n_items = scores.shape[1]
    kept = min(k, n_items)
    scores = scores.clone()
    scores[exclude.users(), exclude.items] = -torch.inf
    best, items = scores.topk(min(k + 1, n_items))  # one more than asked for shows a tie at the border; NaN sorts first
    if best.isnan().any():
        raise ValueError("scores must not hold NaN.")
    if n_items > k:
        items, border = items[:, :k], best[:, k - 1]
        tied = (border == best[:, k]).nonzero().squeeze(1)
        if len(tied):
            items[tied] = _resolve_border(scores[tied], border[tied, None], k)
    items = items.sort(dim=1).values
    best, order = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    top = items.gather(1, order).masked_fill(best == -torch.inf, PAD)
    return functional.pad(top, (0, k - kept), value=PAD)


def _resolve_border(scores: Tensor, border: Tensor, k: int) -> Tensor:
    """The items above the border score and the first of those at it, k in all: (T, I), (T, 1) -> (T, k) int64."""
    n_items = scores.shape[1]
    first = torch.arange(n_items, 0, -1, dtype=torch.int32, device=scores.device)
    key = torch.where(scores > border, n_items + 1, torch.where(scores == border, first, 0))
    return key.topk(k).indices


def _lists(
    features: Features, model: Model, user: Tensor, asked_at: Tensor, scores: Tensor, top: Tensor
) -> pd.DataFrame:
    """The rows of the lists `top` (U, k): [user_id, rank, item_id, score, predicted]."""
    place, rank = (top != PAD).nonzero(as_tuple=True)
    owner, item, asked = user[place], top[place, rank], asked_at[place]
    inputs = features.listed(owner, item, asked, model.reads)
    rating = model(inputs._replace(history=features.frozen_history(owner, item, asked))).rating
    return pd.DataFrame(
        {
            USER: _ids(features.users.ids[owner]),
            RANK: (rank + 1).int().numpy(),
            ITEM: _ids(features.items.ids[item]),
            SCORE: scores[place, item].float().numpy(),
            PREDICTED: _clipped(features, rating.expand(len(item))),
        }
    )


def _training_items(features: Features, users: Tensor) -> UserItems:
    """The items that each of `users` (U,) rated in training."""
    train = features.splits[TRAIN]
    place = torch.full((len(features.users),), -1).index_copy(0, users, torch.arange(len(users)))[train.user]
    return UserItems.from_pairs(place[place >= 0], train.item[place >= 0], len(users))


def _first_test_second(features: Features) -> Tensor:
    """When each user rated first in the test rows, in seconds; the largest int64 for users without any."""
    test = features.splits[TEST]
    never = torch.full((len(features.users),), torch.iinfo(torch.int64).max)
    return never.scatter_reduce(0, test.user, test.timestamp, "amin")


def _drawn(users: Tensor, most: int, seed: int) -> Tensor:
    """At most `most` of the users, drawn without replacement, in their order. To rank a catalogue of 80,000 items for
    200,000 users would take days."""
    if len(users) <= most:
        return users
    drawn = np.random.default_rng(seed).choice(len(users), most, replace=False)
    return users[torch.from_numpy(np.sort(drawn))]


def _stacked(tables: Mapping[str, pd.DataFrame], knowledge: str) -> pd.DataFrame:
    """The tables of all models below each other, each row with the name of its model and its knowledge."""
    whole = pd.concat(tables.values(), ignore_index=True)
    names = pd.Categorical.from_codes(
        np.repeat(np.arange(len(tables)), [len(table) for table in tables.values()]), categories=list(tables)
    )
    whole.insert(0, MODEL, names)
    whole.insert(1, KNOWLEDGE, pd.Categorical([knowledge] * len(whole)))
    return whole


def _clipped(features: Features, rating: Tensor) -> NDArray[np.float32]:
    clipped: NDArray[np.float32] = rating.clamp(*features.spec.rating_scale).float().numpy()
    return clipped


def _ids(ids: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = ids.numpy()
    return array
